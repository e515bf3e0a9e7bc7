#!/bin/sh
# Runs the image that `make image` has left in dist/ with podman and runc, in namespaces of its own (a minute).
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
tree=$(CDPATH='' cd -- "$here/../.." && pwd)
. "$tree/packaging/functions.sh"
need_root image-test
cd "$tree"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
image=$tree/dist/bustd-$version.oci.tar
[ -f "$image" ] || die 66 "$image does not exist; run: sudo make image"
for tool in podman runc skopeo; do
    command -v "$tool" >/dev/null || die 69 "$tool is missing; on Debian: sudo apt install podman runc skopeo"
done
BUSTD_IMAGE=$image exec .venv/bin/pytest -p no:cacheprovider tests/integration/test_container.py "$@"
