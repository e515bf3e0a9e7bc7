"""Finds the largest processes by control group, best first, where a walk through the process table would take too long.

Groups give the order of reading and nothing else. What a process holds is what procfs says; and the search ends with an
upper bound of what any process may hold that it did not read. The caller walks through the whole table where a process
of that size would matter. The bound is the sum of

- what an opened group is charged with beyond what its processes hold: a process that moved leaves its charge behind;
- what a group is charged with beyond the groups below it, or the machine beyond all groups: processes in the root,
  groups that can't be read, groups that are gone;
- the largest group that was not opened. All groups below one that is delegated to a user count as one there, because
  the user may move a process from one to the other.
"""

from __future__ import annotations

from _heapq import heappop, heappush  # heapq is 600 lines more that would stay in memory

from ..sensing.group_charges import Charged, GroupCharges

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

    Look = Callable[[list[int]], list[int]]

_MOST_OPENED, _MOST_CHARGED, _MOST_LISTED = 64, 256, 4096
"""So many groups are opened, so many are asked what they are charged with, and so many how much they use."""
_MOST_PROCESSES = 2048
"""With more processes in the groups that matter a walk through the table costs as much."""
_COPIES_PART = 8
"""Where processes hold an eighth more than their group is charged with, some hold copies of what others hold."""


class _Group:
    """One group. `usage` None: the root, of which it is not known. `owner`: the delegated group above, "" for none."""

    def __init__(self, path: str, usage: int | None, parent: _Group | None, owner: str = "") -> None:
        self.path, self.usage, self.parent, self.owner = path, usage, parent, owner
        self.charged: Charged | None = None
        self.most = usage or 0
        """At least as much as any process in it can hold."""
        self.used_below = self.charged_below = 0

    @property
    def nobodys_bytes(self) -> int:
        """Of an opened group: what it is charged with beyond the groups below it, as far as these were asked."""
        assert self.charged is not None, "a group is opened after it was asked"
        own = self.charged.private - self.charged_below
        return max(own if self.usage is None else min(own, self.usage - self.used_below), 0)


class GroupSearch:
    """One search. `look` reads these processes and returns what each of them holds of private memory.

    `least`: how much a process must hold to matter, by what was found so far; it may rise. `shared_bytes`: shared
    memory that the death of a process may free.
    """

    def __init__(self, memory: GroupCharges, look: Look, least: Callable[[], int], shared_bytes: int) -> None:
        self._memory, self._look, self._least, self._shared_bytes = memory, look, least, shared_bytes
        self._heap: list[tuple[int, str, _Group]] = []
        self._by_owner: dict[str, int] = {}
        """What the groups below a delegated one have together, of those that were not opened."""
        self._divided: list[_Group] = []
        """Opened groups with others below them."""
        self._left_bytes = self._set_aside_bytes = 0
        self._opened = self._asked = self._listed = self._read = 0

    def run(self) -> int | None:
        """Read the processes of the groups that matter. Returns what a process may hold that was not read.

        None: nothing can be said, as without a memory controller, or where no descriptor is left.
        """
        try:
            return self._run()
        except OSError:
            return None

    def _run(self) -> int | None:
        root = _Group("", None, None)
        root.charged = self._memory.of_machine()
        if root.charged is None or not self._divide(root):
            return None
        while self._heap and self.hidden_bytes() >= self._least():
            if max(self._opened - _MOST_OPENED, self._asked - _MOST_CHARGED, self._listed - _MOST_LISTED) > 0:
                break
            self._take(heappop(self._heap)[2])
        return self.hidden_bytes()

    def hidden_bytes(self) -> int:
        """What a process may hold that was not read."""
        unopened = max(self._heap[0][2].most if self._heap else 0, self._set_aside_bytes, *self._by_owner.values(), 0)
        return unopened + self._left_bytes + sum([group.nobodys_bytes for group in self._divided])

    def _take(self, group: _Group) -> None:
        """Ask the group that may hold most; once it was asked, open it if it matters."""
        if group.charged is None:
            self._ask(group)
        elif group.most >= self._least() or self._by_owner.get(group.owner, 0) >= self._least():
            self._count(group, -group.most)
            self._opened += 1
            if not self._divide(group):
                self._read_processes(group)
        else:
            self._set_aside_bytes = max(self._set_aside_bytes, group.most)

    def _ask(self, group: _Group) -> None:
        """Ask what of its use is memory that a process can hold."""
        self._asked += 1
        charged = self._memory.charged(group.path)
        if charged is None:  # it can't be read any more: it is part of what the group above can't explain
            self._count(group, -group.most)
            if group.parent is not None:
                group.parent.used_below -= group.usage or 0
            return
        if group.parent is not None:
            group.parent.charged_below += charged.private
        most = min(group.most, charged.private + min(charged.shared, self._shared_bytes))
        self._count(group, most - group.most)
        group.charged, group.most = charged, most
        self._push(group)

    def _divide(self, group: _Group) -> bool:
        """Add the groups below it. Whether there are any with a memory controller that can be read."""
        owner, found = group.owner, False
        for path in self._memory.below(group.path):
            usage = self._memory.usage(path)
            self._listed += 1
            if usage is not None:
                if not found and not owner and group.path and self._memory.is_delegated(group.path):
                    owner = group.path
                found = True
                below = _Group(path, usage, group, owner)
                group.used_below += usage
                self._count(below, usage)
                self._push(below)
            if self._listed > _MOST_LISTED:
                break
        if found:
            self._divided.append(group)
        return found

    def _read_processes(self, group: _Group) -> None:
        """Read the processes of a group, and note what these do not explain."""
        assert group.charged is not None, "a group is opened after it was asked"
        pids = self._memory.pids(group.path)
        self._read += len(pids)
        held = self._look(pids) if self._read <= _MOST_PROCESSES else []  # then nothing explains what it is charged
        explained = sum(held)
        if explained * _COPIES_PART > group.charged.private * (_COPIES_PART + 1):
            explained = max(held)
        self._left_bytes += max(group.charged.private - explained, 0)

    def _count(self, group: _Group, more: int) -> None:
        if group.owner:
            self._by_owner[group.owner] = self._by_owner.get(group.owner, 0) + more

    def _push(self, group: _Group) -> None:
        heappush(self._heap, (-group.most, group.path, group))
