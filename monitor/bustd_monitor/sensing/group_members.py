"""The processes of a control group and of all below it, a group at a time: a walk can stop and go on."""

from __future__ import annotations

from collections.abc import Iterator

from bustd_shared.kernel import cgroups

MOST_GROUPS = 1024
"""A user may make any number of control groups in his own: beyond so many it is quicker to look at every process."""


class TooManyGroups(Exception):
    """There are more than MOST_GROUPS; those before were listed."""


def members(root: str, group: str) -> Iterator[int]:
    """PIDs, as they are listed when their group's turn comes. Who moves meanwhile may come twice, or not at all.

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
