#!/bin/sh
# Builds dist/bustd-VERSION.oci.tar, the container image with both halves and no shell. Needs root, and buildah. BASE names
# the Debian image whose files are collected; BASE=mmdebstrap makes one of Debian's packages, where no registry can be reached.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tree=$(CDPATH='' cd -- "$here/../.." && pwd)
. "$tree/packaging/functions.sh"
need_root image
command -v buildah >/dev/null || die 69 "buildah is missing; on Debian: sudo apt install buildah"
cd "$tree"
umask 022
suite=trixie
base=${BASE:-docker.io/library/debian:13-slim}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)

# A storage of its own: nothing of this build stays on the machine but the archive. vfs and chroot work wherever root does,
# also inside a container.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
builder() {
    buildah --root "$scratch/storage" --runroot "$scratch/run" --storage-driver "${STORAGE_DRIVER:-vfs}" "$@"
}
build() {
    builder build --isolation "${BUILDAH_ISOLATION:-chroot}" "$@"
}

if [ "$base" = mmdebstrap ]; then
    command -v mmdebstrap >/dev/null || die 69 "mmdebstrap is missing; on Debian: sudo apt install mmdebstrap"
    base=localhost/debian:$suite
    say "making $base of Debian's packages"
    quietly "making $base" mmdebstrap --variant=minbase "$suite" "$scratch/base.tar"
    printf 'FROM scratch\nADD base.tar /\n' >"$scratch/Containerfile"
    quietly "importing $base" build -f "$scratch/Containerfile" -t "$base" "$scratch"
    rm "$scratch/base.tar"
fi

# The same commit and the same packages give the same image.
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null)} || time=$(date +%s)
image=localhost/bustd:$version
say "building $image from $base"
quietly "building the image" build --timestamp "$time" --build-arg "BASE=$base" \
    --label "org.opencontainers.image.version=$version" -f "$here/Containerfile" -t "$image" .
mkdir -p dist
archive=dist/bustd-$version.oci.tar
rm -f "$archive"
quietly "writing $archive" builder push "$image" "oci-archive:$archive:$image"
builder images --format '{{.Name}}:{{.Tag}} {{.Size}}' "$image"
ls -l "$archive"
say "to use it: podman load -i $archive"
