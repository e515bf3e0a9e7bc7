"""Is this machine protected, why, and since when? Judged from what its monitor says, or else from what can be seen."""

from __future__ import annotations

import os
from typing import NamedTuple

from ..reporting.events import NOT_PROTECTED, READ_AGAIN, READY, STARTED
from ..reporting.standing import DRY_RUN, WATCHING, not_protected, standing, state_of
from .daemons_running import Running
from .entries import Entry
from .events_now import Heard
from .monitor_unit import MonitorUnit

_START = "systemctl enable --now bustd-monitor"


class ProtectionNow(NamedTuple):
    """`line`: as reporting.standing has it, or what is known instead. `is_protected` None: it can't be told.

    `since_us`: microseconds since 1970, 0 if that is not known. `dry_run`: everything works, and nothing is killed.
    `advice`: what to do, "" if nothing.
    """

    line: str
    is_protected: bool | None
    since_us: int = 0
    dry_run: bool = False
    advice: str = ""


def may_be_asked(unit: MonitorUnit, running: Running, hidden: str) -> bool:
    """Whether a monitor may be there to be asked. Else its socket, if there is one, would start it: it is systemd's."""
    return unit.is_running or bool(running.monitors) or (bool(hidden) and not unit.is_installed)


def judged(unit: MonitorUnit, running: Running, hidden: str, heard: Heard) -> ProtectionNow:
    """What follows from all of it. `hidden`: what hides processes of other users, "" if nothing does."""
    if not may_be_asked(unit, running, hidden):
        return _no_monitor(unit)
    said = of_events(heard.entries)
    if said is not None:
        return said
    if unit.is_running and state_of(unit.status):
        return of_line(unit.status, unit.changed_us)
    return _untold(unit, running, hidden, heard)


def of_events(entries: tuple[Entry, ...]) -> ProtectionNow | None:
    """What the standing events say, None if there is none of them."""
    news = [entry for entry in entries if entry.kind in (READY, NOT_PROTECTED)]
    settings = [entry for entry in entries if entry.kind in (STARTED, READ_AGAIN)]
    if not news:
        return None
    is_dry_run = bool(settings) and settings[-1].own_number("DRY_RUN") == 1
    last = news[-1]
    if last.kind is READY:
        line = standing(last.own_number("KILLER_PID") or 0, "", dry_run=is_dry_run, is_blind=False)
        return of_line(line, last.time_us)
    first = last  # the same is told again and again
    for entry in reversed(news):
        if entry.kind is READY:
            break
        first = entry
    return ProtectionNow(not_protected(last.message), False, first.time_us, advice=_LOG)


def of_line(line: str, since_us: int) -> ProtectionNow:
    """What a line of reporting.standing says."""
    state = state_of(line)
    is_protected = state == WATCHING
    advice = "" if is_protected else _NO_DRY_RUN if state == DRY_RUN else _LOG
    return ProtectionNow(line, is_protected, since_us, state == DRY_RUN, advice)


def _no_monitor(unit: MonitorUnit) -> ProtectionNow:
    if not unit.is_installed:
        return ProtectionNow(not_protected("no monitor runs"), False, advice=f"{_START}, or without systemd: bustd")
    if unit.active == "failed":
        code = unit.exit_code
        why = "its configuration is wrong" if code == os.EX_CONFIG else f"it has failed with status {code}"
        advice = "bustd check, and then: systemctl start bustd-monitor" if code == os.EX_CONFIG else _LOG
        return ProtectionNow(not_protected(f"the monitor does not run, {why}"), False, unit.changed_us, advice=advice)
    return ProtectionNow(not_protected("the monitor is stopped"), False, unit.changed_us, advice=_START)


def _untold(unit: MonitorUnit, running: Running, hidden: str, heard: Heard) -> ProtectionNow:
    """There is a monitor, or there may be, and it says nothing."""
    if running.monitors or unit.is_running:
        pid = f" {running.monitors[0]}" if running.monitors else ""
        what = f"the monitor{pid} runs and can't be asked ({heard.trouble or 'it says nothing of it'})"
    else:
        what = f"no monitor can be seen ({hidden})"
    return ProtectionNow(what, None, advice=f"as root: bustd status; {_LOG}")


_LOG = "journalctl -u bustd-monitor -u bustd-killer (standalone: /var/log/bustd.log)"
_NO_DRY_RUN = "remove dry_run from bustd.toml, and then: systemctl reload bustd-monitor"
