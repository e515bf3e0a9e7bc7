"""Those who are followed: the largest processes that may die, what each has gained, and its command line."""

from __future__ import annotations

from collections.abc import Iterable

from bustd_shared.daemon.record import NamedTuple

from ..sensing.process_table import ProcessTable
from ..sensing.processes import Process
from . import growth, order
from .growth import Samples
from .order import Spared
from .terms import Terms

_MOST_SPARED = 16
_MOVED_BYTES = 4 * 2**20
"""Less than that does not change an order, and is what a program moves all the time."""

Place = tuple[int, int]
"""oom_score and resident bytes: the larger, the further in front."""
NOWHERE: Place = (0, 0)


class Member(NamedTuple):
    """One who is followed. `place`: when he was last met or looked at. `command` None: not known."""

    process: Process
    place: Place
    samples: Samples = ()
    command: str | None = None


class Tracked:
    """Of those that were offered the first by oom_score, and the first by resident memory: so many each as it is told.

    By either alone a crowd of small ones could hide the leak: anybody may raise his own oom_score_adj.
    """

    def __init__(self, table: ProcessTable) -> None:
        self._table = table
        self._members: dict[int, Member] = {}
        self._least_place, self._least_resident = NOWHERE, 0
        self._spared: list[Spared] = []
        self._round_began_ms = 0
        self.gained_bytes = 0
        """All that they were ever seen to gain, less what they were seen to lose: a running total."""

    def pids(self) -> list[int]:
        """Who is followed."""
        return list(self._members)

    def processes(self) -> list[Process]:
        """What is known of them."""
        return [member.process for member in self._members.values()]

    def spared(self) -> tuple[Spared, ...]:
        """The largest of those that would be followed if they were not protected."""
        return tuple(self._spared)

    def begin_round(self, now_ms: int) -> None:
        """The spared are found again; and who is older than it, and new to us, need not have gained since it began."""
        self._spared = []
        self._round_began_ms = now_ms

    def place(self, pid: int) -> Place:
        """Where it stands; NOWHERE if the kernel would never choose it."""
        score = self._table.score(pid)
        return (score, self._table.resident_bytes(pid)) if score else NOWHERE

    def offer(self, pid: int, place: Place, most: int, terms: Terms, now_ms: int) -> bool:
        """Follow this process if it is among the first. Whether a close look was needed."""
        if pid in self._members:
            self._members[pid] = self._members[pid]._replace(place=place)
            self._find_least(most)
            return False
        if len(self._members) < most or place > self._least_place or place[1] > self._least_resident:
            self._look_closely(pid, place, most, terms, now_ms)
            return True
        return False

    def look_again_where_moved(self, now_ms: int) -> set[int]:
        """Look again at those whose place is noticeably another than at the last look: who that was.

        To see that takes a third of what a look costs.
        """
        moved = set()
        for member in list(self._members.values()):
            place = self.place(member.process.pid)
            if _is_far(place, member.place):
                moved.add(member.process.pid)
                self._look_again(member, place, now_ms)
        return moved

    def look_again(self, pids: Iterable[int], now_ms: int) -> None:
        """Read anew what these hold, as far as they are followed."""
        for member in [self._members[pid] for pid in pids if pid in self._members]:
            self._look_again(member, self.place(member.process.pid), now_ms)

    def learn_commands(self) -> bool:
        """Take the command lines that have come meanwhile; nothing is waited for. Whether all are known now."""
        unknown = [pid for pid, member in self._members.items() if member.command is None]
        for pid in unknown:
            member = self._members[pid]
            command = self._table.command(member.process)
            process = member.process._replace(command=command or "")
            self._members[pid] = member._replace(process=process, command=command)
        return all(self._members[pid].command is not None for pid in unknown)

    def read_commands(self, wait_ms: int = 0) -> None:
        """Begin to read the command lines that are not known yet, and wait so long at most; they may never come."""
        if not self.learn_commands():
            self._table.read_commands()
            if wait_ms:
                self._table.await_commands(wait_ms)
                self.learn_commands()

    def _look_again(self, member: Member, place: Place, now_ms: int) -> None:
        """Who has vanished is no longer followed, and whoever has his number now is new."""
        pid = member.process.pid
        process = self._table.read(pid, place[0])
        if process is not None and process.start_ticks == member.process.start_ticks:
            self.gained_bytes += process.held_bytes - member.process.held_bytes
            self._members[pid] = self._seen(member._replace(place=place), process, now_ms)
            return
        self.gained_bytes -= member.process.held_bytes
        if process is None:
            del self._members[pid]
        else:
            self._begin(Member(process, place), now_ms)

    def _look_closely(self, pid: int, place: Place, most: int, terms: Terms, now_ms: int) -> None:
        process = self._table.read(pid, place[0])
        if process is not None:
            spared = order.protection(process, terms)
            if spared is not None:
                self._spare(spared)
            else:
                self._follow(process, place, most, now_ms)

    def _follow(self, process: Process, place: Place, most: int, now_ms: int) -> None:
        self._begin(Member(process, place), now_ms)
        kept = {*self._find_least(most)}
        self._members = {pid: member for pid, member in self._members.items() if pid in kept}

    def _begin(self, member: Member, now_ms: int) -> None:
        """Follow him from here on."""
        seen = self._seen(member, member.process, now_ms)
        if self._table.age_ms(member.process) < now_ms - self._round_began_ms:
            self.gained_bytes += seen.process.gained_bytes
        self._members[member.process.pid] = seen

    def _find_least(self, most: int) -> list[int]:
        """Who is among the first, by score or by size; and what the last of either have."""
        by_place = sorted(self._members, key=lambda pid: self._members[pid].place, reverse=True)[:most]
        by_size = sorted(self._members, key=lambda pid: self._members[pid].place[1], reverse=True)[:most]
        is_full = len(by_place) == most
        self._least_place = self._members[by_place[-1]].place if is_full else NOWHERE
        self._least_resident = self._members[by_size[-1]].place[1] if is_full else 0
        return by_place + by_size

    def _seen(self, member: Member, process: Process, now_ms: int) -> Member:
        """What is known of a member after this look."""
        if process.comm != member.process.comm:  # it has executed another program since
            member = member._replace(command=None)
        held, age_ms = process.held_bytes, self._table.age_ms(process)
        gained = growth.gained_bytes(member.samples, now_ms, held, age_ms)
        process = process._replace(gained_bytes=gained, command=member.command or "")
        return member._replace(process=process, samples=growth.sampled(member.samples, now_ms, held))

    def _spare(self, spared: Spared) -> None:
        others = [other for other in self._spared if other.process.pid != spared.process.pid]
        largest_first = sorted([*others, spared], key=lambda one: one.process.held_bytes, reverse=True)
        self._spared = largest_first[:_MOST_SPARED]


def _is_far(place: Place, from_place: Place) -> bool:
    return place[0] != from_place[0] or abs(place[1] - from_place[1]) >= _MOVED_BYTES
