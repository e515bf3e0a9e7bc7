"""The processes of a control group and of all groups below it, a group at a time, so that a walk can pause."""

from __future__ import annotations

from collections.abc import Iterator

from bustd_shared.kernel import cgroups

MOST_GROUPS = 1024
"""Users can make any number of groups below their own. With more than this it is faster to look at every process."""


class TooManyGroups(Exception):
    """There are more than MOST_GROUPS. The processes of the first MOST_GROUPS were listed."""


def members(root: str, group: str) -> Iterator[int]:
    """The PIDs; each group is listed when its turn comes. A process that moves meanwhile may come twice or be missed.

    Raises TooManyGroups, and OSError for a lack of descriptors.
    """
    pending, count = [f"{root}{group.rstrip('/')}"], 0
    while pending:
        folder = pending.pop()
        count += 1
        if count > MOST_GROUPS:
            raise TooManyGroups
        yield from cgroups.listed_in(folder)
        pending += [f"{folder}/{name}" for name in cgroups.names_below(folder)]
