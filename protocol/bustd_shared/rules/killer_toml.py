"""killer.toml: root's rules. The killer enforces them; the monitor reads the same file, as advice."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..daemon.forked import ChildFailed as ChildFailed
from . import protection
from .loading import values_in_child
from .protection import Protection
from .schema import ConfigError as ConfigError
from .schema import Key, Schema, Values, with_defaults

TYPE_CHECKING = False

if TYPE_CHECKING:
    import os

    from .config_files import Loaded

SHIPPED_UNITS = (
    "init.scope",
    # One by one and not `systemd-*`: a container is a `systemd-nspawn@.service`, and a leak in it must be killable.
    "systemd-homed.service",
    "systemd-hostnamed.service",
    "systemd-journald.service",
    "systemd-journald@*.service",
    "systemd-localed.service",
    "systemd-logind.service",
    "systemd-machined.service",
    "systemd-networkd.service",
    "systemd-oomd.service",
    "systemd-portabled.service",
    "systemd-resolved.service",
    "systemd-timedated.service",
    "systemd-timesyncd.service",
    "systemd-udevd.service",
    "systemd-userdbd.service",
    "dbus.service",
    "dbus-broker.service",
    "polkit.service",
    # A login moves to a scope of its own, out of these units, as soon as logind knows of it.
    "ssh.service",
    "ssh@*.service",
    "sshd.service",
    "sshd@*.service",
    "console-getty.service",
    "container-getty@*.service",
    "getty@*.service",
    "serial-getty@*.service",
    "display-manager.service",
    "gdm.service",
    "gdm3.service",
    "greetd.service",
    "lightdm.service",
    "lxdm.service",
    "ly.service",
    "ly@*.service",
    "sddm.service",
    "xdm.service",
)
"""Protected unless `protect.shipped` is false: without these nobody can log in, or the machine is no longer whole."""

SHIPPED_NAMES = (
    # The user's own service manager and message bus are not units of the system: with them, the whole session dies.
    b"systemd",
    b"dbus-broker",
    b"dbus-broker-lau",
    b"dbus-daemon",
    # For machines without systemd.
    b"agetty",
    b"elogind",
    b"elogind-daemon",
    b"getty",
    b"login",
    b"polkitd",
    b"runsv",
    b"runsvdir",
    b"s6-supervise",
    b"s6-svscan",
    b"seatd",
    b"sshd",
    b"sshd-auth",
    b"sshd-session",
    b"supervise-daemo",
    b"udevd",
    b"gdm",
    b"gdm3",
    b"greetd",
    b"lightdm",
    b"lxdm",
    b"ly",
    b"ly-dm",
    b"sddm",
    b"xdm",
)
"""Names as comm has them, cut at 15 bytes. A name can be forged (prctl(2), PR_SET_NAME); a unit can't."""

SCHEMA: Schema = {
    "cgroup": Key("cgroup", "", "Judge by the memory of this control group, and kill nobody outside of it."),
    "peer": {
        "user": Key(
            "user", "bustd", "The user that the monitor runs as, by name or uid: the killer serves nobody else."
        ),
    },
    "protect": {
        "shipped": Key(
            "bool", True, "Protect what a machine can't do without: logins, message bus, systemd's daemons."
        ),
        "units": Key("globs", [], "More units that must never be killed, as globs on the name of a system unit."),
        "users": Key("users", [], "Users whose processes must never be killed, by name or uid."),
        "names": Key("names", [], "Globs on process names (15 bytes at most); a process can give itself any name."),
    },
    "limits": {
        "claimed_percent": Key("int", 50, "The victim must hold this percentage of what the monitor claims.", 0, 100),
        "minimum_mib": Key(
            "int", 16, "The victim must hold this much (MiB), or minimum_percent if that is less.", 0, 2**20
        ),
        "minimum_percent": Key(
            "int", 1, "The victim must hold this percentage of RAM, or minimum_mib if that is less.", 0, 100
        ),
        "available_percent": Key("int", 25, "Nothing is killed while more memory than this is available.", 1, 100),
        "pressured_available_percent": Key("int", 40, "The same, while there is memory pressure as below.", 1, 100),
        "pressure_some_avg10": Key(
            "int", 10, "From this PSI some avg10 on there is memory pressure (percent).", 0, 100
        ),
    },
    "rate": {
        "burst": Key("int", 3, "So many kills may follow each other at once.", 1, 1000),
        "interval_ms": Key("int", 500, "After them, one kill in each interval (ms).", 0, 600_000),
        "per_minute": Key("int", 60, "No more kills than this in any minute.", 1, 60_000),
    },
    "grace": {
        "term_ms": Key("int", 2000, "A victim that SIGTERM has not ended by then gets SIGKILL.", 0, 600_000),
        "stuck_ms": Key(
            "int", 5000, "A victim that SIGKILL has not ended by then is stuck; the next may die.", 1, 600_000
        ),
    },
}


class KillerConfig(NamedTuple):
    """What killer.toml says; `peer_uid` is None where the default user does not exist on this machine."""

    peer_uid: int | None
    protect_units: tuple[str, ...]
    protect_uids: tuple[int, ...]
    protect_names: tuple[bytes, ...]
    shipped_names: tuple[bytes, ...]
    claimed_percent: int
    minimum_mib: int
    minimum_percent: int
    available_percent: int
    pressured_available_percent: int
    pressure_some_avg10: int
    burst: int
    interval_ms: int
    per_minute: int
    term_ms: int
    stuck_ms: int
    cgroup: str = ""


def load(path: str | os.PathLike[str], *, required: bool = False) -> KillerConfig:
    """The rules in the file and its drop-ins. Raises ConfigError with every problem, and ChildFailed."""
    return config_of(values_in_child(lambda: examine(path, required=required)))


def examine(path: str | os.PathLike[str], *, required: bool = False) -> Loaded:
    """The same in this process, for a child or a command: it imports the parser."""
    from .config_files import read
    from .validation import above, uid_of

    reading = read(path, SCHEMA, required=required, trusted=True)
    values = with_defaults(reading.values, SCHEMA)
    if isinstance(values["peer"]["user"], str):
        reading.values["peer"] = {"user": uid_of(values["peer"]["user"])}
    if reading.problems:
        return reading
    return reading._replace(problems=above(values, reading.origins, "rate.burst", "rate.per_minute"))


def config_of(values: Values) -> KillerConfig:
    """The configuration from validated values; what is not given has its default, and the default user no uid."""
    whole = with_defaults(values, SCHEMA)
    protect, user = whole["protect"], whole["peer"]["user"]
    return KillerConfig(
        peer_uid=user if isinstance(user, int) else None,
        protect_units=(SHIPPED_UNITS if protect["shipped"] else ()) + tuple(protect["units"]),
        protect_uids=tuple(protect["users"]),
        protect_names=tuple(protect["names"]),
        shipped_names=SHIPPED_NAMES if protect["shipped"] else (),
        **whole["limits"],
        **whole["rate"],
        **whole["grace"],
        cgroup=whole["cgroup"],
    )


def minimum_bytes(total_bytes: int, config: KillerConfig) -> int:
    """What a victim must hold at least, by the size of the machine."""
    return protection.minimum_bytes(total_bytes, config.minimum_mib, config.minimum_percent)


def protection_of(config: KillerConfig) -> Protection:
    """Its rules on who must never be killed."""
    return Protection(config.protect_units, config.protect_uids, config.protect_names, config.shipped_names)
