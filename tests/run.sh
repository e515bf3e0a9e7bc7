#!/bin/sh
# Every check there is, in the environment that packaging/test-environment.sh made. All of them run, even when one fails.
# With arguments: only pytest, with those arguments.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$(dirname -- "$here")"
bin=$PWD/.venv/bin
[ -x "$bin/pytest" ] || {
    echo "tests/run.sh: no test environment here; run: make test" >&2
    exit 69
}
if [ $# -gt 0 ]; then
    echo "== pytest alone, with $*: the linters and the coverage gate are left out"
    exec "$bin/pytest" -p no:cacheprovider "$@"
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# A cache that another user left here (root, by sudo make test) is not used, because this user can't write to it.
cache() {
    if [ -w "$1" ] || { [ ! -e "$1" ] && [ -w . ]; }; then printf '%s\n' "$1"; else printf '%s\n' "$scratch/$1"; fi
}
RUFF_CACHE_DIR=$(cache .ruff_cache)
MYPY_CACHE_DIR=$(cache .mypy_cache)
HYPOTHESIS_STORAGE_DIRECTORY=$(cache .hypothesis)
COVERAGE_FILE=$scratch/coverage
export RUFF_CACHE_DIR MYPY_CACHE_DIR HYPOTHESIS_STORAGE_DIRECTORY COVERAGE_FILE

failed=""
check() {
    name=$1
    shift
    echo "== $name"
    "$@" || failed="$failed, $name"
}

check "ruff check" "$bin/ruff" check .
check "ruff format" "$bin/ruff" format --check .
check "mypy --strict" "$bin/mypy"
if command -v shellcheck >/dev/null; then
    # What has no #! names its shell in a directive of its own; what is sourced is checked where it is sourced too.
    check "shellcheck" shellcheck -x -P SCRIPTDIR packaging/*.sh packaging/man/*.sh packaging/container/*.sh packaging/debian/bustd.p* \
        packaging/openrc/bustd.initd packaging/arch/PKGBUILD packaging/gentoo/*/bustd/*.ebuild tests/*.sh \
        tests/fuzz/*.sh tests/vm/*.sh .ci/run
else
    echo "== shellcheck is not installed: the shell scripts were not checked"
fi
# Otherwise the first daemon that a test starts compiles its modules, and needs more memory than it does for a user.
"$bin/python" -m compileall -q protocol killer monitor || :
tests() {
    results=$1
    shift
    "$bin/pytest" -p no:cacheprovider --junitxml="$scratch/$results.xml" --cov=bustd_protocol --cov=bustd_shared \
        --cov=bustd_killer --cov=bustd_monitor --cov-branch "$@"
}
# What only computes uses every processor. What starts daemons and looks at their time or at their latency has them alone.
check "pytest, in parallel" tests computing --numprocesses=auto --cov-report= tests \
    --ignore=tests/integration --ignore=tests/hostile
check "pytest, one by one" tests running --cov-append --cov-report=term:skip-covered tests/integration tests/hostile
check "branch coverage" "$bin/python" tests/coverage_gate.py

echo "== in short"
if [ -n "$failed" ]; then echo "failed checks: ${failed#, }"; else echo "every check passed"; fi
"$bin/python" tests/closing_lines.py "$scratch/computing.xml" "$scratch/running.xml"
[ -z "$failed" ]
