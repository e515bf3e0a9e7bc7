#!/bin/sh
# Removes what packaging/install.sh and the standalone bustd put on this machine.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$here/functions.sh"
need_root uninstall
prefix=/opt/bustd
record=$prefix/.installed-packages
needed=$prefix/.needed-packages

if [ -e "$prefix" ] && { [ -h "$prefix" ] || [ ! -e "$record" ]; }; then
    die 73 "$prefix was not made by install.sh; nothing was removed"
fi

# Processes that were started from there, or that have a module from there mapped.
running=$({
    grep -ls "^$prefix/" /proc/[0-9]*/cmdline || :
    grep -ls " $prefix/" /proc/[0-9]*/maps || :
} | cut -d / -f 3 | sort -nu | tr '\n' ' ')
running=${running% }
[ -z "$running" ] || die 75 "still running from $prefix: PID $running; stop it (kill $running) and try again"

packages=""
if [ -e "$record" ] && command -v dpkg-query >/dev/null; then
    brought=$(cat "$record" "$needed" 2>/dev/null) || : # either may be missing
    for package in $brought; do
        if dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null </dev/null | grep -q '^ii'; then
            packages="$packages $package"
        fi
    done
fi

# A package of the distribution uses the same configuration, user and /run, and owns them.
packaged=no
for unit in /usr/lib/systemd/system/bustd-killer.service /lib/systemd/system/bustd-killer.service; do
    if [ -e "$unit" ]; then packaged=yes; fi
done

removed=""
for name in bustd.toml killer.toml; do
    [ "$packaged" = no ] || break
    file=/etc/bustd/$name
    [ -e "$file" ] || continue
    if cmp -s "$file" "$prefix/.shipped/$name" || cmp -s "$file" "$here/$name"; then
        rm -f "$file"
        removed="$removed $file"
    else
        say "kept $file, which differs from the one that was shipped"
    fi
done
[ "$packaged" = yes ] || [ ! -d /etc/bustd ] || rmdir /etc/bustd 2>/dev/null || say "kept /etc/bustd, which is not empty"

while read -r target link; do
    if [ -h "$link" ] && [ "$(readlink "$link")" = "$target" ]; then
        rm -f "$link"
        removed="$removed $link"
    fi
done <<EOF
$(links)
EOF
index_pages
if [ -e "$prefix/.made-folders" ]; then
    while read -r folder; do rmdir "$folder" 2>/dev/null || :; done <"$prefix/.made-folders"
fi
autostart=/etc/xdg/autostart/bustd-notify.desktop
if [ "$packaged" = no ] && grep -qs "^Exec=$prefix/bin/bustd " "$autostart"; then
    rm -f "$autostart"
    removed="$removed $autostart"
fi
for path in /run/bustd /run/bustd.* /run/bustd-* /var/log/bustd.log /var/lib/prometheus/node-exporter/bustd.prom; do
    [ "$packaged" = no ] || break
    if [ -e "$path" ] || [ -h "$path" ]; then
        rm -rf "$path"
        removed="$removed $path"
    fi
done

for user in bustd bustd-killer; do
    case $packaged:$(getent passwd "$user" || :) in
    no: | yes:*) ;;
    *:/nonexistent:*/nologin)
        if command -v userdel >/dev/null; then
            quietly "removing the user $user" userdel "$user"
        else # busybox
            quietly "removing the user $user" deluser "$user"
        fi
        removed="$removed user:$user"
        ;;
    *) say "kept the user $user, which is not as install.sh makes it" ;;
    esac
done
if [ "$packaged" = no ] && ! getent passwd bustd >/dev/null && getent group bustd >/dev/null; then
    if command -v groupdel >/dev/null; then
        quietly "removing the group bustd" groupdel bustd
    else
        quietly "removing the group bustd" delgroup bustd
    fi
    removed="$removed group:bustd"
fi

if [ -d "$prefix" ]; then # last, so that an interrupted uninstall can be run again
    rm -rf "$prefix"
    removed="$removed $prefix"
fi
[ "$packaged" = no ] || say "kept /etc/bustd and the user bustd: a package of bustd is installed"
if [ -n "$removed" ]; then say "removed:$removed"; else say "there is nothing to remove"; fi
if [ -n "$packages" ]; then
    say "these Debian packages were brought for bustd and are still there; to remove them:" "apt-get purge$packages"
fi
