#!/bin/sh
# The Debian package as a suite makes it: build.sh SUITE leaves it in dist/SUITE. Needs root and mmdebstrap. In a chroot of
# that suite it is built twice, in another place, under other settings, at another time: the same bytes must come of it.
# lintian looks at source and package, and autopkgtest installs it there and runs packaging/debian/tests.
set -eu
tree=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
. "$tree/packaging/functions.sh"
. "$tree/packaging/apt.sh"
cd "$tree"
suite=${1:?which suite}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
SOURCE_DATE_EPOCH=$(source_date)
export SOURCE_DATE_EPOCH

# The chroot is made once. systemd, man-db and what bustd imports are for autopkgtest.
packages=$(echo build-essential lintian autopkgtest systemd man-db python3-msgpack python3-prctl python3-psutil \
    "$(build_dependencies)" | tr -s ' \n' ',')
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bustd-vm
base=$cache/$suite-$(printf '%s' "$packages" | sha256sum | cut -c 1-16).tar
mkdir -p "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ ! -e "$base" ]; then
    say "making a chroot of $suite to build in (${base##*/}); the next run finds it"
    rm -f "$cache/$suite"-*.tar
    quietly "mmdebstrap" mmdebstrap --variant=minbase --include="$packages" --aptopt='Acquire::Check-Valid-Until "false"' \
        "$suite" "$work/base.tar"
    mv "$work/base.tar" "$base"
fi
root=$work/root
mkdir "$root"
tar -xf "$base" -C "$root"
cp /etc/resolv.conf "$root/etc/resolv.conf" # for autopkgtest's apt-get

# inside COMMAND: as root in the chroot, with processes of its own, so that no test can meet any of this machine's.
inside() {
    unshare --mount --pid --fork --mount-proc="$root/proc" chroot "$root" sh -euc "$1"
}

mkdir "$root/build"
sh packaging/debian-source.sh "$suite" "$root/build/bustd-$version"
mkdir -p "$root/srv/elsewhere"
cp -R "$root/build/bustd-$version" "$root/srv/elsewhere/b"
say "building on $suite"
quietly "building on $suite" inside "umask 022; cd /build/bustd-$version; LC_ALL=C TZ=UTC dpkg-buildpackage -us -uc"
quietly "building on $suite once more" inside "umask 0007; cd /srv/elsewhere/b; HOME=/nonexistent USER=somebody \
    LC_ALL=C.UTF-8 TZ=UTC-14 PYTHONHASHSEED=7 DEB_BUILD_OPTIONS=parallel=7 dpkg-buildpackage -b -us -uc"
deb=$(basename "$root"/build/bustd_*_all.deb)
rm -rf "dist/$suite"
mkdir -p "dist/$suite"
if ! cmp "$root/build/$deb" "$root/srv/elsewhere/$deb"; then
    cp "$root/build/$deb" "dist/$suite/one"
    cp "$root/srv/elsewhere/$deb" "dist/$suite/two"
    die 65 "$suite: two builds differ: diffoscope dist/$suite/one dist/$suite/two"
fi
say "$suite: two builds of $deb are the same, byte for byte"
# One source for all suites is judged by the newest lintian, except for what only Debian 12 still needs.
case $suite in
forky) strict="--pedantic --display-info --fail-on error,warning,info,pedantic --suppress-tags \
redundant-priority-optional-field,redundant-rules-requires-root-no-field,package-uses-old-debhelper-compat-version" ;;
*) strict="--fail-on error,warning --suppress-tags newer-standards-version" ;;
esac
quietly "lintian on $suite" inside "cd /build; lintian --no-cfg --allow-root $strict *.changes"
say "$suite: lintian has no complaint ($strict)"
quietly "autopkgtest on $suite" inside "cd /build; autopkgtest ./bustd-$version/ ./$deb -- null"
say "$suite: autopkgtest passes"
cp "$root/build/$deb" "dist/$suite/"
