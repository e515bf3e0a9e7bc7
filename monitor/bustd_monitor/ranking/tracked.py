"""The tracked processes: the largest that may be killed, each with its growth and its command line.

A process is tracked from the moment when it was offered and was among the largest. From then on it is read again every
second and at each decision. It is no longer tracked when it is gone, and when enough larger processes were offered.
"""

from __future__ import annotations

from collections.abc import Iterable

from bustd_shared.daemon.record import NamedTuple

from ..sensing.command_lines import MOST_LONG_BYTES, TOO_MANY, kept, long_bytes
from ..sensing.process_table import ProcessTable
from ..sensing.processes import COMMAND_BYTES, TOO_LONG, CommandLine, Process
from . import growth
from .growth import Samples
from .settings import NOTHING, Victims
from .terms import Terms
from .what_may_die import Spared, protection

_MOST_TRACKED, _MOST_TRACKED_WITH_RULES = 32, 128
"""By each of the two measures. A rule of `prefer` can bring a process from far down to the top."""
_MOST_SPARED = 16
_WORTH_COMPARING_BYTES = 4 * 2**20
"""Below this it makes no difference whether a new process holds copies of its parent's memory."""
_MOVED_BYTES = 4 * 2**20
"""A smaller change does not alter the order, and the memory of any program varies by less than this all the time."""

_EMPTY = CommandLine()
_NOT_READ = "has not been read yet"

Place = tuple[int, int]
"""oom_score and resident bytes, by which the largest are found before they are read closely."""
NOWHERE: Place = (0, 0)
"""It has no memory that the kernel shows, or is gone."""


class TrackedProcess(NamedTuple):
    """`place`: when it was last offered or read. `samples`: what it held. `command` None: not known yet.

    `shared_samples`: what it mapped of shared memory; none as long as that is nothing.
    """

    process: Process
    place: Place
    samples: Samples = ()
    command: CommandLine | None = None
    shared_samples: Samples = ()


class Tracked:
    """Of all offered processes those with the highest oom_score, and those with the most resident memory.

    By oom_score alone a crowd of small processes could hide the leak, because any user may raise their oom_score_adj;
    and by resident memory alone a leak that has gone to swap would be missed.
    """

    def __init__(self, table: ProcessTable) -> None:
        self._table = table
        self._tracked: dict[int, TrackedProcess] = {}
        self._least_place, self._least_resident = NOWHERE, 0
        self._spared: list[Spared] = []
        self._round_began_ms = 0
        self.gained_bytes = 0
        """Bytes that the tracked processes were seen to gain since the start, less what they lost: a running total."""
        self.shared_gained_bytes = 0
        """The same of what they map of shared memory, in which each counts what others map too."""

    def pids(self) -> list[int]:
        """The PIDs of the tracked processes."""
        return list(self._tracked)

    def processes(self) -> list[Process]:
        """What is known of the tracked processes."""
        return [tracked.process for tracked in self._tracked.values()]

    def held_bytes(self, pid: int) -> int | None:
        """What this process held of private memory when it was read last; None if it is not tracked."""
        tracked = self._tracked.get(pid)
        return None if tracked is None else tracked.process.held_bytes

    def largest_bytes(self, shared_bytes: int) -> int:
        """What the largest holds, with what it maps of these `shared_bytes`."""
        return max((one.held_bytes + min(one.shared_bytes, shared_bytes) for one in self.processes()), default=0)

    def may_have_gained_bytes(self) -> int:
        """What the tracked processes gained in the last ten seconds, and what those hold that were read only once."""
        return sum(
            each.process.gained_bytes if len(each.samples) > 1 else each.process.held_bytes
            for each in self._tracked.values()
        )

    def spared(self) -> tuple[Spared, ...]:
        """The largest of the processes that would be tracked if they were not protected."""
        return tuple(self._spared)

    def begin_round(self, now_ms: int) -> None:
        """A round of the walk begins, which finds the spared again.

        What a process has gained when the round finds it counts in `gained_bytes` only if it is younger than the round.
        """
        self._spared = []
        self._round_began_ms = now_ms

    def place(self, pid: int) -> Place:
        """The place of a process; NOWHERE if it has no memory, as a kernel thread, or is gone.

        A score of 0 does not say so: Linux 5.4 to 5.8 round the score of any small process down to that.
        """
        return self._table.score(pid), self._table.resident_bytes(pid)

    def offer(self, pid: int, place: Place, most: int, terms: Terms, now_ms: int) -> bool:
        """Track this process if it is among the `most` largest by either measure. Whether it was read for that."""
        if pid in self._tracked:
            self._tracked[pid] = self._tracked[pid]._replace(place=place)
            self._find_least(most)
            return False
        if len(self._tracked) < most or place > self._least_place or place[1] > self._least_resident:
            self._look_closely(pid, place, most, terms, now_ms)
            return True
        return False

    def look_again_where_moved(self, now_ms: int, *, is_swap_empty: bool) -> set[int]:
        """Read again the tracked processes whose place has changed noticeably, and return their PIDs.

        To find out the place costs a third of reading the process, and half of that where nothing is in swap: what a
        process holds there shows in its score alone.
        """
        moved = set()
        for tracked in list(self._tracked.values()):
            pid, (score, resident) = tracked.process.pid, tracked.place
            now = self._table.resident_bytes(pid)
            is_far = abs(now - resident) >= _MOVED_BYTES
            if is_swap_empty and not is_far:
                continue
            place = self._table.score(pid), now
            if is_far or place[0] != score:
                moved.add(pid)
                self._look_again(tracked, place, now_ms)
        return moved

    def look_again(self, pids: Iterable[int], now_ms: int) -> bool:
        """Read these processes again, as far as they are tracked. Whether that told anything new."""
        before = {pid: self._tracked[pid] for pid in pids if pid in self._tracked}
        for pid, tracked in before.items():
            self._look_again(tracked, self.place(pid), now_ms)
        now = self._tracked
        return any(pid not in now or now[pid].process != tracked.process for pid, tracked in before.items())

    def learn_commands(self) -> bool:
        """Take over the command lines that were read meanwhile, without waiting. Whether all are known now."""
        left_bytes = MOST_LONG_BYTES - sum(long_bytes(each.command or _EMPTY) for each in self._tracked.values())
        are_all_known = True
        for pid, tracked in list(self._tracked.items()):
            if _is_to_be_read(tracked.command, left_bytes):
                command = self._table.command(tracked.process)
                are_all_known = are_all_known and command is not None
                command = tracked.command if command is None else kept(command, left_bytes)
                left_bytes -= long_bytes(command or _EMPTY)
                self._tracked[pid] = tracked._replace(process=_known_by(tracked.process, command), command=command)
        return are_all_known

    def read_commands(self, wait_ms: int = 0) -> None:
        """Start to read the command lines that are not known yet, and wait at most `wait_ms`."""
        if not self.learn_commands():
            self._table.read_commands()
            if wait_ms:
                self._table.await_commands(wait_ms)
                self.learn_commands()

    def _look_again(self, tracked: TrackedProcess, place: Place, now_ms: int) -> None:
        """Read it again. It is no longer tracked if it is gone; a process that has its PID now is tracked instead.

        A lack of descriptors says nothing about it: then what was known of it stays.
        """
        pid = tracked.process.pid
        process = self._table.read(pid, place[0])
        if process is None and self._table.is_lacking(pid):
            return
        if process is not None and process.start_ticks == tracked.process.start_ticks:
            self.gained_bytes += process.held_bytes - tracked.process.held_bytes
            self.shared_gained_bytes += process.shared_bytes - tracked.process.shared_bytes
            self._tracked[pid] = self._seen(tracked._replace(place=place), process, now_ms)
            return
        self.gained_bytes -= tracked.process.held_bytes
        self.shared_gained_bytes -= tracked.process.shared_bytes
        if process is None:
            del self._tracked[pid]
        else:
            self._begin(TrackedProcess(process, place), now_ms)

    def _look_closely(self, pid: int, place: Place, most: int, terms: Terms, now_ms: int) -> None:
        """Read a process that is large enough, and track it if it is not protected."""
        process = self._table.read(pid, place[0])
        if process is not None:
            spared = protection(process, terms)
            if spared is not None:
                self._spare(spared)
            else:
                self._track(process, place, most, now_ms)

    def _track(self, process: Process, place: Place, most: int, now_ms: int) -> None:
        """Track it, and no longer the smallest where there are too many."""
        self._begin(TrackedProcess(process, place), now_ms)
        kept = {*self._find_least(most)}
        self._tracked = {pid: tracked for pid, tracked in self._tracked.items() if pid in kept}

    def _begin(self, tracked: TrackedProcess, now_ms: int) -> None:
        """Track it from now on."""
        seen = self._seen(tracked, tracked.process, now_ms)
        if self._table.age_ms(tracked.process) < now_ms - self._round_began_ms:
            self.gained_bytes += seen.process.gained_bytes
            self.shared_gained_bytes += seen.process.shared_gained_bytes
        self._tracked[tracked.process.pid] = seen

    def _find_least(self, most: int) -> list[int]:
        """The PIDs of the `most` largest by place and by resident memory; notes what the least of either has."""
        by_place = sorted(self._tracked, key=lambda pid: self._tracked[pid].place, reverse=True)[:most]
        by_size = sorted(self._tracked, key=lambda pid: self._tracked[pid].place[1], reverse=True)[:most]
        is_full = len(by_place) == most
        self._least_place = self._tracked[by_place[-1]].place if is_full else NOWHERE
        self._least_resident = self._tracked[by_size[-1]].place[1] if is_full else 0
        return by_place + by_size

    def _seen(self, tracked: TrackedProcess, process: Process, now_ms: int) -> TrackedProcess:
        """What is known of a tracked process after `process` was read of it."""
        if process.comm != tracked.process.comm:  # it has executed another program since
            tracked = tracked._replace(command=None)
        held, age_ms = process.held_bytes, self._table.age_ms(process)
        gained = growth.gained_bytes(tracked.samples, now_ms, held, age_ms)
        if growth.is_new(tracked.samples, now_ms, age_ms):
            gained = self._own_bytes(process)
        shared, shared_samples, shared_gained = process.shared_bytes, tracked.shared_samples, 0
        if shared or shared_samples:
            shared_gained = growth.gained_bytes(shared_samples, now_ms, shared, age_ms)
            shared_samples = growth.sampled(shared_samples, now_ms, shared)
        process = process._replace(gained_bytes=gained, shared_gained_bytes=shared_gained)
        samples = growth.sampled(tracked.samples, now_ms, held)
        known = _known_by(process, tracked.command)
        return tracked._replace(process=known, samples=samples, shared_samples=shared_samples)

    def _own_bytes(self, process: Process) -> int:
        """What a new process holds beyond what its parent holds: a fork copies no page, and to write one is no leak."""
        if process.held_bytes < _WORTH_COMPARING_BYTES or process.parent <= 1:
            return process.held_bytes
        tracked = self._tracked.get(process.parent)
        parent = tracked.process if tracked is not None else self._table.read(process.parent, 0)
        if parent is None or parent.program_bytes != process.program_bytes or parent.start_ticks > process.start_ticks:
            return process.held_bytes
        return max(process.held_bytes - parent.held_bytes, 0)

    def _spare(self, spared: Spared) -> None:
        """Remember it among the largest of the spared."""
        others = [other for other in self._spared if other.process.pid != spared.process.pid]
        largest_first = sorted([*others, spared], key=lambda each: each.process.held_bytes, reverse=True)
        self._spared = largest_first[:_MOST_SPARED]


def largest_first(places: dict[int, Place]) -> list[int]:
    """The PIDs, those first that come first by either measure."""
    by_place = sorted(places, key=lambda pid: places[pid], reverse=True)
    by_size = sorted(places, key=lambda pid: places[pid][1], reverse=True)
    return list(dict.fromkeys(pid for pair in zip(by_place, by_size, strict=True) for pid in pair))


def _is_to_be_read(command: CommandLine | None, left_bytes: int) -> bool:
    """Whether it is not known, or what kept it from being known may be over."""
    if command is None:
        return True
    if command.trouble == TOO_MANY:
        return left_bytes >= COMMAND_BYTES
    return bool(command.trouble) and command.trouble != TOO_LONG


def _known_by(process: Process, command: CommandLine | None) -> Process:
    """The process with its command line, as far as that is known."""
    text, trouble = command or CommandLine(trouble=_NOT_READ)
    return process._replace(command=text, command_trouble=trouble)


def most_tracked(victims: Victims) -> int:
    """How many are tracked. With rules a smaller process may come first, and a command line may protect the largest."""
    order_changes = victims.prefer != NOTHING or victims.avoid != NOTHING
    has_rules = order_changes or bool(victims.never.commands or victims.only.commands)
    return _MOST_TRACKED_WITH_RULES if has_rules else _MOST_TRACKED


def asks_for_commands(victims: Victims) -> bool:
    """Whether a rule looks at command lines."""
    tables = (victims.prefer, victims.avoid, victims.never, victims.only)
    return any(table.commands for table in tables)
