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
computing=""
trap 'if [ -n "$computing" ]; then kill "$computing" 2>/dev/null || :; fi; rm -rf "$scratch"' EXIT
trap 'exit 1' INT TERM # dash does what EXIT says only where it exits by itself
# A cache that another user left here (root, by sudo make test) is not used, because this user can't write to it.
cache() {
    if [ -w "$1" ] || { [ ! -e "$1" ] && [ -w . ]; }; then printf '%s\n' "$1"; else printf '%s\n' "$scratch/$1"; fi
}
RUFF_CACHE_DIR=$(cache .ruff_cache)
MYPY_CACHE_DIR=$(cache .mypy_cache)
HYPOTHESIS_STORAGE_DIRECTORY=$(cache .hypothesis)
export RUFF_CACHE_DIR MYPY_CACHE_DIR HYPOTHESIS_STORAGE_DIRECTORY

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
# pytest_on RESULTS COVERAGE ARGUMENT...: some of the tests, with data of their own, in place of this shell or subshell
pytest_on() {
    results=$1
    COVERAGE_FILE=$scratch/$2/coverage
    export COVERAGE_FILE
    shift 2
    exec "$bin/pytest" -p no:cacheprovider --junitxml="$scratch/$results.xml" --cov=bustd_protocol --cov=bustd_shared \
        --cov=bustd_killer --cov=bustd_monitor --cov-branch --cov-report= "$@"
}
subshell() ("$@")
# What only computes runs beside the unit tests. What starts daemons, and looks at their time and latency, runs alone.
mkdir "$scratch/beside" "$scratch/main"
pytest_on computing beside tests/simulated tests/fuzz >"$scratch/computing.log" 2>&1 &
computing=$!
check "pytest: all but the next two" subshell pytest_on units main tests --ignore=tests/simulated --ignore=tests/fuzz \
    --ignore=tests/integration --ignore=tests/hostile
computed=0
wait "$computing" || computed=$?
computing=""
cat "$scratch/computing.log"
check "pytest: simulated and fuzz, beside those" [ "$computed" -eq 0 ]
check "pytest: integration and hostile" subshell pytest_on running main --cov-append tests/integration tests/hostile
COVERAGE_FILE=$scratch/main/coverage
export COVERAGE_FILE
"$bin/python" -m coverage combine -q --append "$scratch/beside/coverage"
"$bin/python" -m coverage report --skip-covered
check "branch coverage" "$bin/python" tests/coverage_gate.py

echo "== in short"
if [ -n "$failed" ]; then echo "failed checks: ${failed#, }"; else echo "every check passed"; fi
"$bin/python" tests/closing_lines.py "$scratch/units.xml" "$scratch/computing.xml" "$scratch/running.xml"
[ -z "$failed" ]
