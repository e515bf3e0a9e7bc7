"""Stage 1 of the killer: arguments, configuration, the socket or the monitor, the giving up of root, and the exec.

Exit codes: 0 stopped by a signal; 64 wrong arguments; 69 the kernel is too old, or the control group can't be watched;
70 the monitor of the pair died, or a bug; 71 the kernel or the sandbox refuses what a kill needs; 73 another pair
protects this machine; 78 the configuration or the socket is wrong. The monitor's own 69 and 78 are passed on.
"""

from __future__ import annotations

import os
import signal
import sys

import prctl

from bustd_shared import __version__
from bustd_shared.daemon import command_line
from bustd_shared.daemon.command_line import Option, UsageError
from bustd_shared.daemon.forked import ChildFailed
from bustd_shared.daemon.lines import CRITICAL
from bustd_shared.daemon.log import Log, syslog_socket, where
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import ancestor, cgroups, machine_lock, version, watched_group
from bustd_shared.rules import killer_toml

from .policy import NO_DESCRIPTOR, Policy
from .stage1 import identity, landlock, launcher, listening, memory_min, reach, resources, seccomp
from .stage1.handing_on import LIMITS, TooLong, handed_on
from .stage1.launcher import MonitorPlan

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import NoReturn

EX_USAGE, EX_UNAVAILABLE, EX_SOFTWARE, EX_OSERR, EX_CANTCREAT, EX_CONFIG = 64, 69, 70, 71, 73, 78
DEFAULT_CONFIG = "/etc/bustd/killer.toml"
_USAGE = """usage: python3 -I bustd_killer [--config PATH] [--socket PATH] [--only-descendants-of PID]
           [--ancestor-ticks TICKS] [--cgroup PATH] [--protect-name GLOB]... [--dry-run] [--syslog]
           [--monitor UID:GID [--psi NAME:FD]... [--events PATH] [--pid-file FD] -- MONITOR-PROGRAM ARGUMENT...]"""


class Arguments(NamedTuple):
    """The command line. `plan` None: serve a listening socket. `pid_file`: a descriptor whose lock is to be kept.

    `events`: where readers of the monitor's events are to connect, "" for nowhere.
    `ancestor_ticks`: the start time of that ancestor, 0 if it is not known. `dry_run`: the monitor of the pair will
    never ask for a kill.
    """

    config: str | None = None
    socket_path: str = ""
    only_descendants_of: int = 0
    protect_names: tuple[bytes, ...] = ()
    syslog: bool = False
    plan: MonitorPlan | None = None
    cgroup: str = ""
    pid_file: int = NO_DESCRIPTOR
    events: str = ""
    dry_run: bool = False
    ancestor_ticks: int = 0


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
    "--ancestor-ticks": Option("ancestor_ticks", command_line.whole_number),
    "--cgroup": Option("cgroup", _group),
    "--protect-name": Option("protect_names", os.fsencode, repeats=True),
    "--dry-run": Option("dry_run"),
    "--syslog": Option("syslog"),
    "--monitor": Option("monitor", _identity),
    "--psi": Option("psi", _descriptor, repeats=True),
    "--events": Option("events", str),
    "--pid-file": Option("pid_file", lambda text: command_line.whole_number(text, 3)),
}


def parse_arguments(words: list[str]) -> Arguments:
    """Read the command line. Raises UsageError."""
    values, rest = command_line.read(words, OPTIONS)
    identity, psi, program = values.pop("monitor", None), values.pop("psi", ()), tuple(rest[1:])
    if (identity is not None) != bool(program) or ((psi or "events" in values) and identity is None):
        raise UsageError("--monitor, --psi, --events and the monitor's program after -- go together")
    if identity is None:
        return Arguments(**values)
    uid, gid = identity
    return Arguments(**values, plan=MonitorPlan(uid, gid, program, psi))


def main() -> int:
    """Stage 1: everything that needs root, in the one order that works. Returns only if stage 2 can't be executed."""
    try:
        arguments = parse_arguments(sys.argv[1:])
    except UsageError as error:
        sys.stderr.write(f"bustd-killer: {error}\n{_USAGE}\n")
        return EX_USAGE
    parent = os.getppid()
    syslog = syslog_socket() if arguments.syslog else None
    log = Log("bustd-killer", syslog=syslog, journal_stream=os.environ.get("JOURNAL_STREAM", ""))
    prctl.set_name("bustd-killer")
    if version.too_old(os.uname().release):
        log(f"Linux {os.uname().release} is too old: bustd needs 5.4 or later", CRITICAL)
        return EX_UNAVAILABLE
    try:
        config = _configuration(arguments)
        log(in_force(config))
        policy = _policy(arguments, config, log)
        lock = _lock(policy, arguments, log)
        resources.shield_from_the_kernel(log)
        policy = policy._replace(lock_denied=resources.raise_limits(), log_safe_bytes=log.safe_bytes)
        policy = policy._replace(log_link=log.link.fileno() if log.link else NO_DESCRIPTOR, log_form=log.form)
        policy = _with_peer(policy, arguments, log)
        policy = policy._replace(subject=resources.start_subject())
        descriptor = handed_on(policy)
        _confine(policy, parent, log)
        _execute(descriptor, policy, {arguments.pid_file, lock}, log)
    except killer_toml.ConfigError as error:
        for problem in error.problems:
            log(problem, CRITICAL)
        return EX_CONFIG
    except (listening.SocketError, TooLong) as error:
        log(str(error), CRITICAL)
        return EX_CONFIG
    except (watched_group.CannotWatch, ancestor.AncestorEnded) as error:
        log(str(error), CRITICAL)
        return EX_UNAVAILABLE
    except machine_lock.AlreadyServed as error:
        log(f"NOT STARTED: {error}", CRITICAL)
        return EX_CANTCREAT
    except (ChildFailed, OSError) as error:
        log(f"CANNOT PROTECT THIS MACHINE: {error}", CRITICAL)
        return EX_OSERR
    except Exception as error:
        log(f"a bug, please report it: {type(error).__name__}: {error} at {where(error)}", CRITICAL)
        return EX_SOFTWARE


def in_force(config: killer_toml.KillerConfig) -> str:
    """The first line of the log: the version, and the limits that the killer keeps."""
    return (
        f"bustd {__version__} kills at {config.available_percent} % of available memory or less; "
        f"a victim holds at least {config.minimum_mib} MiB, or {config.minimum_percent} % of memory if that is less, "
        f"and {config.claimed_percent} % of what the monitor claims; at most {config.burst} kills at once, then one "
        f"every {config.interval_ms} ms, and {config.per_minute} a minute"
    )


def _configuration(arguments: Arguments) -> killer_toml.KillerConfig:
    path, required = arguments.config or DEFAULT_CONFIG, arguments.config is not None
    config = killer_toml.load(path, required=required)
    if not identity.has_cap_kill():  # an ordinary user's pair: it can kill that user's processes and serve that user
        config = config._replace(peer_uid=os.geteuid())
    return config


def _policy(arguments: Arguments, config: killer_toml.KillerConfig, log: Log) -> Policy:
    """Everything of the policy but its descriptors and children."""
    for warning in config.warnings:
        log(f"warning: {warning}")
    if config.peer_uid is None and arguments.plan is None:
        raise listening.SocketError(
            "there is no user bustd for the monitor: create it, or set user in [peer] of killer.toml"
        )
    hierarchy = cgroups.hierarchy()
    group, why = watched_group.find(arguments.cgroup or config.cgroup, hierarchy)
    if group:
        log(why)
    rules = killer_toml.protection_of(config)
    limits = {name: getattr(config, name) for name in LIMITS}
    agreed_percent = memory_min.agreed_percent(config.available_percent, "" if group else hierarchy)
    if agreed_percent != config.available_percent:
        log(f"it kills at {agreed_percent} %, because memory.min holds back memory that counts as available")
    return Policy(
        peer_uid=os.geteuid() if config.peer_uid is None else config.peer_uid,
        protection=rules._replace(names=(*rules.names, *arguments.protect_names)),
        **limits | {"available_percent": agreed_percent},
        only_descendants_of=arguments.only_descendants_of,
        ancestor=_ancestor(arguments),
        hierarchy=hierarchy,
        group=group,
    )


def _ancestor(arguments: Arguments) -> int:
    """The pidfd of the process whose descendants alone may die, if there is one. Raises ancestor.AncestorEnded."""
    pid = arguments.only_descendants_of
    return ancestor.held(pid, arguments.ancestor_ticks) if pid else NO_DESCRIPTOR


def _lock(policy: Policy, arguments: Arguments, log: Log) -> int:
    """The lock of the pair that serves the whole machine; none for one that is restricted, dry or an ordinary user's.

    Raises machine_lock.AlreadyServed. Where it can't be had at all, two pairs are better than none.
    """
    is_restricted = bool(policy.only_descendants_of or policy.group)
    if is_restricted or arguments.dry_run or not identity.has_cap_kill():
        return NO_DESCRIPTOR
    try:
        return machine_lock.take()
    except OSError as error:
        why = f"{machine_lock.PATH}: {error.strerror}"
        log(f"warning: whether another pair protects this machine is not known: {why}")
        return NO_DESCRIPTOR


def _with_peer(policy: Policy, arguments: Arguments, log: Log) -> Policy:
    """With the socket to serve, or with the monitor of the pair, which is started here."""
    plan = arguments.plan
    if plan is not None:
        monitor = launcher.spawn_monitor(_with_readers(plan, arguments.events, log))
        policy = policy._replace(link=monitor.link.detach(), monitor_log=monitor.log.detach(), monitor=monitor.pid)
        return policy._replace(peer_uid=plan.uid if plan.uid >= 0 else os.geteuid())
    if arguments.socket_path:
        return policy._replace(listener=listening.at_path(arguments.socket_path, policy.peer_uid).detach())
    watchdog = listening.watchdog()
    if watchdog >= 0:
        os.set_blocking(watchdog, False)
    return policy._replace(listener=listening.from_systemd().detach(), watchdog=watchdog)


def _with_readers(plan: MonitorPlan, path: str, log: Log) -> MonitorPlan:
    """With a socket for readers of its events. Where there can be none, the pair protects the machine all the same."""
    if not path:
        return plan
    try:
        listener = listening.for_readers(path)
    except listening.SocketError as error:
        log(f"no socket for readers of events: {error}")
        return plan
    return plan._replace(passed=(*plan.passed, ("events", listener.detach())))


def _confine(policy: Policy, parent: int, log: Log) -> None:
    """Give up root and everything else but one power; what this kernel can't do is said. Raises OSError.

    `parent`: what the killer's parent was when it started.
    """
    resources.detach_from_input()  # while a write to /dev/null is permitted
    monitor_uid = -1 if policy.peer_uid == os.geteuid() else policy.peer_uid
    chosen = identity.choose(monitor_uid)
    reach.require_cap_kill(chosen)
    log(identity.become(chosen))
    if policy.only_descendants_of == parent and policy.listener >= 0:
        # Now: a change of user takes it back. A pair ends by its monitor, which sees the end of any ancestor.
        prctl.set_pdeathsig(signal.SIGTERM)
        if os.getppid() != parent:
            raise ancestor.AncestorEnded(ancestor.sentence(parent))
    log(landlock.confine_killer())
    if policy.listener < 0 or not listening.is_of_systemd():
        log(seccomp.filter_killer())
    if identity.has_cap_kill() and (trouble := reach.trouble()):
        log(trouble, CRITICAL)


def _execute(descriptor: int, policy: Policy, locked: set[int], log: Log) -> NoReturn:
    """Become stage 2, which has nothing of this one but its PID, its limits and these descriptors. Raises OSError.

    `locked`: those that it has no use for, and that must stay open for their locks.
    """
    os.dup2(log.fileno, 2)
    kept = {0, 1, 2, descriptor, policy.link, policy.monitor_log, policy.listener, policy.log_link, policy.watchdog}
    kept |= {policy.ancestor} | locked
    for name in os.listdir("/proc/self/fd"):
        try:
            os.set_inheritable(int(name), int(name) in kept)
        except OSError:
            pass  # it was the list's own
    command = stage_2(descriptor, needs_site=not sys.flags.no_site)
    os.execve(command[0], command, {"PATH": os.defpath})


def stage_2(descriptor: int, *, needs_site: bool) -> list[str]:
    """The command line of what serves. `needs_site`: what it imports does not all lie beside its package."""
    program = f"{os.path.dirname(os.path.abspath(__file__))}/serve.py"
    return [sys.executable, "-I", *([] if needs_site else ["-S"]), program, str(descriptor)]
