#!/bin/sh
# Builds dist/bustd_VERSION_all.deb from a copy of this tree, with Debian's own tools and Debian's own Python.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tree=$(dirname -- "$here")
. "$here/functions.sh"
. "$here/apt.sh"
cd "$tree"
unset PYTHONHOME PYTHONPATH PYTHONSTARTUP PYTHON || :
PATH=/usr/sbin:/usr/bin:/sbin:/bin # Debian's Python, and not one that a user has installed
export PATH LC_ALL=C.UTF-8
umask 022

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
changelog=$(sed -n '1s/^bustd (\(.*\)) .*/\1/p' packaging/debian/changelog)
[ "$version" = "$changelog" ] ||
    die 65 "pyproject.toml is at version $version, packaging/debian/changelog at $changelog: they must agree"
command -v dpkg-query >/dev/null || die 69 "there is no dpkg here: a Debian package is built on Debian or what derives from it"

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Sets `missing`, from the list in debian/control and dpkg-dev, which reads that list.
look() {
    missing=""
    for package in dpkg-dev $(sed -n '/^Build-Depends:/,/^[^ B]/s/^\(Build-Depends:\)\{0,1\} *\([a-z0-9-]*\).*,\{0,1\}$/\2/p' \
        packaging/debian/control); do
        case $package in debhelper-compat) package=debhelper ;; esac
        is_installed "$package" || missing="$missing $package"
    done
    missing=${missing# }
}
provide "missing to build the Debian package" "to build one"

if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then # so that the same commit gives the same package
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) ||
        SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l packaging/debian/changelog -S Timestamp)
fi
export SOURCE_DATE_EPOCH

# The files that git knows or does not ignore; without git, all except what the make targets leave behind.
copy=$scratch/bustd-$version
mkdir "$copy"
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

build() (
    cd "$copy"
    dpkg-buildpackage -b -d -us -uc
)
name=bustd_${version}_all.deb
say "building $name"
quietly "building the package" build
mkdir -p dist
rm -f dist/bustd_*_all.deb # `apt install ./dist/bustd*.deb` must find this one
cp "$scratch/$name" dist/
if command -v lintian >/dev/null; then
    lintian --no-cfg --allow-root --fail-on error,warning "dist/$name" || die 65 "lintian found errors in dist/$name"
else
    say "lintian is not installed: the package was not checked with it"
fi
ls -l "dist/$name"
