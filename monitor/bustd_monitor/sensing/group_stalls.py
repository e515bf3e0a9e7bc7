"""Whose stalls are they? PSI of the machine has those of every control group that meets a limit of its own.

PSI can't be subtracted: one unit at its limit saturates the machine's. So where a group meets a limit, the largest
stalls among the groups that do not are taken instead: a maximum, never a difference, or any user could hide a machine
that really thrashes behind a unit of its own. Refaults are sums; those of the limited groups are subtracted.

Nothing is read while programs hardly stall: then no group stalls more than the machine does.
"""

from __future__ import annotations

import os

from bustd_shared.kernel import cgroups
from bustd_shared.kernel.pressure import MemoryPressure

from .contents import amount, contents
from .reading import Unlimited
from .tracked_group import Grown, TrackedGroup

MOST_GROUPS = 64
"""Groups are looked at from the root downwards, and below a group only where one of those below meets a limit."""
_MOST_LISTED = 512
_LEAST_APART_MS = 100
_NOTICEABLE_US_PER_MS = 20
"""From 2 % of the time on, stalls are looked into."""
_QUIET_MS, _LIST_AGAIN_MS = 10_000, 5_000


class GroupStalls:
    """`root`: where the unified hierarchy is mounted, "" if nowhere. `proc`: where procfs is mounted.

    Where the hierarchy has no memory controller, `is_usable` is False and nothing is known. Where the first process is
    in the root itself, others may be too, and no group has their stalls: then the machine's stalls count, and refaults
    are subtracted all the same.
    """

    def __init__(self, root: str, proc: str = "/proc") -> None:
        self._root = root
        self.is_usable = bool(root) and b"memory" in contents(f"{root}/cgroup.controllers").split()
        self._has_programs_in_the_root = b"0::/\n" in contents(f"{proc}/1/cgroup")
        self._groups: list[TrackedGroup] = []
        self._opened: list[str] = []
        self._some_us = self._full_us = self._limited_anonymous = self._limited_file = 0
        self._pressure: MemoryPressure | None = None
        self._looked_ms = self._listed_ms = self._noticed_ms = 0

    def read(self, pressure: MemoryPressure, now_ms: int) -> Unlimited | None:
        """The running totals, from the machine's pressure of this moment."""
        if not self.is_usable:
            return None
        before, elapsed_ms = self._pressure, now_ms - self._looked_ms
        if before is None:
            self._some_us, self._full_us = pressure.some_total_us, pressure.full_total_us
        elif elapsed_ms >= _LEAST_APART_MS:
            some_us = max(pressure.some_total_us - before.some_total_us, 0)
            full_us = max(pressure.full_total_us - before.full_total_us, 0)
            self._add(Grown(some_us, full_us), elapsed_ms, now_ms)
        if before is None or elapsed_ms >= _LEAST_APART_MS:
            self._pressure, self._looked_ms = pressure, now_ms
        return Unlimited(self._some_us, self._full_us, self._limited_anonymous, self._limited_file)

    def end(self) -> None:
        """Nothing is short: forget everything, and close the files."""
        self._forget()
        self._pressure = None

    def _add(self, machine: Grown, elapsed_ms: int, now_ms: int) -> None:
        is_noticeable = machine.some_us >= _NOTICEABLE_US_PER_MS * elapsed_ms
        if is_noticeable:
            self._noticed_ms = now_ms
        if not self._opened:
            if is_noticeable:
                self._open(self._root, now_ms)
                self._descend(now_ms)
                if any(group.is_limited(now_ms) for group in self._groups) and not self._has_programs_in_the_root:
                    return  # whose stalls these were is not known; from here on it is
        elif now_ms - self._noticed_ms > _QUIET_MS:
            self._forget()
        else:
            machine = self._looked(machine, now_ms)
        self._some_us += machine.some_us
        self._full_us += machine.full_us

    def _looked(self, machine: Grown, now_ms: int) -> Grown:
        """What counts of this time: of the groups that meet no limit, if any meets one."""
        some_us = full_us = 0
        is_any_limited = False
        for group in self._groups:
            grown = group.look(now_ms)
            if group.is_limited(now_ms) or group.has_limited_below:
                is_any_limited = True
                self._limited_anonymous += grown.anonymous
                self._limited_file += grown.file
            else:
                some_us, full_us = max(some_us, grown.some_us), max(full_us, grown.full_us)
        self._descend(now_ms)
        if now_ms - self._listed_ms >= _LIST_AGAIN_MS:
            self._list_again(now_ms)
        if not is_any_limited or self._has_programs_in_the_root:
            return machine
        # A group stalls only while the machine does; the rest is the time between the two readings.
        return Grown(min(some_us, machine.some_us), min(full_us, machine.full_us))

    def _descend(self, now_ms: int) -> None:
        """Look at the groups below one, instead of it, where one of them meets a limit."""
        at = 0
        while at < len(self._groups):
            group = self._groups[at]
            if group.is_gone:
                group.close()
                del self._groups[at]
            elif group.has_limited_below and not group.is_limited(now_ms) and len(self._groups) < MOST_GROUPS:
                group.close()
                del self._groups[at]
                self._open(group.path, now_ms)  # they come last: what is nearer to the root has precedence
            else:
                at += 1

    def _open(self, path: str, now_ms: int) -> None:
        """Track the groups directly below this one."""
        self._opened.append(path)
        self._listed_ms = now_ms
        self._track([f"{path}/{name}" for name in _names_below(path)], now_ms)

    def _list_again(self, now_ms: int) -> None:
        """Groups come and go."""
        self._listed_ms = now_ms
        known = {group.path for group in self._groups} | set(self._opened)
        self._opened = [path for path in self._opened if os.path.exists(path)]
        for path in self._opened:
            below = [f"{path}/{name}" for name in _names_below(path)]
            self._track([one for one in below if one not in known], now_ms)

    def _track(self, paths: list[str], now_ms: int) -> None:
        """The largest of them, if there are too many."""
        room = MOST_GROUPS - len(self._groups)
        if len(paths) > room:
            paths = sorted(paths, key=lambda path: amount(f"{path}/memory.current") or 0, reverse=True)[: max(room, 0)]
        self._groups += [TrackedGroup(path, now_ms) for path in paths]

    def _forget(self) -> None:
        for group in self._groups:
            group.close()
        self._groups, self._opened = [], []


def _names_below(path: str) -> list[str]:
    try:
        return [name for name, _ in zip(cgroups.names_below(path), range(_MOST_LISTED), strict=False)]
    except OSError:  # a lack of descriptors: nothing is known of them this time
        return []
