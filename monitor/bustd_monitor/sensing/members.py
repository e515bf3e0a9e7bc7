"""Which processes die with another: the members of its process group or of a control group, with their start times.

A member is what this lists; whether it belongs to the victim is for the killer to judge, by its own reading.
"""

from __future__ import annotations

import os

from bustd_protocol.messages import Scope
from bustd_shared.kernel import cgroups
from bustd_shared.kernel.process import read_stat

from .processes import Process, resident_bytes

Member = tuple[int, int]
"""PID, and start time in clock ticks."""


class Members:
    """The members of one kill, which can be listed again when its victim has exited.

    `pid`: the victim. `group`: its process group and session, (0, 0) for none. `path`: the control group that dies with
    it, "" for none.
    """

    def __init__(self, pid: int, group: tuple[int, int], hierarchy: str, path: str, proc: str) -> None:
        self._pid, self._group, self._path = pid, group, path
        self._hierarchy, self._proc = hierarchy, proc

    @property
    def proc(self) -> str:
        """The procfs that it lists."""
        return self._proc

    def listed(self) -> list[Member]:
        """Those that live now, without the victim. None for scope PROCESS, and where there is no descriptor to list."""
        try:
            if self._path:
                pids = cgroups.members(self._hierarchy, self._path)
                return [member for pid in pids if pid != self._pid and (member := self._read(pid)) is not None]
            return self._of_group() if self._group != (0, 0) else []
        except OSError:  # EMFILE, ENFILE: the victim dies alone
            return []

    def _of_group(self) -> list[Member]:
        """The others of the process group, without the leader of the session, which never dies with another."""
        left_out = (self._pid, self._group[1])
        pids = [int(name) for name in os.listdir(self._proc) if name.isdigit()]
        return [member for pid in pids if pid not in left_out and (member := self._read(pid)) is not None]

    def _read(self, pid: int) -> Member | None:
        stat = read_stat(pid, self._proc)
        if stat is None or stat.is_dead or (not self._path and (stat.group, stat.session) != self._group):
            return None
        return pid, stat.start_ticks


class MemberReader:
    """Of the processes under `proc`, with the unified hierarchy of control groups at `hierarchy` ("": none)."""

    def __init__(self, hierarchy: str, proc: str = "/proc") -> None:
        self._hierarchy, self._proc = hierarchy, proc

    def of(self, process: Process, scope: Scope) -> Members:
        """The members that die with this process: what its group is is read now, and who is in it when it is listed."""
        group, path = (0, 0), ""
        if scope is Scope.CGROUP and self._hierarchy:
            path = process.whole
        elif scope is Scope.GROUP:
            group = self._group_of(process)
        return Members(process.pid, group, self._hierarchy, path, self._proc)

    def largest(self, members: list[Member], count: int) -> list[int]:
        """The PIDs of so many that have the most resident memory, the largest first."""
        if len(members) <= count:
            return [pid for pid, _ in members]
        pids = [pid for pid, _ in members]
        return sorted(pids, key=lambda pid: resident_bytes(pid, self._proc), reverse=True)[:count]

    def _group_of(self, process: Process) -> tuple[int, int]:
        """Its process group and session; (0, 0) if it is gone."""
        try:
            stat = read_stat(process.pid, self._proc)
        except OSError:
            return 0, 0
        if stat is None or stat.start_ticks != process.start_ticks:
            return 0, 0
        return stat.group, stat.session
