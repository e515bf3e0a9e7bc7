#!/bin/sh
# Makes sure that python-prctl can be compiled: a C compiler, the headers of libcap and of Python, and venv with pip.
# Usage: build-requirements.sh PYTHON [RECORD]; the Debian packages that had to be installed are added to RECORD.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$here/functions.sh"
. "$here/apt.sh"
python=${1:?which Python}
record=${2:-/dev/null}

compiles() {
    printf '%s\nint main(void) { return 0; }\n' "$1" | cc -x c -o "$scratch/program" - >/dev/null 2>&1
}

has_header() { # without a compiler it looks where Debian keeps headers
    if command -v cc >/dev/null; then
        printf '#include <%s>\n' "$1" | cc -E -x c -o "$scratch/header" - >/dev/null 2>&1
    else
        ls /usr/include/"$1" /usr/include/*/"$1" >/dev/null 2>&1
    fi
}

python_says() {
    "$python" -I -c "$1" >/dev/null 2>&1 </dev/null
}

# Sets `missing` (for a reader) and `packages` (for apt-get).
look() {
    missing="" packages=""
    if ! compiles '#include <stdio.h>'; then
        missing="$missing, a C compiler with its library (gcc, libc6-dev)"
        packages="$packages gcc libc6-dev"
    fi
    if ! has_header sys/capability.h; then
        missing="$missing, the headers of libcap (libcap-dev)"
        packages="$packages libcap-dev"
    fi
    if ! python_says 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))'; then
        missing="$missing, the headers of $python ($debian_name-dev)"
        packages="$packages $debian_name-dev"
    fi
    if ! python_says 'import ensurepip, venv'; then
        missing="$missing, the venv module of $python ($debian_name-venv)"
        packages="$packages $debian_name-venv"
    fi
    missing=${missing#, }
    packages=${packages# }
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
debian_name=python3
case $python in /usr/bin/python3.*) debian_name=${python##*/} ;; esac

look
[ -n "$missing" ] || exit 0
by_hand="missing to build python-prctl: $missing"
command -v apt-get >/dev/null || die 69 "$by_hand; install what is named (the names are Debian's) and try again"
[ "$(id -u)" -eq 0 ] || die 69 "$by_hand; run: sudo apt-get install $packages"
case $python in
/usr/bin/*) ;;
*)
    case $packages in
    *"$debian_name"*) die 69 "$by_hand; $python is not Debian's, so complete it by hand or use another: make ... PYTHON=/usr/bin/python3" ;;
    esac
    ;;
esac

say "installing Debian packages to build python-prctl: $packages"
# shellcheck disable=SC2086  # a list of package names
apt_bring "$record" $packages
look
[ -z "$missing" ] || die 69 "still missing after apt-get install: $missing"
