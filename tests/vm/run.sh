#!/bin/sh
# Everything that `make vm-test` and `make vm-compare` do: run.sh test|compare|again [SCENARIO]...
# `make vm-matrix`: run.sh matrix [SUITE]... [SCENARIO]...
set -eu
tree=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
mode=${1:?test, compare, again or matrix}
shift
cd "$tree"
sh tests/vm/requirements.sh
python=$(sh packaging/find-python.sh)
if [ "$mode" = matrix ]; then exec "$python" -B -m tests.vm.matrix "$@"; fi
sh packaging/deb.sh trixie # the suite of the image
exec "$python" -B -m tests.vm "$mode" --deb dist/bustd_*_all.deb "$@"
