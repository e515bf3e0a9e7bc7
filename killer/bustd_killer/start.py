"""The start of the killer: arguments, configuration, the order of the start, the loop.

Exit codes: 0 stopped by a signal; 64 wrong arguments; 69 the kernel is too old, or the control group can't be watched;
70 the monitor of the pair died; 71 the rehearsal failed; 78 the configuration or the socket is wrong. The monitor's own
69 and 78 are passed on.
"""

from __future__ import annotations

import os
import sys
import time

from bustd_shared import __version__
from bustd_shared.daemon import command_line
from bustd_shared.daemon.command_line import Option, UsageError
from bustd_shared.daemon.forked import ChildFailed
from bustd_shared.daemon.log import Log, where
from bustd_shared.daemon.packets import Socket
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import cgroups, version, watched_group
from bustd_shared.rules import killer_toml
from bustd_shared.rules.protection import Protection

from . import launcher, listening, lockdown, rehearsal, sysapi
from .checks import Guard, OwnPids
from .facts import CgroupFiles, MachineFiles
from .launcher import MonitorPlan
from .peer import Peer
from .server import Server

EX_OK, EX_USAGE, EX_UNAVAILABLE, EX_SOFTWARE, EX_OSERR, EX_CONFIG = 0, 64, 69, 70, 71, 78
DEFAULT_CONFIG = "/etc/bustd/killer.toml"
_USAGE = """usage: python3 -I bustd_killer [--config PATH] [--socket PATH] [--only-descendants-of PID]
           [--cgroup PATH] [--protect-name GLOB]... [--syslog]
           [--monitor UID:GID [--psi NAME:FD]... -- MONITOR-PROGRAM ARGUMENT...]"""


class Arguments(NamedTuple):
    """The command line. `plan` None: the killer serves a listening socket, without a monitor of its own."""

    config: str | None = None
    socket_path: str = ""
    only_descendants_of: int = 0
    protect_names: tuple[bytes, ...] = ()
    syslog: bool = False
    plan: MonitorPlan | None = None
    cgroup: str = ""


def _group(text: str) -> str:
    """An empty one must not come to mean the whole machine."""
    group = watched_group.plain(text)
    if not group:
        raise ValueError(f"{text!r} is not the path of a control group")
    return group


def _identity(text: str) -> tuple[int, int]:
    """UID:GID; -1 leaves one as it is."""
    uid, _, gid = text.partition(":")
    return command_line.whole_number(uid, -1), command_line.whole_number(gid, -1)


def _descriptor(text: str) -> tuple[str, int]:
    """NAME:FD, of a file that is open."""
    name, _, number = text.rpartition(":")
    return name, command_line.whole_number(number, 1)


OPTIONS = {
    "--config": Option("config", str),
    "--socket": Option("socket_path", str),
    "--only-descendants-of": Option("only_descendants_of", command_line.pid),
    "--cgroup": Option("cgroup", _group),
    "--protect-name": Option("protect_names", os.fsencode, repeats=True),
    "--syslog": Option("syslog"),
    "--monitor": Option("monitor", _identity),
    "--psi": Option("psi", _descriptor, repeats=True),
}


def parse_arguments(words: list[str]) -> Arguments:
    """Read the command line. Raises UsageError."""
    values, rest = command_line.read(words, OPTIONS)
    identity, psi, program = values.pop("monitor", None), values.pop("psi", ()), tuple(rest[1:])
    if (identity is not None) != bool(program) or (psi and identity is None):
        raise UsageError("--monitor, --psi and the monitor's program after -- go together")
    if identity is None:
        return Arguments(**values)
    uid, gid = identity
    return Arguments(**values, plan=MonitorPlan(uid, gid, program, psi))


def main() -> int:
    """Start in the one order that works: configuration, monitor, lockdown, rehearsal, then the loop."""
    try:
        arguments = parse_arguments(sys.argv[1:])
    except UsageError as error:
        sys.stderr.write(f"bustd-killer: {error}\n{_USAGE}\n")
        return EX_USAGE
    log = Log("bustd-killer", syslog=arguments.syslog)
    sysapi.name_process("bustd-killer")
    if version.too_old(os.uname().release):
        log(f"Linux {os.uname().release} is too old: bustd needs 5.4 or later")
        return EX_UNAVAILABLE
    try:
        config = _configuration(arguments)
        log(in_force(config))
        guard = _guard(arguments, config, log)
        lockdown.shield_from_the_kernel(log)
        if arguments.plan is None:
            return _run(guard, log, _listener(arguments, config), None)
        return _run_pair(guard, log, arguments.plan)
    except killer_toml.ConfigError as error:
        for problem in error.problems:
            log(problem)
        return EX_CONFIG
    except listening.SocketError as error:
        log(str(error))
        return EX_CONFIG
    except watched_group.CannotWatch as error:
        log(str(error))
        return EX_UNAVAILABLE
    except (lockdown.Unable, ChildFailed, OSError) as error:
        log(f"CANNOT PROTECT THIS MACHINE: {error}")
        return EX_OSERR
    except Exception as error:
        log(f"a bug, please report it: {type(error).__name__}: {error} at {where(error)}")
        return EX_SOFTWARE


def in_force(config: killer_toml.KillerConfig) -> str:
    """The first line of the log: the version, and the limits that the killer holds to."""
    return (
        f"bustd {__version__} kills at {config.available_percent} % of available memory or less, and at "
        f"{config.pressured_available_percent} % while PSI some avg10 is {config.pressure_some_avg10} % or more; "
        f"a victim holds at least {config.minimum_mib} MiB, or {config.minimum_percent} % of memory if that is less, "
        f"and {config.claimed_percent} % of what the monitor claims; at most {config.burst} kills at once, then one "
        f"every {config.interval_ms} ms, and {config.per_minute} a minute"
    )


def _configuration(arguments: Arguments) -> killer_toml.KillerConfig:
    path, required = arguments.config or DEFAULT_CONFIG, arguments.config is not None
    config = killer_toml.load(path, required=required)
    if os.geteuid() != 0:
        config = config._replace(peer_uid=os.geteuid())
    return config


def _guard(arguments: Arguments, config: killer_toml.KillerConfig, log: Log) -> Guard:
    for warning in config.warnings:
        log(f"warning: {warning}")
    names = config.protect_names + arguments.protect_names
    protection = Protection(config.protect_units, config.protect_uids, names)
    own = OwnPids(os.getpid(), os.getppid(), 0)
    hierarchy = cgroups.hierarchy()
    group, why = watched_group.find(arguments.cgroup or config.cgroup, hierarchy)
    if group:
        log(why)
    machine = CgroupFiles(hierarchy, group) if group else MachineFiles()
    return Guard(config, protection, machine, own, arguments.only_descendants_of, hierarchy, group)


def _listener(arguments: Arguments, config: killer_toml.KillerConfig) -> Socket:
    if config.peer_uid is None:
        raise listening.SocketError(
            "there is no user bustd for the monitor: create it, or set user in [peer] of killer.toml"
        )
    if arguments.socket_path:
        return listening.at_path(arguments.socket_path, config.peer_uid)
    return listening.from_systemd()


def _run(guard: Guard, log: Log, listener: Socket | None, peer: Peer | None) -> int:
    subject = rehearsal.start_subject()
    lockdown.lock_down(log)
    rehearsal.rehearse(subject, guard)
    return Server(guard, log, listener, peer).serve()


def _run_pair(guard: Guard, log: Log, plan: MonitorPlan) -> int:
    """Run as the privileged parent of the monitor. The monitor ends with its parent, for whatever reason that ends."""
    link, pid = launcher.spawn_monitor(plan, log.fileno)
    pidfd = os.pidfd_open(pid)
    uid = plan.uid if plan.uid >= 0 else os.geteuid()
    try:
        code = _run(guard, log, None, Peer(link, pid, uid, time.monotonic_ns() // 1_000_000))
    finally:
        link.close()
        status = launcher.end_monitor(pid, pidfd)
    return status if code == EX_SOFTWARE and status in (EX_UNAVAILABLE, EX_CONFIG) else code
