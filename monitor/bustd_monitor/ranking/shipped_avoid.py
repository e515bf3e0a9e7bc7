"""What is avoided unless `victims.avoid_shipped` is false: without it a session ends, or an upgrade stops half way.

It is avoided and not protected, because each of these programs may leak itself. A process can choose its name, and a
user the names of the groups below the user's own manager: a process that takes such a name gains this place in the
order and no more.
"""

from __future__ import annotations

from .settings import Matchers

_UNITS = (
    "apt-daily.service",
    "apt-daily-upgrade.service",
    "unattended-upgrades.service",
    "packagekit.service",
    "packagekit-offline-update.service",
    "dnf-*.service",
    "dnf5-*.service",
    "rpm-ostreed.service",
)

_DISPLAYS = (
    *(b"X", b"Xorg", b"Xorg.bin", b"Xwayland", b"Xtigervnc", b"Xvnc"),
    *(b"gnome-shell", b"mutter", b"mutter-x11-fram", b"metacity", b"phosh", b"phoc"),
    *(b"kwin", b"kwin_wayland", b"kwin_wayland_wr", b"kwin_x11", b"plasmashell"),
    *(b"cinnamon", b"muffin", b"marco", b"xfwm4", b"budgie-wm", b"gala", b"cosmic-comp", b"compiz", b"enlightenment"),
    *(b"sway", b"Hyprland", b"niri", b"river", b"labwc", b"wayfire", b"weston", b"cage", b"dwl", b"hikari", b"miriway"),
    *(b"gamescope", b"gamescope-wl"),
    *(b"openbox", b"fluxbox", b"icewm", b"i3", b"awesome", b"bspwm", b"dwm", b"qtile", b"herbstluftwm"),
    b"xmonad*",
)
"""Compositors, X servers and window managers."""

_SESSIONS = (
    *(b"gnome-session*", b"cinnamon-sessio", b"mate-session", b"xfce4-session", b"lxqt-session", b"lxsession"),
    *(b"ksmserver", b"plasma_session", b"startplasma-*", b"budgie-session*", b"dde-session*", b"cosmic-session"),
    *(b"gdm-*", b"sddm-helper*", b"xinit", b"startx", b"uwsm"),
)

_SOUND = (b"pipewire", b"pipewire-pulse", b"pipewire-media-", b"wireplumber", b"pulseaudio", b"jackd", b"jackdbus")

_PACKAGES = (
    *(b"dpkg", b"dpkg-deb", b"apt", b"apt-get", b"apt.systemd.dai", b"aptitude", b"aptd", b"unattended-upgr"),
    *(b"rpm", b"rpm-ostree", b"dnf", b"dnf-3", b"dnf5", b"dnf-automatic", b"dnf5daemon-serv", b"microdnf", b"yum"),
    *(b"zypper", b"pacman", b"packagekitd", b"apk", b"emerge", b"xbps-install"),
)

AVOIDED = Matchers(
    units=_UNITS,
    uids=(),
    names=_DISPLAYS + _SESSIONS + _SOUND + _PACKAGES,
    commands=(),
    cgroups=("*/session.slice",),
)
"""Names as comm has them, cut at 15 bytes."""
