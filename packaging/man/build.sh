#!/bin/sh
# Makes the man pages. Usage: build.sh OUTDIR; PYTHON names the Python to use. render.py fills in what comes from the
# code (keys, options, exit codes), and scdoc(1) makes the pages, dated SOURCE_DATE_EPOCH if that is set. A source archive
# has them in rendered/, and without scdoc they are taken from there.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$here/../functions.sh"
outdir=${1:?OUTDIR, where the pages go}
umask 022

if ! command -v scdoc >/dev/null; then
    [ -d "$here/rendered" ] ||
        die 69 "scdoc, which makes the man pages, is missing; on Debian: sudo apt-get install scdoc"
    mkdir -p -- "$outdir"
    cp -- "$here"/rendered/* "$outdir"
    exit 0
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -I "$here/render.py" "$scratch/source"
mkdir "$scratch/pages"
# No word is broken at a hyphen, and each hyphen is a minus, so that a command can be copied and an option searched for.
as_typed() {
    sed -e '/^\.TH /i\
.nr HY 0' -e '/^\./b' -e '/^\\h/b' -e 's/\\-/-/g' -e 's/-/\\-/g'
}
for source in "$scratch"/source/*.scd; do
    page=${source##*/}
    scdoc <"$source" >"$scratch/roff" || die 65 "scdoc does not accept $page as render.py left it"
    as_typed <"$scratch/roff" >"$scratch/pages/${page%.scd}"
done
printf '.so man5/bustd.toml.5\n' >"$scratch/pages/killer.toml.5" # one page for both files
mkdir -p -- "$outdir"
cp -- "$scratch"/pages/* "$outdir"
