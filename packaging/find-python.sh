#!/bin/sh
# Prints the Python to use. /usr/bin comes first, because the user bustd can't execute a Python in a home directory.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$here/functions.sh"

is_new_enough() {
    "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 </dev/null
}

if [ -n "${PYTHON:-}" ]; then
    found=$(command -v "$PYTHON") || die 69 "PYTHON=$PYTHON is not a program"
    is_new_enough "$found" || die 69 "PYTHON=$PYTHON is not a working Python 3.11 or newer"
    printf '%s\n' "$found"
    exit 0
fi
for name in /usr/bin/python3 python3.14 python3.13 python3.12 python3.11 python3; do
    found=$(command -v "$name") || continue
    if is_new_enough "$found"; then
        printf '%s\n' "$found"
        exit 0
    fi
done
die 69 "no Python 3.11 or newer was found; install one, or name it: make ... PYTHON=/path/to/python3"
