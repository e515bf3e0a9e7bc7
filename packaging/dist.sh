#!/bin/sh
# Builds the wheel and the source archive into dist/, with a build tool that lives only as long as this script.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tree=$(dirname -- "$here")
. "$here/functions.sh"
cd "$tree"
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP || :
export PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1

python=$(sh "$here/find-python.sh")
"$python" -I -c 'import ensurepip, venv' 2>/dev/null ||
    die 69 "$python has no venv module; on Debian: sudo apt-get install python3-venv"
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then # so that the same commit gives the same archive
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || SOURCE_DATE_EPOCH=$(date +%s)
fi
export SOURCE_DATE_EPOCH
command -v scdoc >/dev/null || [ -d "$here/man/rendered" ] ||
    die 69 "scdoc, which makes the man pages, is missing; on Debian: sudo apt-get install scdoc"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
quietly "making a virtual environment" "$python" -I -m venv "$scratch/venv"
quietly "installing hatchling" "$scratch/venv/bin/python" -I -m pip install --require-hashes --only-binary :all: \
    -r "$here/requirements-build.txt"
quietly "building" "$scratch/venv/bin/python" -I -m hatchling build -d dist
ls -l dist
