#!/bin/sh
# What the virtual machine is built and run with: QEMU, mmdebstrap, mke2fs, the keys of Debian 13. As root on Debian it
# installs what is missing; where that is impossible it fails and says so: nothing is skipped in silence.
set -eu
tree=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
. "$tree/packaging/functions.sh"
. "$tree/packaging/apt.sh"

look() {
    missing=""
    command -v qemu-system-x86_64 >/dev/null || missing="$missing qemu-system-x86"
    command -v mmdebstrap >/dev/null || missing="$missing mmdebstrap"
    command -v lintian >/dev/null || missing="$missing lintian" # for the package
    command -v mke2fs >/dev/null || missing="$missing e2fsprogs"
    ls /usr/share/keyrings/debian-archive-trixie-* >/dev/null 2>&1 ||
        ls /usr/share/keyrings/debian-archive-keyring.* >/dev/null 2>&1 || missing="$missing debian-archive-keyring"
    missing=${missing# }
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
provide "the virtual machine cannot be had, and nothing was tested in it: missing" "for the virtual machine"
[ "$(id -u)" -eq 0 ] || die 77 "the virtual machine's image is built as root; run: sudo make vm-test"
