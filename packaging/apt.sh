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

# provide COMPLAINT PURPOSE: installs what `look`, a function of the caller's, leaves in `missing`, or dies naming it.
provide() {
    look
    [ -n "$missing" ] || return 0
    by_hand="$1: $missing"
    command -v apt-get >/dev/null || die 69 "$by_hand; install what is named (the names are Debian's)"
    [ "$(id -u)" -eq 0 ] || die 69 "$by_hand; run: sudo apt-get install $missing"
    say "installing Debian packages $2: $missing"
    # shellcheck disable=SC2086  # a list of package names
    apt_install $missing
    look
    [ -z "$missing" ] || die 69 "still missing after apt-get install: $missing"
}
