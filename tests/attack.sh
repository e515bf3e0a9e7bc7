#!/bin/sh
# Every test in tests/hostile, and at the end a table of the attacks. Arguments are pytest's: -k flood, for instance.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$(dirname -- "$here")"
exec .venv/bin/pytest -q -p no:cacheprovider -p tests.hostile.attack_table tests/hostile "$@"
