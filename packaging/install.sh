#!/bin/sh
# Installs bustd from this tree into /opt/bustd, owned by root, because a home directory is often closed to the user
# that the monitor runs as. A step that has been done already is skipped. packaging/uninstall.sh undoes everything.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tree=$(dirname -- "$here")
. "$here/functions.sh"
. "$here/apt.sh"
need_root run
umask 022
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP || :
export PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1

prefix=/opt/bustd
record=$prefix/.installed-packages # brought to build with, and not removed yet; it also shows that this script made $prefix
needed=$prefix/.needed-packages # brought because bustd runs with them: uninstall.sh names them
stamp=$prefix/.installed-from
shipped=$prefix/.shipped
made_folders=$prefix/.made-folders
sources="protocol killer monitor packaging pyproject.toml README.md LICENSE CHANGELOG.md"

for name in $sources packaging/bustd.toml packaging/killer.toml; do
    [ -e "$tree/$name" ] || die 66 "this tree is not whole: $name is missing"
done

# --- what everything below needs: a Python, and a program that makes users
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
look() { # a Python that is too old is not missing: find-python.sh says what to do
    missing=""
    [ -n "${PYTHON:-}" ] || command -v python3 >/dev/null || sh "$here/find-python.sh" >/dev/null 2>&1 ||
        missing=python3
    command -v useradd >/dev/null || command -v adduser >/dev/null || missing="$missing passwd"
    missing=${missing# }
}
look
brought=$missing
provide "missing to install bustd" "that bustd needs"
python=$(sh "$here/find-python.sh")

if [ -h "$prefix" ] || { [ -e "$prefix" ] && [ ! -d "$prefix" ]; }; then
    die 73 "$prefix is not a directory; move it away"
fi
if [ -d "$prefix" ] && [ ! -e "$record" ] && [ -n "$(ls -A "$prefix")" ]; then
    die 73 "$prefix was not made by this script; move it away"
fi
install -d -m 0755 -o root -g root "$prefix"
touch "$record"
# shellcheck disable=SC2086  # a list of package names
[ -z "$brought" ] || printf '%s\n' $brought >>"$needed"

# --- the system users: the monitor's and the killer's
for user in bustd bustd-killer; do
    ! getent passwd "$user" >/dev/null || continue
    nologin=/usr/sbin/nologin
    [ -x "$nologin" ] || nologin=/sbin/nologin
    if command -v useradd >/dev/null; then
        group=--user-group
        if getent group "$user" >/dev/null; then group="--gid $user"; fi
        # shellcheck disable=SC2086
        quietly "creating the user $user" useradd --system --no-create-home --home-dir /nonexistent \
            --shell "$nologin" $group "$user"
    elif command -v adduser >/dev/null; then # busybox
        getent group "$user" >/dev/null || quietly "creating the group $user" addgroup -S "$user"
        quietly "creating the user $user" adduser -S -D -H -h /nonexistent -s "$nologin" -G "$user" "$user"
    else
        die 69 "there is neither useradd nor adduser: create the system user and group $user by hand"
    fi
done

# as_bustd PYTHON CODE: runs the code as the user bustd, without output.
as_bustd() {
    "$1" -I -c '
import os, pwd, sys
user = pwd.getpwnam("bustd")
os.setgroups([])
os.setgid(user.pw_gid)
os.setuid(user.pw_uid)
os.chdir("/")
os.execv(sys.argv[1], [sys.argv[1], "-I", "-c", sys.argv[2]])
' "$1" "$2" >/dev/null 2>&1 </dev/null
}
as_bustd "$python" 'import os' ||
    die 69 "the user bustd cannot run $python; name one that every user may run: sudo make run PYTHON=/usr/bin/python3"

# --- the virtual environment
imports='import bustd_protocol, bustd_shared, bustd_killer, bustd_monitor, msgpack, prctl, psutil'
works() {
    "$prefix/bin/python" -I -c "$1" >/dev/null 2>&1 </dev/null
}
# The program behind a virtual environment, with links resolved. An environment of another Python must be made again.
behind() {
    "$1" -I -c 'import os, sys; print(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))'
}
wanted=$(
    cd "$tree"
    # shellcheck disable=SC2086
    find $sources -name __pycache__ -prune -o -type f ! -name '*.pyc' -print | LC_ALL=C sort | tr '\n' '\0' |
        xargs -0 sha256sum | sha256sum
)
usable=yes
works 'import sys' || usable=no
! works 'import pip' || usable=no # made by an older version of this script: nothing is installed with what is in there
if [ "$usable" = yes ] && [ -n "${PYTHON:-}" ] && [ "$(behind "$prefix/bin/python")" != "$(behind "$python")" ]; then
    usable=no
fi

if [ "$usable" = yes ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && works "$imports"; then
    say "$prefix is up to date"
else
    say "installing into $prefix with $python"
    rm -f "$stamp"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"; remove_tools "$record"' EXIT
    sh "$here/build-requirements.sh" "$python" "$record"
    if ! command -v scdoc >/dev/null && [ ! -d "$here/man/rendered" ] && command -v apt-get >/dev/null; then
        (apt_bring "$record" scdoc) || : # makes the man pages, which bustd can do without
    fi
    if [ "$usable" = no ]; then
        for part in bin include lib lib64 share pyvenv.cfg; do rm -rf "${prefix:?}/$part"; done
        quietly "making a virtual environment" "$python" -I -m venv --without-pip "$prefix"
    fi
    quietly "making an environment to build in" "$python" -I -m venv "$scratch/tools"
    mkdir "$scratch/source" "$scratch/files" "$scratch/wheels" # a copy, so that root leaves no files in the tree
    # shellcheck disable=SC2086
    (cd "$tree" && tar -cf - --exclude=__pycache__ $sources) | (cd "$scratch/source" && tar -xf - --no-same-owner)
    pip="$scratch/tools/bin/python -I -m pip"
    # Only these two fetch anything, and each file has its hash in the tree; what follows has no index.
    # shellcheck disable=SC2086
    {
        quietly "installing what builds bustd" $pip install --require-hashes --only-binary :all: \
            -r "$here/requirements-build.txt"
        quietly "fetching bustd's dependencies" $pip download --require-hashes --no-deps --no-build-isolation \
            -d "$scratch/files" -r "$here/requirements.txt"
        quietly "building bustd" $pip wheel --no-index --no-deps --no-build-isolation --wheel-dir "$scratch/wheels" \
            "$scratch/source" "$scratch"/files/*
        quietly "installing bustd" $pip --python "$prefix/bin/python" install --no-index --no-deps --force-reinstall \
            "$scratch"/wheels/*.whl
    }
    sources_of() { for file in "$scratch"/files/*; do case $file in *.whl) ;; *) printf ', %s' "${file##*/}" ;; esac; done; }
    wheels_of() { for file in "$scratch"/files/*.whl; do [ ! -e "$file" ] || printf ', %s' "${file##*/}"; done; }
    say "built here from source: bustd$(sources_of)"
    taken=$(wheels_of)
    [ -z "$taken" ] || say "taken as it was built by its authors: ${taken#, }"
    isolate "$prefix/bin/bustd"
    [ -d "$prefix/share/man" ] || say "without man pages, because scdoc, which makes them, is missing here"
    "$prefix/bin/python" -I -c "$imports" || die 70 "what was installed in $prefix cannot be imported"
fi

as_bustd "$prefix/bin/python" "$imports" || die 70 "the user bustd cannot run what was installed in $prefix"

# --- completion
install -d -m 0755 -o root -g root "$prefix/completion"
for name in bustd.bash _bustd bustd.fish; do
    install -m 0644 -o root -g root "$here/completion/$name" "$prefix/completion/$name"
done

# --- the configuration: files that exist already belong to the administrator
install -d -m 0755 -o root -g root /etc/bustd "$shipped"
for name in bustd.toml killer.toml; do
    if [ ! -e "/etc/bustd/$name" ] && [ ! -h "/etc/bustd/$name" ]; then
        cp "$here/$name" "$shipped/$name" # uninstall.sh compares with this copy
        cp "$here/$name" "/etc/bustd/$name.new"
        chown root:root "/etc/bustd/$name.new"
        chmod 0644 "/etc/bustd/$name.new"
        mv "/etc/bustd/$name.new" "/etc/bustd/$name"
    fi
done

# --- links to the command, its man pages and its completion
while read -r target link; do
    [ -e "$target" ] || continue # a man page
    if [ -e "$link" ] || [ -h "$link" ]; then
        [ "$(readlink "$link")" = "$target" ] || say "$link is something else and stays as it is"
        continue
    fi
    folder=${link%/*}
    while [ ! -d "$folder" ]; do
        printf '%s\n' "$folder" >>"$made_folders" # uninstall.sh removes them, the deepest first
        folder=${folder%/*}
    done
    mkdir -p "${link%/*}"
    ln -s "$target" "$link"
done <<EOF
$(links)
EOF
index_pages

# --- notifications, in the sessions that begin from now on
autostart=/etc/xdg/autostart/bustd-notify.desktop
if [ ! -e "$autostart" ] && [ ! -h "$autostart" ]; then
    mkdir -p /etc/xdg/autostart
    sed "s|Exec=bustd|Exec=$prefix/bin/bustd|" "$here/bustd-notify.desktop" >"$autostart"
    chmod 0644 "$autostart"
fi

printf '%s\n' "$wanted" >"$stamp"
