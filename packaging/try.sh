#!/bin/sh
# Builds the Arch package or the RPM in a fresh Debian, installs it there, lets it kill a leak of its own, and removes it:
# by makepkg and pacman, or by rpmbuild and rpm, which Debian has. Nothing of it stays on this machine except dist/.
# Usage, as root: try.sh arch|rpm [SUITE]. It needs mmdebstrap, and takes five minutes.
# What it can't show: that distribution's own Python with its paths, its systemd, and whether the dependencies exist
# there by these names. Debian's pacman and rpm know no package of it, so dependencies are not looked at (--nodeps).
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$here/functions.sh"
kind=${1:-} suite=${2:-trixie}
case $kind in
arch) tools=makepkg,pacman-package-manager,libarchive-tools,fakeroot,binutils,file,zstd,python-is-python3 ;;
rpm) tools=rpm,file,binutils,systemd ;;
*) die 64 "usage: try.sh arch|rpm [SUITE]" ;;
esac
[ "$(id -u)" -eq 0 ] || die 77 "this needs root"
command -v mmdebstrap >/dev/null || die 69 "mmdebstrap is missing; on Debian: sudo apt-get install mmdebstrap"

sh "$here/dist.sh"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
root=$scratch/root
python=python3,python3-msgpack,python3-psutil,python3-prctl,python3-build,python3-hatchling,python3-installer
say "making a Debian ($suite) with the tools"
quietly "making it" mmdebstrap --variant=minbase --include="$python,scdoc,man-db,passwd,$tools" "$suite" "$root"
mkdir "$root/build"
cp "$here"/../dist/bustd-*.tar.gz "$here/arch/PKGBUILD" "$here/rpm/bustd.spec" "$root/build"
chroot "$root" useradd builder # makepkg refuses root
chroot "$root" chown -R builder /build

cat >"$root/try" <<'INSIDE'
set -eu
# Where Debian's Python puts what a package brings; otherwise it is the place for what an administrator has compiled.
export DEB_PYTHON_INSTALL_LAYOUT=deb_system PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
cd /build
case $1 in
arch)
    runuser -u builder -- makepkg --nodeps
    ln -sf /proc/self/mounts /etc/mtab # pacman reads it
    pacman -U --noconfirm --nodeps --nodeps ./bustd-*.pkg.tar*
    pacman -Qkk bustd # each file is there, with the mode and the owner that it was packed with
    useradd --system bustd # Arch has a hook of systemd's for both users
    useradd --system bustd-killer
    ;;
rpm)
    runuser -u builder -- rpmbuild --define '_topdir /build' --define '_sourcedir /build' --nodeps -bb bustd.spec
    rpm -i --nodeps RPMS/noarch/bustd-*.rpm
    rpm -V --nodeps bustd
    getent passwd bustd bustd-killer # rpm has made them from sysusers.d
    ;;
esac

bustd --version
bustd check
# It ends with 1, because no daemon runs here, which it says.
bustd selftest --standalone | tee selftest.log || :
grep -q '^selftest passed: ' selftest.log

# The daemons by the commands in their units, in a dry run: the monitor must say that it is connected to the killer.
started_by() { sed -n 's/^ExecStart=//p' "/usr/lib/systemd/system/$1.service"; }
mkdir -p /run/bustd
$(started_by bustd-killer) --dry-run --socket /run/bustd/killer.sock &
killer=$!
setpriv --reuid=bustd --regid=bustd --init-groups $(started_by bustd-monitor) --dry-run >monitor.log 2>&1 &
monitor=$!
for _ in $(seq 60); do ! grep -qs 'connected to the killer' monitor.log || break; sleep 0.5; done
kill "$monitor" "$killer"
wait "$monitor" "$killer"
grep 'connected to the killer' monitor.log
rm -r /run/bustd

mandb -q
for page in bustd.1 bustd.toml.5 killer.toml.5 bustd-killer.8 bustd-monitor.8; do man -w "${page##*.}" "${page%.*}"; done
for words in oom "out of memory"; do apropos "$words" | grep '^bustd '; done

case $1 in
arch) pacman -R --noconfirm bustd ;;
rpm) rpm -e --nodeps bustd ;;
esac
left=$(find / -xdev ! -path '/build/*' ! -path '/proc/*' -name '*bustd*')
[ -z "$left" ] || { printf 'left over:\n%s\n' "$left"; exit 1; }
INSIDE

say "building it, installing it, trying it, removing it"
# Its own mounts, because pacman and rpm want / to be one; and its own processes, because a selftest kills.
# shellcheck disable=SC2016  # what the inner shell expands
unshare --mount --pid --fork --kill-child sh -euc '
    mount --bind "$1" "$1"
    mount -t proc proc "$1/proc"
    mount --bind /dev "$1/dev"
    exec chroot "$1" sh /try "$2"
' sh "$root" "$kind"
say "$kind: built, installed, tried and removed"
