#!/bin/sh
# Makes the source tree of the Debian package: debian-source.sh SUITE DIRECTORY. For a suite that needs a package of its
# own the changelog gets an entry, whose version and distribution the package has then, and debian/rules reads. Every file
# has the time SOURCE_DATE_EPOCH: dpkg lowers later times to it, and would keep that of a file older than its commit.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tree=$(dirname -- "$here")
suite=${1:?suite} copy=${2:?directory} date=${SOURCE_DATE_EPOCH:?}
cd "$tree"
changelog=packaging/debian/changelog

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$copy"

# The files that git knows or does not ignore; without git, all except what the make targets leave behind.
if [ -e .git ] && git ls-files -co --exclude-standard >"$scratch/listed" 2>/dev/null; then
    while IFS= read -r name; do # git also lists a file that was removed without a commit
        if [ -e "$name" ] || [ -h "$name" ]; then printf '%s\n' "$name"; fi
    done <"$scratch/listed" >"$scratch/files"
    tar -cf - --verbatim-files-from -T "$scratch/files" | tar -xf - -C "$copy" --no-same-owner
else
    tar -cf - --exclude=./.venv --exclude=./dist --exclude=./build --exclude=./.git --exclude='./.*_cache' \
        --exclude=__pycache__ . | tar -xf - -C "$copy" --no-same-owner
fi
cp -R packaging/debian "$copy/debian"

# entry SUFFIX: in front of the changelog, and later than the entry before.
entry() {
    version=$(sed -n '1s/^bustd (\(.*\)) .*/\1/p' $changelog)
    by=$(sed -n '/^ -- /{s/  .*//p;q}' $changelog)
    at=$(sed -n '/^ -- /{s/.*>  //p;q}' $changelog)
    {
        printf 'bustd (%s%s) %s; urgency=medium\n\n  * Built for %s.\n\n' "$version" "$1" "$suite" "$suite"
        printf '%s  %s\n\n' "$by" "$(LC_ALL=C date -R -u -d "$at 1 second")"
        cat $changelog
    } >"$copy/debian/changelog"
}
case $suite in
bookworm) entry '~deb12u1' ;;
trixie) entry '~deb13u1' ;;
esac
find "$copy" -exec touch -h -d "@$date" {} +
