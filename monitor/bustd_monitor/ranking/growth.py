"""What a process gained over the last ten seconds. Pure: what was seen, and when, is passed in.

A leak is recognised by its growth and not by its size: the old database beside it may well be larger.
"""

from __future__ import annotations

WINDOW_MS = 10_000
"""Growth is what was gained within this window."""

_BETWEEN_SAMPLES_MS = 900

Samples = tuple[tuple[int, int], ...]
"""(monotonic milliseconds, bytes), the oldest first: what a process held, or what was available of memory and swap."""


def sampled(samples: Samples, now_ms: int, amount: int) -> Samples:
    """The samples of the window and a new one, at most one a second, so that there are never more than a dozen."""
    if samples and now_ms < samples[-1][0] + _BETWEEN_SAMPLES_MS:
        return samples
    return (*_of_window(samples, now_ms), (now_ms, amount))


def gained_bytes(samples: Samples, now_ms: int, held_bytes: int, age_ms: int) -> int:
    """Bytes that a process was seen to gain over the last ten seconds, never negative.

    A process younger than that has gained everything that it holds, until its samples span a second. After that only
    what was seen counts: a program that allocated all of its memory at its start and nothing since is not a leak.
    """
    seen = _of_window(samples, now_ms)
    if is_new(samples, now_ms, age_ms):
        return held_bytes
    return max(held_bytes - seen[0][1], 0) if seen else 0


def is_new(samples: Samples, now_ms: int, age_ms: int) -> bool:
    """Whether a process of this age was not seen for a second yet, so that what it holds is all that is known."""
    seen = _of_window(samples, now_ms)
    return age_ms <= WINDOW_MS and (not seen or now_ms < seen[0][0] + _BETWEEN_SAMPLES_MS)


def lost_bytes(samples: Samples, now_ms: int, room_bytes: int) -> int:
    """By how much room has shrunk since the first sample within the last ten seconds, never negative."""
    seen = _of_window(samples, now_ms)
    return max(seen[0][1] - room_bytes, 0) if seen else 0


def lost_since(samples: Samples, from_ms: int, room_bytes: int) -> int | None:
    """Bytes of room that were lost since the last sample before `from_ms`, None where there is none.

    Every fall counts, and no rise makes up for it: what a death gave back meanwhile was lost before.
    """
    before = [sample for sample in samples if sample[0] <= from_ms]
    if not before:
        return None
    rooms = [sample[1] for sample in samples if sample[0] >= before[-1][0]] + [room_bytes]
    return sum(max(rooms[at] - rooms[at + 1], 0) for at in range(len(rooms) - 1))


def _of_window(samples: Samples, now_ms: int) -> Samples:
    return tuple(sample for sample in samples if sample[0] >= now_ms - WINDOW_MS)
