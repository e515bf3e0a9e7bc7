# shellcheck shell=sh
# shellcheck disable=SC2154  # scratch
# Sourced by the scripts beside it that may install Debian packages. $scratch must be a temporary directory of theirs.

# Removes addresses from apt's output. A reader needs the reason of a failure, and the address of a mirror may be private.
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

# build_dependencies: what debian/control names, a package a line. Call it at the root of the tree.
build_dependencies() {
    sed -n '/^Build-Depends:/,/^[^ B]/s/^\(Build-Depends:\)\{0,1\} *\([a-z0-9-]*\).*,\{0,1\}$/\2/p' packaging/debian/control |
        sed 's/^debhelper-compat$/debhelper/'
}

# apt_install PACKAGE...: dies when that fails.
apt_install() {
    apt_get update || : # a broken source may not matter: the next step fails if it does
    if ! apt_get install --no-install-recommends "$@"; then
        without_addresses <"$scratch/apt" >&2
        die 69 "apt-get could not install: $*"
    fi
}

# installed_packages: all of them, sorted, a line each.
installed_packages() {
    dpkg-query -W -f '${db:Status-Abbrev} ${binary:Package}\n' | sed -n 's/^ii *//p' | LC_ALL=C sort
}

# apt_bring RECORD PACKAGE...: installs them, and adds to RECORD what is new with them. A package that was there already,
# and is a new version of itself now, is not added.
apt_bring() {
    brought_into=$1
    shift
    installed_packages >"$scratch/before"
    apt_install "$@"
    installed_packages | LC_ALL=C comm -13 "$scratch/before" - >>"$brought_into"
}

# remove_tools RECORD: removes the packages that it lists and nothing that depends on one of them, which then stays too.
remove_tools() {
    [ -s "$1" ] || return 0
    tools=$(tr '\n' ' ' <"$1")
    # shellcheck disable=SC2086  # a list of package names
    if quietly "removing what the build had brought" dpkg --purge $tools; then
        say "removed what was brought to build with: ${tools% }"
        : >"$1"
    else
        say "these Debian packages were brought to build with, and could not be removed: ${tools% }"
    fi
}

# provide COMPLAINT PURPOSE: installs the packages that the caller's function `look` leaves in `missing`, or dies and
# names them.
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
