#!/bin/sh
# Everything that `make vm-test` and `make vm-compare` do: run.sh test|compare|again [SCENARIO]...
set -eu
tree=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
mode=${1:?test, compare or again}
shift
cd "$tree"
sh tests/vm/requirements.sh
sh packaging/deb.sh
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
python=$(sh packaging/find-python.sh)
exec "$python" -B -m tests.vm "$mode" --deb "dist/bustd_${version}_all.deb" "$@"
