#!/bin/sh
# Installs bustd unless it is installed already, then protects this machine until ctrl-C.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
sh "$here/install.sh"
exec /opt/bustd/bin/bustd --no-daemon "$@"
