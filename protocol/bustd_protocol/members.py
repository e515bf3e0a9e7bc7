"""The members of a request, as its sender packs them; messages.unpacked_members reads them again."""

from __future__ import annotations

from collections.abc import Iterable


def packed_members(members: Iterable[tuple[int, int]]) -> bytes:
    """(PID, start time in clock ticks) of each as KillRequest carries them. Raises OverflowError out of range."""
    return b"".join([pid.to_bytes(4, "little") + ticks.to_bytes(8, "little") for pid, ticks in members])
