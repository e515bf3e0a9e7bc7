"""Which processes die with another: the members of its process group or of a control group, with their start times.

A member is what this lists; whether it belongs to the victim is for the killer to judge, by its own reading.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from bustd_protocol.messages import Scope
from bustd_shared.kernel import cgroups
from bustd_shared.kernel.process import read_file, read_stat

from .processes import Process, read_process, resident_bytes

Member = tuple[int, int]
"""PID, and start time in clock ticks."""


class Members:
    """The members of one kill, which can be listed again when its victim has exited.

    `pid`: the victim. `group`: its process group and session, (0, 0) for none. `path`: the control group that dies with
    it, "" for none. `only`: of the process group only these processes, () for all.
    """

    def __init__(
        self, pid: int, group: tuple[int, int], hierarchy: str, path: str, proc: str, only: tuple[Member, ...] = ()
    ) -> None:
        self._pid, self._group, self._path, self._only = pid, group, path, only
        self._hierarchy, self._proc = hierarchy, proc
        self._victims_membership = b""
        if group != (0, 0):
            try:
                self._victims_membership = self._membership(pid)
            except OSError:  # EMFILE, ENFILE: the victim dies alone
                self._group = (0, 0)

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
        """The others of the process group, without the leader of the session, which never dies with another.

        None where that leader lives on in the very group: then the group is no job of a shell's, but everything that
        was started in the session without one, as by a compositor.
        """
        if self._only:
            return [member for member in self._only if self._read(member[0]) == member]
        leader = self._group[1]
        if self._group[0] == leader != self._pid and self._read(leader) is not None and self._is_beside(leader):
            return []
        left_out = (self._pid, leader)
        pids = [int(name) for name in os.listdir(self._proc) if name.isdigit()]
        return [member for pid in pids if pid not in left_out and (member := self._read(pid)) is not None]

    def _is_beside(self, leader: int) -> bool:
        """Whether the leader of the session is in the victim's control group. Elsewhere the killer takes neither."""
        return self._membership(leader) == self._victims_membership

    def _membership(self, pid: int) -> bytes:
        return read_file(f"{self._proc}/{pid}/cgroup") or b""

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
        only: tuple[Member, ...] = ()
        if scope is Scope.CGROUP and self._hierarchy:
            path = process.whole
        elif scope is Scope.GROUP:
            group = self._group_of(process)
            only = process.twins
        return Members(process.pid, group, self._hierarchy, path, self._proc, only)

    def largest(self, members: list[Member], count: int) -> list[int]:
        """The PIDs of so many that have the most resident memory, the largest first."""
        if len(members) <= count:
            return [pid for pid, _ in members]
        pids = [pid for pid, _ in members]
        return sorted(pids, key=self._size, reverse=True)[:count]

    def read(self, members: list[Member]) -> Iterator[Process]:
        """What ranking knows of each of these, as far as they can be read: without its command line."""
        for pid, start_ticks in members:
            try:
                member = read_process(pid, 0, self._proc)
            except OSError:  # EMFILE, EACCES
                continue
            if member is not None and member.start_ticks == start_ticks:
                yield member

    def _size(self, pid: int) -> int:
        try:
            return resident_bytes(pid, self._proc)
        except OSError:
            return 0

    def _group_of(self, process: Process) -> tuple[int, int]:
        """Its process group and session; (0, 0) if it is gone."""
        try:
            stat = read_stat(process.pid, self._proc)
        except OSError:
            return 0, 0
        if stat is None or stat.start_ticks != process.start_ticks:
            return 0, 0
        return stat.group, stat.session
