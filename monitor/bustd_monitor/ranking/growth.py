"""What a process has gained of late. Pure: it is told what was seen, and when.

A leak is known by its growth and not by its size: the old database beside it may well be larger.
"""

from __future__ import annotations

WINDOW_MS = 10_000
"""Growth counts over so long."""

_BETWEEN_SAMPLES_MS = 900

Samples = tuple[tuple[int, int], ...]
"""(monotonic milliseconds, bytes), oldest first: of what a process held, or of what was left of memory and swap."""


def sampled(samples: Samples, now_ms: int, amount: int) -> Samples:
    """The samples of the window with one more. One a second is enough: there are never more than a dozen."""
    if samples and now_ms < samples[-1][0] + _BETWEEN_SAMPLES_MS:
        return samples
    return (*_of_window(samples, now_ms), (now_ms, amount))


def gained_bytes(samples: Samples, now_ms: int, held_bytes: int, age_ms: int) -> int:
    """Bytes gained over the last ten seconds, never negative, as far as they were seen.

    Who is younger than that and was not followed for a second yet has gained everything that he holds. After that only
    what was seen counts: a program that took all of its memory when it started, and has been still since, is no leak.
    """
    seen = _of_window(samples, now_ms)
    if age_ms <= WINDOW_MS and (not seen or now_ms < seen[0][0] + _BETWEEN_SAMPLES_MS):
        return held_bytes
    return max(held_bytes - seen[0][1], 0) if seen else 0


def lost_bytes(samples: Samples, now_ms: int, room_bytes: int) -> int:
    """How much less is left than at the first of the samples within the last ten seconds, never negative."""
    seen = _of_window(samples, now_ms)
    return max(seen[0][1] - room_bytes, 0) if seen else 0


def _of_window(samples: Samples, now_ms: int) -> Samples:
    return tuple(sample for sample in samples if sample[0] >= now_ms - WINDOW_MS)
