#!/bin/sh
# Fuzzes every target (tests/fuzz/targets.py), with atheris in a folder of its own: no other part of bustd needs it.
# Usage: tests/fuzz/run.sh [--minutes N] [--only TARGET]... [--keep] [--reproduce FILE]
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$here/../.."
version=3.0.0
folder=.fuzz/atheris-$version
if [ ! -d "$folder/atheris" ]; then
    echo "make fuzz: installing atheris $version into $folder"
    rm -rf .fuzz
    .venv/bin/python -I -m pip install --quiet --no-deps --only-binary=:all: --target "$folder" "atheris==$version" || {
        echo "make fuzz: atheris $version could not be installed; it has wheels for Linux and CPython 3.11 to 3.13" >&2
        exit 69
    }
fi
PYTHONPATH=$folder exec .venv/bin/python -m tests.fuzz "$@"
