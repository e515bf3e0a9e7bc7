# shellcheck shell=sh
# shellcheck disable=SC2154  # scratch
# Sourced by the scripts beside it that may install Debian packages. They have made $scratch, a folder of their own.

# Why apt failed is of use to a reader; the address of the mirror is not, and may be somebody's own.
without_addresses() {
    sed -E -e 's#[a-z][a-z0-9+.-]*://[^[:space:]]*#(address)#g' \
        -e "s#'[^' ]*\.[A-Za-z]{2,}(:[^' ]*)?'#(address)#g" \
        -e 's#(([Rr]esolv|[Cc]onnect)(e|ing|ion|ed)?( to)?) [^([:space:]][^[:space:]]*[.:][^[:space:]]*#\1 (address)#g' \
        -e 's#\[IP:[^]]*\]|\([0-9a-fA-F:.]{4,}\)|[0-9]+(\.[0-9]+){3}#(address)#g'
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@" </dev/null >>"$scratch/apt" 2>&1
}

is_installed() {
    dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii'
}

# apt_install PACKAGE...: dies when that fails.
apt_install() {
    apt_get update || : # one broken source among many need not matter; the next step tells
    if ! apt_get install --no-install-recommends "$@"; then
        without_addresses <"$scratch/apt" >&2
        die 69 "apt-get could not install: $*"
    fi
}
