#!/bin/sh
# Puts into DESTDIR what a distribution's package needs in addition to the Python modules and the command: units, the
# system users, the file of the lock, configuration, catalog of the journal, alert rules, completion, and the file that
# starts `bustd notify` in a session. The command is there already, and is made to run isolated; the man pages too, because
# they came with the wheel. Every packaging calls this script, so the list of files exists once.
# Usage: install-system-files.sh DESTDIR PYTHON PACKAGES_DIR [UNIT_DIR]; ZSH_DIR is where zsh looks for functions.
# The installed units start the daemons with PYTHON and PACKAGES_DIR. If the environment has a SYSTEMD (252), they are for
# this version: an older systemd warns at every start of each key that it does not know.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$here/functions.sh"
[ $# -eq 3 ] || [ $# -eq 4 ] || die 64 "usage: install-system-files.sh DESTDIR PYTHON PACKAGES_DIR [UNIT_DIR]"
destdir=$1 python=$2 packages=$3 unit_dir=${4:-/usr/lib/systemd/system}
for path in "$python" "$packages" "$unit_dir"; do
    case $path in
    /*[!A-Za-z0-9/._+-]*) die 64 "$path: a unit would need quotes for it" ;;
    /*) ;;
    *) die 64 "$path: not an absolute path" ;;
    esac
done
umask 022
[ -e "$destdir/usr/share/man/man1/bustd.1" ] || die 69 "there are no man pages: the wheel was built without scdoc"
isolate "$destdir/usr/bin/bustd"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# put FILE DIRECTORY [NAME]
put() {
    install -d -m 0755 "$destdir$2"
    install -m 0644 "$1" "$destdir$2/${3:-${1##*/}}"
}

unknown=""
[ "${SYSTEMD:-999}" -ge 253 ] || unknown="$unknown -e /^OpenFile=/d"
[ "${SYSTEMD:-999}" -ge 254 ] || unknown="$unknown -e /^MemoryPressureWatch=/d"
for unit in "$here"/systemd/*; do
    case $unit in
    *.in)
        # shellcheck disable=SC2086  # options
        sed -e "s|@PYTHON@|$python|g" -e "s|@PACKAGES@|$packages|g" $unknown "$unit" >"$scratch/unit"
        unit=${unit%.in}
        put "$scratch/unit" "$unit_dir" "${unit##*/}"
        ;;
    *) put "$unit" "$unit_dir" ;;
    esac
done
put "$here/sysusers.d/bustd.conf" /usr/lib/sysusers.d
put "$here/tmpfiles.d/bustd.conf" /usr/lib/tmpfiles.d
put "$here/bustd.catalog" /usr/lib/systemd/catalog
put "$here/prometheus/bustd.rules.yml" /usr/share/bustd/prometheus
put "$here/completion/bustd.bash" /usr/share/bash-completion/completions bustd
put "$here/completion/_bustd" "${ZSH_DIR:-/usr/share/zsh/site-functions}"
put "$here/completion/bustd.fish" /usr/share/fish/vendor_completions.d
put "$here/bustd-notify.desktop" /etc/xdg/autostart
put "$here/bustd.toml" /etc/bustd
put "$here/killer.toml" /etc/bustd
