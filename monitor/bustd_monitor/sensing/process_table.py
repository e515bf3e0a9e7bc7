"""The process table of a procfs, a piece at a time: listing ten thousand processes takes longer than a decision may."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import cgroup_paths, cgroups
from bustd_shared.kernel.process import MOST_BYTES

from . import group_members, nodes, processes
from .command_lines import CommandLines
from .contents import amount, contents
from .kin import Kin, read_kin
from .last_pid import LastPid
from .preferences import NO_USER, NONE, OWN_AVOID, asking_user, preference
from .processes import CommandLine, Process
from .unread import Unread, UnreadProcesses

MOST_NEWCOMERS = 512
"""At most this many new PIDs are looked up one by one: a free PID or the id of a thread costs as much as a process."""
_FEW = 32
"""Of more processes in a control group only the largest are read: what the others have in swap is not known."""
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Group(NamedTuple):
    """What a control group means for the processes in it: see the fields of the same names in Process.

    `asking_uid`: the user who asks that processes of their own in it are avoided.
    """

    whole: str
    is_indivisible: bool
    preference: str
    asking_uid: int = NO_USER


class ProcessTable:
    """The processes under `proc`, except PID 1 and bustd's own, with the questions that ranking asks."""

    def __init__(
        self,
        proc: str = "/proc",
        *,
        hierarchy: str = "",
        group: str = "",
        trusted_uid: int = 0,
        only_descendants_of: int = 0,
        commands: CommandLines | None = None,
        may_refuse: bool = False,
    ) -> None:
        """`hierarchy`: where the unified hierarchy of control groups is mounted, "" if it is not.

        `group`: only processes in this control group are looked at, "" for all. `trusted_uid`: the preferences of this
        user count beside root's. `only_descendants_of`: only descendants of this PID are looked at, 0 for all.
        `may_refuse`: a process that refuses to be read is no news, as it may be another user's, which none may kill.
        """
        self._proc = proc
        self._hierarchy = hierarchy
        self._trusted_uid = trusted_uid
        self._group = group
        self._groups: dict[str, Group] = {}
        self._few: dict[str, bool] = {}
        self._seen: dict[int, Process | None] | None = None
        """What was read since `begin_look`; None: no look is under way."""
        self._unread = UnreadProcesses(may_refuse=may_refuse)
        self._ancestor = only_descendants_of
        self._not_asked_for = {1, os.getpid(), os.getppid()}
        self._commands = commands or CommandLines(proc)
        self._pids: Generator[int, None, None] | None = None
        self._last_pid = LastPid(proc)
        self._last_seen = self._last_pid.read()

    def walk(self, count: int) -> list[int] | None:
        """The next PIDs of a round, at most `count`, in the kernel's order.

        [] ends the round, and the next call begins one. A round lists every process that lives from its begin to its
        end. None: the table can't be listed now, and the round is void.
        """
        pids: list[int] = []
        try:
            if self._pids is None:
                self._unread.begin_round()
                self._pids = self._listed()
            while len(pids) < count:
                pid = next(self._pids, None)
                if pid is None:
                    break
                if self.may_be_looked_at(pid):
                    pids.append(pid)
        except OSError as error:  # EMFILE, ENFILE, ENOMEM
            self._unread.note_table(error)
            self.rewind()
            return None
        if not pids:
            self._unread.end_round()
            self.rewind()
        return pids

    def unread(self) -> Unread:
        """Which processes could not be read since the last round began, and why."""
        return self._unread.count()

    def is_lacking(self, pid: int) -> bool:
        """Whether a process was not read for a lack of descriptors or memory, which says nothing about it."""
        return self._unread.is_lacking(pid)

    def pids(self) -> list[int]:
        """Every PID that may be looked at; none where they can't be listed now. It takes long."""
        try:
            return [pid for pid in self._listed() if self.may_be_looked_at(pid)]
        except OSError:
            return []

    def newcomers(self) -> list[int] | None:
        """The PIDs that the kernel assigned since the last call, those of threads and of the dead too; None if unknown.

        The kernel assigns PIDs in ascending order and shows the last one.
        """
        last, before = self._last_pid.read(), self._last_seen
        self._last_seen = last
        if last <= 0 or before <= 0 or not before <= last <= before + MOST_NEWCOMERS:
            return None
        return [pid for pid in range(before + 1, last + 1) if self._is_watched(pid) and self.may_be_looked_at(pid)]

    def score(self, pid: int) -> int:
        """The kernel's oom_score; 0 if it is gone or can't be read, but not only then (see processes.oom_score)."""
        return self._amount(processes.oom_score, pid)

    def resident_bytes(self, pid: int) -> int:
        """Resident memory, 0 if it is gone or can't be read."""
        return self._amount(processes.resident_bytes, pid)

    def anonymous_bytes(self, pid: int) -> int:
        """The part of that which is neither a file's nor shared, 0 if it is gone or can't be read."""
        return self._amount(processes.anonymous_bytes, pid)

    def _amount(self, reader: Callable[[int, str], int], pid: int) -> int:
        try:
            read = reader(pid, self._proc)
        except OSError as error:
            self._unread.note(pid, error)
            return 0
        self._unread.is_known(pid)
        return read

    def allowed_nodes(self, pid: int) -> frozenset[int] | None:
        """The NUMA nodes that it may use by its cpuset; None if it is gone."""
        return nodes.allowed_nodes(pid, self._proc)

    def may_be_looked_at(self, pid: int) -> bool:
        """Whether it is neither PID 1 nor bustd's own, nor outside of what is looked at."""
        if pid in self._not_asked_for:
            return False
        try:
            return not self._ancestor or processes.descends_from(pid, self._ancestor, self._proc)
        except OSError as error:
            self._unread.note(pid, error)
            return False

    def begin_look(self) -> None:
        """From now on to `end_look` no process is read twice: a decision asks for one process up to five times."""
        self._seen = {}

    def end_look(self) -> None:
        """Every process is read again from now on."""
        self._seen = None

    def read(self, pid: int, score: int) -> Process | None:
        """Read one process; None if it is gone, unreadable, without memory, a thread, or has left the control group."""
        if self._seen is None:
            return self._read(pid, score)
        if pid not in self._seen:
            self._seen[pid] = self._read(pid, score)
        process = self._seen[pid]
        return process if process is None else process._replace(oom_score=score)

    def _read(self, pid: int, score: int) -> Process | None:
        try:
            process = processes.read_process(pid, score, self._proc, self._group)
        except OSError as error:
            self._unread.note(pid, error)
            return None
        self._unread.is_known(pid)
        if process is None or not process.cgroup or not self._hierarchy:
            return process
        group = self._groups.get(process.cgroup)
        if group is None:
            group = self._groups[process.cgroup] = self._read_group(process.cgroup)
        wish = OWN_AVOID if group.preference == NONE and group.asking_uid == process.uid else group.preference
        if process.shared_bytes >= processes.LEAST_SHARED and self._has_few(process.cgroup):
            swapped = amount(f"{self._hierarchy}{process.cgroup}/memory.swap.current")
            process = process._replace(group_swapped_bytes=-1 if swapped is None else swapped)
        return process._replace(whole=group.whole, is_indivisible=group.is_indivisible, preference=wish)

    def kin(self, pid: int) -> Kin | None:
        """Where it comes from; None if it is gone."""
        return read_kin(pid, self._proc)

    def members(self, whole: str) -> list[int]:
        """The PIDs in a control group and below it; none where no descriptor is left to list them."""
        try:
            return cgroups.members(self._hierarchy, whole)
        except OSError:  # EMFILE: then none can be listed for the request either, and it dies alone
            return []

    def command(self, process: Process) -> CommandLine | None:
        """Its command line; None if it is not known yet: the next `read_commands` reads it."""
        return self._commands.of(process)

    def read_commands(self) -> None:
        """Start to read the command lines that were asked for; see sensing.command_lines."""
        self._commands.read_wanted()

    def await_commands(self, most_ms: int) -> None:
        """Wait until they are read, at most this many milliseconds."""
        self._commands.wait(most_ms)

    def age_ms(self, process: Process | Kin) -> int:
        """How long ago it was started, by CLOCK_BOOTTIME, in which start times are counted."""
        return int(time.clock_gettime(time.CLOCK_BOOTTIME) * 1000) - process.start_ticks * 1000 // _TICKS_PER_SECOND

    def rewind(self) -> None:
        """End this round: the next walk begins one. What is known of the control groups is forgotten."""
        self._groups.clear()
        self._few.clear()
        if self._pids is not None:
            self._pids.close()
            self._pids = None

    def close(self) -> None:
        """Close the files."""
        self.rewind()
        self._last_pid.close()

    def _read_group(self, path: str) -> Group:
        wish, asking_uid = preference(self._hierarchy, path, self._trusted_uid), asking_user(self._hierarchy, path)
        try:
            whole = cgroups.read_whole(self._hierarchy, path)
        except OSError:  # EMFILE: its processes are ranked one by one
            whole = None
        # A group that reaches beyond the watched group can't die whole: the killer refuses processes outside of that.
        if whole is None or not cgroup_paths.is_within(whole.path, self._group.rstrip("/")):
            return Group("", False, wish, asking_uid)
        return Group(whole.path, whole.is_indivisible, wish, asking_uid)

    def _has_few(self, path: str) -> bool:
        """Whether what the processes in a control group have in swap can be known: the largest are read."""
        has_few = self._few.get(path)
        if has_few is None:
            pids = contents(f"{self._hierarchy}{path}/cgroup.procs")
            has_few = self._few[path] = len(pids) < MOST_BYTES and pids.count(b"\n") <= _FEW
        return has_few

    def _listed(self) -> Generator[int, None, None]:
        """The PIDs of the control group, or all PIDs."""
        if self._group:
            try:
                yield from group_members.members(self._hierarchy, self._group)
                return
            except group_members.TooManyGroups:
                pass  # the processes of the first groups come a second time, which does no harm
        with os.scandir(self._proc) as entries:
            for entry in entries:
                if entry.name.isdigit() and self._is_watched(int(entry.name)):
                    yield int(entry.name)

    def _is_watched(self, pid: int) -> bool:
        try:
            return processes.is_in_group(pid, self._group, self._proc)
        except OSError as error:
            self._unread.note(pid, error)
            return False


def of_this_machine(*, only_uid: int, only_descendants_of: int, group: str = "") -> ProcessTable:
    """This machine's processes and control groups. `only_uid`: the user whose preferences count beside root's.

    -1: no such user, because processes of any user may be killed.
    """
    return ProcessTable(
        hierarchy=cgroups.hierarchy(),
        group=group,
        trusted_uid=max(only_uid, 0),
        only_descendants_of=only_descendants_of,
        may_refuse=only_uid != -1,
    )
