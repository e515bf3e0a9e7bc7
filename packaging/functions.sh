# shellcheck shell=sh
# Sourced by the scripts beside it.

# die STATUS SENTENCE: prints the sentence and exits. The statuses are those of sysexits.h.
die() {
    status=$1
    shift
    printf 'bustd: %s\n' "$*" >&2
    exit "$status"
}

say() {
    printf 'bustd: %s\n' "$*"
}

# quietly WHAT COMMAND...: runs the command, and prints its output only if it fails.
quietly() {
    what=$1
    shift
    said=$(mktemp)
    rc=0
    "$@" >"$said" 2>&1 </dev/null || rc=$?
    if [ "$rc" -ne 0 ]; then
        cat "$said" >&2
        printf 'bustd: %s failed with status %s; what it said is above\n' "$what" "$rc" >&2
    fi
    rm -f "$said"
    return "$rc"
}

# source_date: the time that a package says it was made at, so that the same commit gives the same bytes. Call it at the
# root of the tree.
source_date() {
    printf '%s\n' "${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || dpkg-parsechangelog \
        -l packaging/debian/changelog -S Timestamp)}"
}

need_root() {
    [ "$(id -u)" -eq 0 ] || die 77 "this needs root; run: sudo make $1"
}

# links: what install.sh links to, and the links, which uninstall.sh removes.
links() {
    cat <<EOF
/opt/bustd/bin/bustd /usr/local/bin/bustd
/opt/bustd/share/man/man1/bustd.1 /usr/local/share/man/man1/bustd.1
/opt/bustd/share/man/man5/bustd.toml.5 /usr/local/share/man/man5/bustd.toml.5
/opt/bustd/share/man/man5/killer.toml.5 /usr/local/share/man/man5/killer.toml.5
/opt/bustd/share/man/man8/bustd-killer.8 /usr/local/share/man/man8/bustd-killer.8
/opt/bustd/share/man/man8/bustd-monitor.8 /usr/local/share/man/man8/bustd-monitor.8
/opt/bustd/completion/bustd.bash /usr/local/share/bash-completion/completions/bustd
/opt/bustd/completion/_bustd /usr/local/share/zsh/site-functions/_bustd
/opt/bustd/completion/bustd.fish /usr/local/share/fish/vendor_completions.d/bustd.fish
EOF
}

# index_pages: makes apropos(1) find the man pages among the links, or forget them.
index_pages() {
    ! command -v mandb >/dev/null || mandb -q >/dev/null 2>&1 || :
}

# isolate SCRIPT: makes its first line start Python isolated (-I): root's environment and home then choose no code.
isolate() {
    sed -i '1s|^#! *\(/[^ ]*python[0-9.]*\)\( .*\)*$|#!\1 -I|' "$1"
    head -n 1 "$1" | grep -q '^#!/[^ ]*python[0-9.]* -I$' || die 70 "$1 does not begin with the path of a Python"
}
