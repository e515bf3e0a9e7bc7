"""Which processes die with another: the members of its process group or of a control group, with their start times."""

from __future__ import annotations

import os
from collections.abc import Iterable

from bustd_shared.kernel import cgroups
from bustd_shared.kernel.process import read_stat

Member = tuple[int, int]
"""PID, and start time in clock ticks."""


def of_process_group(pid: int, proc: str = "/proc") -> list[Member]:
    """The others of its process group and session, itself and the session's leader left out; none if it is gone."""
    try:
        named = read_stat(pid, proc)
        if named is None:
            return []
        found = []
        for name in os.listdir(proc):
            stat = read_stat(int(name), proc) if name.isdigit() and int(name) not in (pid, named.session) else None
            if stat is not None and not stat.is_dead and (stat.group, stat.session) == (named.group, named.session):
                found.append((int(name), stat.start_ticks))
        return found
    except OSError:  # no descriptor is left: the process dies alone
        return []


def of_control_group(pid: int, hierarchy: str, path: str, proc: str = "/proc") -> list[Member]:
    """The others in the control group `path` and below it; none where it can't be listed."""
    try:
        return _with_start_times([one for one in cgroups.members(hierarchy, path) if one != pid], proc)
    except OSError:
        return []


def _with_start_times(pids: Iterable[int], proc: str) -> list[Member]:
    stats = ((pid, read_stat(pid, proc)) for pid in pids)
    return [(pid, stat.start_ticks) for pid, stat in stats if stat is not None and not stat.is_dead]
