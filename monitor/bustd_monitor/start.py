"""The start of the monitor: arguments, configuration, the order of the start, the loop.

Exit codes: 0 stopped by a signal; 64 wrong arguments; 69 this machine does not show what bustd must see, or the process
whose descendants alone may die has ended; 70 the killer of the pair is gone, or a bug; 78 the configuration is wrong.
"""

from __future__ import annotations

import gc
import os
import sys
import time

from bustd_shared.daemon.forked import ChildFailed
from bustd_shared.daemon.lines import JOURNAL
from bustd_shared.daemon.log import Log, where
from bustd_shared.daemon.memory_lock import lock_memory
from bustd_shared.daemon.packets import Socket
from bustd_shared.kernel import ancestor, priority
from bustd_shared.kernel.cgroups import hierarchy
from bustd_shared.rules import killer_toml
from bustd_shared.rules.schema import ConfigError

from . import config
from .arguments import DEFAULT_CONFIG, DEFAULT_KILLER_CONFIG, Arguments, UsageError, overrides, parse_arguments
from .client import Client
from .conditions.table import CONDITIONS
from .deciding.events import Noted, NotProtected, ReadAgain, Started, Warned
from .event_log import JOURNAL_SOCKET, EventLog
from .inherited import inherited_descriptors
from .loop import EXIT_NOTHING_LEFT, Loop
from .ranking.search import CandidateSearch
from .readers import Readers
from .reclaimer import Reclaimer
from .reporting.sentences import DRY_RUN, beside, watching_apart
from .reporting.service_manager import ServiceManager
from .sensing import visibility
from .sensing.cgroup_sensor import watch
from .sensing.fill_rate import FillRate
from .sensing.group_charges import GroupCharges
from .sensing.members import MemberReader
from .sensing.other_daemons import other_daemons
from .sensing.process_table import of_this_machine
from .sensing.sensor import Unreadable
from .sensing.triggers import arm_triggers, of_file
from .sleeper import awake_without_end

EX_USAGE, EX_UNAVAILABLE, EX_SOFTWARE, EX_CONFIG = 64, 69, 70, 78
_RESTART_DELAY_S = 1


def main() -> int:
    """Run the monitor; a bug ends in one line of log, and in a pair in a new start on the same connection."""
    try:
        arguments = parse_arguments(sys.argv[1:])
    except UsageError as error:
        sys.stderr.write(f"bustd-monitor: {error}\n")
        return EX_USAGE
    log = Log("bustd-monitor", journal_stream=os.environ.get("JOURNAL_STREAM", ""))
    passed = inherited_descriptors()
    readers = Readers(Socket(fileno=passed["events"]) if "events" in passed else None)
    tell = EventLog(log, JOURNAL_SOCKET if log.form == JOURNAL else "", readers)
    _name_process()
    try:
        return _run(arguments, tell, readers)
    except ConfigError as error:
        for problem in error.problems:
            tell(NotProtected(problem))
        return EX_CONFIG
    except (Unreadable, ChildFailed, ancestor.AncestorEnded) as error:
        tell(NotProtected(str(error)))
        return EX_UNAVAILABLE
    except Exception as error:
        tell(NotProtected(f"a bug, please report it: {type(error).__name__}: {error} at {where(error)}"))
        if "killer" in passed:
            time.sleep(_RESTART_DELAY_S)
            readers.dismiss()
            os.execv(sys.executable, sys.orig_argv)
        return EX_SOFTWARE
    finally:
        readers.close()  # the interpreter would close them by itself, and wait


def _name_process() -> None:
    """comm, as ps shows it (proc_pid_comm(5)). What can't be written does not matter."""
    try:
        with open("/proc/self/comm", "wb") as comm:
            comm.write(b"bustd-monitor")
    except OSError:
        return


def _configuration(arguments: Arguments) -> config.MonitorConfig:
    """bustd.toml with the command line on top. Raises ConfigError and ChildFailed."""
    path = DEFAULT_CONFIG if arguments.config is None else arguments.config
    return config.load(path, required=arguments.config is not None, overrides=overrides(arguments))


def _rules(arguments: Arguments) -> killer_toml.KillerConfig:
    """killer.toml, as advice. Raises ConfigError and ChildFailed."""
    path = DEFAULT_KILLER_CONFIG if arguments.killer_config is None else arguments.killer_config
    return killer_toml.load(path, required=arguments.killer_config is not None)


def _run(arguments: Arguments, tell: EventLog, readers: Readers) -> int:
    """Start in the one order that works: everything is read, opened and said, then memory is locked, then the loop."""
    priority.raise_priority()
    settings, rules = _configuration(arguments), _rules(arguments)
    only = arguments.only_descendants_of
    pidfd = ancestor.held(only, arguments.ancestor_ticks) if only else -1
    advice = killer_toml.protection_of(rules)
    blindness = visibility.hidden_processes(own_only=arguments.only_uid != -1) or visibility.unreadable_processes()
    if blindness:
        raise Unreadable(blindness)
    place = watch(settings.cgroup)
    sensor, passed = place.sensor, inherited_descriptors()
    triggers = arm_triggers(of_file(passed, place.psi) if place.group else passed, place.psi)
    link = Socket(fileno=passed["killer"]) if "killer" in passed else None
    tell(Started(sensor.read(), settings.conditions, settings.dry_run))
    tell(Noted(place.why))
    apart = "" if arguments.cgroup else watching_apart(settings.cgroup, rules.cgroup)
    # Where lxcfs is, the container's own memory is what is watched.
    is_machine = not (place.group or only) and sensor.sysinfo_is_usable
    narrow = visibility.narrow_view() if is_machine else []
    for doubt in (apart, *narrow, beside(other_daemons())):
        if doubt:
            tell(Warned(doubt))
    for warning in settings.warnings:
        tell(Warned(f"warning: {warning}"))
    tell(Noted(triggers.how))
    if sensor.pressure_trouble:
        others = " and ".join(one.name for one in CONDITIONS if not one.needs_psi)
        tell(Warned(f"no PSI, only {others} protect this machine: {sensor.pressure_trouble}"))
    if not sensor.sysinfo_is_usable and not place.group:
        tell(Noted("sysinfo(2) and /proc/meminfo disagree (lxcfs): using /proc/meminfo alone"))
    if settings.dry_run:
        tell(Noted(DRY_RUN))

    def reload() -> config.MonitorConfig | None:
        """SIGHUP. On an error the old configuration stays in force."""
        try:
            again = _configuration(arguments)
        except (ConfigError, ChildFailed) as error:
            problems = error.problems if isinstance(error, ConfigError) else [str(error)]
            for problem in problems:
                tell(Warned(f"{problem}: the old configuration stays in force"))
            return None
        tell(ReadAgain(sensor.read(), again.conditions, again.dry_run))
        for warning in again.warnings:
            tell(Warned(f"warning: {warning}"))
        if again.cgroup != settings.cgroup:
            tell(Warned("cgroup has changed: that takes a restart"))
        return again

    loop = Loop(
        settings,
        advice,
        sensor=sensor,
        search=CandidateSearch(
            of_this_machine(only_uid=arguments.only_uid, only_descendants_of=only, group=place.group),
            None if only or place.group else GroupCharges(hierarchy()),
        ),
        client=Client(settings.killer.socket, link),
        members=MemberReader(hierarchy()),
        reclaimer=Reclaimer(),
        triggers=triggers,
        fill_rate=FillRate(),
        service_manager=ServiceManager(os.environ),
        tell=tell,
        clock_ns=time.monotonic_ns,
        reload=reload,
        readers=readers,
        only_uid=arguments.only_uid,
        ancestor=pidfd,
    )
    gc.collect()
    gc.freeze()
    gc.disable()
    tell(Noted(lock_memory()))
    try:
        code = loop.run()
    finally:
        awake_without_end()
    if code == EXIT_NOTHING_LEFT:
        tell(Noted(ancestor.sentence(only)))
    return code
