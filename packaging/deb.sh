#!/bin/sh
# Builds dist/bustd_VERSION_all.deb from a copy of this tree, with Debian's own tools and Debian's own Python.
# Usage: deb.sh [SUITE]; by default for the Debian that it runs on.
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

# Sets `missing`.
look() {
    missing=""
    for package in dpkg-dev $(build_dependencies); do
        is_installed "$package" || missing="$missing $package"
    done
    missing=${missing# }
}
provide "missing to build the Debian package" "to build one"

SOURCE_DATE_EPOCH=$(source_date)
export SOURCE_DATE_EPOCH
copy=$scratch/bustd-$version
sh packaging/debian-source.sh "${1:-$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)}" "$copy"

build() (
    cd "$copy"
    dpkg-buildpackage -b -d -us -uc
)
say "building bustd $version"
quietly "building the package" build
mkdir -p dist
rm -f dist/bustd_*_all.deb # `apt install ./dist/bustd*.deb` must find this one
cp "$scratch"/bustd_*_all.deb dist/
if command -v lintian >/dev/null; then
    lintian --no-cfg --allow-root --fail-on error,warning dist/bustd_*_all.deb || die 65 "lintian found errors in the package"
else
    say "lintian is not installed: the package was not checked with it"
fi
ls -l dist/bustd_*_all.deb
