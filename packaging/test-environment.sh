#!/bin/sh
# Makes .venv in the tree, with bustd in it (editable) and everything that the tests need. Works with and without root.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tree=$(dirname -- "$here")
. "$here/functions.sh"
. "$here/apt.sh"
cd "$tree"
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP || :
export PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1

# Tools for the checks of man pages, shell scripts, the RPM spec, completion, notifications and the reading of a journal.
# A check without its tool is skipped, and says so.
missing=""
for tool in scdoc:scdoc man:man-db shellcheck:shellcheck rpmspec:rpm dbus-daemon:dbus-daemon zsh:zsh fish:fish \
    /usr/lib/systemd/systemd-journal-remote:systemd-journal-remote; do
    command -v "${tool%:*}" >/dev/null || missing="$missing ${tool#*:}"
done
if [ -n "$missing" ] && command -v apt-get >/dev/null && [ "$(id -u)" -eq 0 ]; then
    say "installing Debian packages for some of the checks:$missing"
    (
        scratch=$(mktemp -d)
        trap 'rm -rf "$scratch"' EXIT
        # shellcheck disable=SC2086  # a list of package names
        apt_install $missing
    ) || :
fi

# It checks the metrics and the alert rules. Only this program is taken out of Debian's package prometheus, because the
# package itself would start a server here. A check without it is skipped, and says so.
bring_promtool() {
    if [ -x .venv/bin/promtool ] || command -v promtool >/dev/null; then return 0; fi
    if ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then return 0; fi
    say "bringing promtool for some of the checks"
    (
        scratch=$(mktemp -d)
        trap 'rm -rf "$scratch"' EXIT
        apt_get update || :
        cd "$scratch" && apt_get download prometheus && dpkg-deb -x prometheus_*.deb . &&
            install -m 0755 usr/bin/promtool "$tree/.venv/bin/promtool"
    ) || say "promtool can't be had: its checks are skipped"
}

stamp=.venv/.installed-from
# The path is part of it, because a virtual environment does not survive a move.
wanted=$({
    printf '%s\n' "$tree" "${PYTHON:-}"
    cat pyproject.toml
} | sha256sum)
works() {
    .venv/bin/python -I -c "$1" >/dev/null 2>&1 </dev/null
}
if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && works 'import pip, pytest, msgpack, prctl, psutil'; then
    bring_promtool
    exit 0
fi

python=$(sh "$here/find-python.sh")
if [ -e .venv ] && [ ! -w .venv ]; then
    die 77 "$tree/.venv is out of date and not yours to change; remove it: sudo rm -r $tree/.venv"
fi
sh "$here/build-requirements.sh" "$python"
say "preparing the tests' own virtual environment in .venv with $python"
# An environment without a stamp was made by the user and is only completed. One that belongs to another place or Python
# is made again.
if [ -e "$stamp" ] || ! works 'import pip'; then
    rm -rf .venv
    quietly "making a virtual environment" "$python" -I -m venv .venv
fi
quietly "installing bustd and what its tests need" .venv/bin/python -I -m pip install --editable '.[test]'
printf '%s\n' "$wanted" >"$stamp"
bring_promtool
