"""The tree of control groups: limits, protection, and what each group went through at its own limit."""

from __future__ import annotations

from collections.abc import Iterator

from .pressure import Stalls

UNLIMITED = float("inf")


class Group:
    """One control group. Amounts are bytes, and those of the groups below it are included.

    `usage` and `swapped` are worked out at each step, for the groups that have a limit or a protection, and when a file
    of the group is read.
    """

    def __init__(self, path: str, parent: Group | None) -> None:
        self.path = path
        self.parent = parent
        self.ancestry: tuple[Group, ...] = (self, *(parent.ancestry if parent is not None else ()))
        """The group and the groups above it."""
        self.children: dict[str, Group] = {}
        self.high = self.max = self.swap_max = UNLIMITED
        self.low = self.min = 0.0
        self.is_indivisible = False
        """memory.oom.group"""
        self.owner_uid = 0
        self.usage = self.swapped = 0.0
        self.met = {"low": 0, "high": 0, "max": 0, "oom": 0, "oom_kill": 0, "oom_group_kill": 0}
        """memory.events.local"""
        self.refaulted_anonymous = self.refaulted_files = self.reclaimed = 0.0
        self.stalls = Stalls()

    @property
    def limit(self) -> float:
        return min(self.high, self.max)

    def subtree(self) -> Iterator[Group]:
        """The group and the groups below it."""
        yield self
        for child in self.children.values():
            yield from child.subtree()

    def is_within(self, other: Group) -> bool:
        return other in self.ancestry

    def met_hierarchically(self) -> dict[str, int]:
        """memory.events: of the groups below it too."""
        whole = dict.fromkeys(self.met, 0)
        for group in self.subtree():
            for name, count in group.met.items():
                whole[name] += count
        return whole


class Hierarchy:
    """The unified hierarchy. A group comes to be when it is first asked for."""

    def __init__(self) -> None:
        self.root = Group("", None)
        self._by_path = {"": self.root}

    def at(self, path: str) -> Group:
        """The group at this path, which begins with a slash; "" is the root."""
        found = self._by_path.get(path)
        if found is None:
            above, _, name = path.rpartition("/")
            parent = self.at(above)
            found = self._by_path[path] = parent.children[name] = Group(path, parent)
        return found

    def find(self, path: str) -> Group | None:
        return self._by_path.get(path)

    def all(self) -> list[Group]:
        return list(self._by_path.values())
