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
record=$prefix/.installed-packages # its presence also shows that this script made $prefix
stamp=$prefix/.installed-from
shipped=$prefix/.shipped
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
[ -z "$brought" ] || printf '%s\n' $brought >>"$record"

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
works 'import pip' || usable=no
if [ "$usable" = yes ] && [ -n "${PYTHON:-}" ] && [ "$(behind "$prefix/bin/python")" != "$(behind "$python")" ]; then
    usable=no
fi

if [ "$usable" = yes ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && works "$imports"; then
    say "$prefix is up to date"
else
    say "installing into $prefix with $python"
    rm -f "$stamp"
    sh "$here/build-requirements.sh" "$python" "$record"
    if [ "$usable" = no ]; then
        for part in bin include lib lib64 share pyvenv.cfg; do rm -rf "${prefix:?}/$part"; done
        quietly "making a virtual environment" "$python" -I -m venv "$prefix"
    fi
    mkdir "$scratch/source" "$scratch/wheel" # built from a copy, so that root leaves no files in the tree
    # shellcheck disable=SC2086
    (cd "$tree" && tar -cf - --exclude=__pycache__ $sources) | (cd "$scratch/source" && tar -xf - --no-same-owner)
    pip="$prefix/bin/python -I -m pip"
    # shellcheck disable=SC2086
    {
        quietly "building the wheel" $pip wheel --no-deps --wheel-dir "$scratch/wheel" "$scratch/source"
        quietly "installing bustd's dependencies" $pip install "$scratch"/wheel/bustd-*.whl
        quietly "installing bustd" $pip install --force-reinstall --no-deps "$scratch"/wheel/bustd-*.whl
    }
    isolate "$prefix/bin/bustd"
    "$prefix/bin/python" -I -c "$imports" || die 70 "what was installed in $prefix cannot be imported"
fi

as_bustd "$prefix/bin/python" "$imports" || die 70 "the user bustd cannot run what was installed in $prefix"

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

link=/usr/local/bin/bustd
if [ -e "$link" ] || [ -h "$link" ]; then
    [ "$(readlink "$link")" = "$prefix/bin/bustd" ] || say "$link is something else and stays as it is"
else
    mkdir -p /usr/local/bin
    ln -s "$prefix/bin/bustd" "$link"
fi

printf '%s\n' "$wanted" >"$stamp"
