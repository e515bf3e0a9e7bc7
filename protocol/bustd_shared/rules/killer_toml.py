"""killer.toml: root's rules. The killer enforces them; the monitor reads the same file, as advice."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..daemon.forked import ChildFailed as ChildFailed
from . import protection
from .loading import read_in_child
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

_NOT_BY_PRESSURE = "available_percent alone decides, because any user can raise the pressure"

SCHEMA: Schema = {
    "cgroup": Key("cgroup", "", "Judge by the memory of this control group, and kill no process outside it."),
    "peer": {
        "user": Key(
            "user", "bustd", "The monitor runs as this user, given by name or uid. The killer serves no other user."
        ),
    },
    "protect": {
        "shipped": Key(
            "bool", True, "Protect what a machine cannot do without: logins, the message bus, systemd's daemons."
        ),
        "units": Key(
            "globs", [], "Processes of these units are never killed. Each is a glob on the name of a system unit."
        ),
        "users": Key("users", [], "Processes of these users are never killed. Each is a name or a uid."),
        "names": Key(
            "names",
            [],
            "Processes with these names are never killed. Each is a glob; any process can give itself such a name.",
        ),
    },
    "limits": {
        "claimed_percent": Key(
            "int",
            50,
            "The victim must hold at least this percentage of the memory that the monitor claims for it.",
            0,
            100,
        ),
        "minimum_mib": Key(
            "int",
            16,
            "The victim must hold at least this many MiB, or minimum_percent of RAM if that is less.",
            0,
            2**20,
        ),
        "minimum_percent": Key(
            "int", 1, "The victim must hold at least this percentage of RAM, or minimum_mib if that is less.", 0, 100
        ),
        "available_percent": Key(
            "int",
            40,
            "Nothing is killed while more than this percentage of what programs can use is available.",
            1,
            100,
        ),
        "pressured_available_percent": Key("obsolete", None, _NOT_BY_PRESSURE),
        "pressure_some_avg10": Key("obsolete", None, _NOT_BY_PRESSURE),
    },
    "rate": {
        "burst": Key("int", 3, "This many kills may follow each other without a pause.", 1, 1000),
        "interval_ms": Key(
            "int", 500, "After such a burst, one more kill is allowed every this many milliseconds.", 0, 600_000
        ),
        "per_minute": Key("int", 60, "No minute sees more than this many kills.", 1, 60_000),
    },
    "grace": {
        "term_ms": Key(
            "int",
            2000,
            "A victim that is still alive this many milliseconds after SIGTERM gets SIGKILL, if memory is still short.",
            0,
            600_000,
        ),
        "stuck_ms": Key(
            "int",
            5000,
            "A victim that has memory this many milliseconds after SIGKILL is stuck, and the next kill may follow.",
            1,
            600_000,
        ),
    },
}


class KillerConfig(NamedTuple):
    """What killer.toml says; `peer_uid` is None where the default user does not exist on this machine.

    `warnings`: a printable line for each rule that is valid and yet can hardly be meant so.
    """

    peer_uid: int | None
    protect_units: tuple[str, ...]
    protect_uids: tuple[int, ...]
    protect_names: tuple[bytes, ...]
    shipped_names: tuple[bytes, ...]
    claimed_percent: int
    minimum_mib: int
    minimum_percent: int
    available_percent: int
    burst: int
    interval_ms: int
    per_minute: int
    term_ms: int
    stuck_ms: int
    cgroup: str = ""
    warnings: tuple[str, ...] = ()


def load(path: str | os.PathLike[str], *, required: bool = False) -> KillerConfig:
    """The rules in the file and its drop-ins. Raises ConfigError with every problem, and ChildFailed."""
    values, warnings = read_in_child(lambda: examine(path, required=required))
    return config_of(values)._replace(warnings=warnings)


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
