"""How fast memory and swap fill up, and when they would be gone.

What is left is available memory plus free swap. Free swap counts whole: whatever fills memory is mostly anonymous and
can be swapped out itself, and where swap is compressed memory its free space shrinks the faster, so that the time
comes out right. Where swap is no relief, `floor` knows it.
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..sensing.reading import Reading

_APART_MS = 100
_LONG_MS = 2000
_SHORT_MS = 600
_LEAST_SAMPLES = 4
_LEAST_SEEN_MS = 300
_MOST_COMPARED = 12
"""Each is compared with each: this many bear an odd one, and more would only cost time."""

Sample = tuple[int, int]
"""Milliseconds of the monotonic clock, and the bytes that were left."""


class Rate(NamedTuple):
    """Bytes per second, 0 if memory is not filling up or too little was seen; and over how long it was seen."""

    per_second: int = 0
    seen_ms: int = 0


_UNKNOWN_RATE = Rate()


class Filling(NamedTuple):
    """`recent` are samples of the last 2 s, at least 100 ms apart.

    `short` and `long` are the rates over the last 0.6 s and over the last 2 s.
    """

    latest: Sample = (-1, 0)
    recent: tuple[Sample, ...] = ()
    short: Rate = Rate()
    long: Rate = Rate()


UNKNOWN = Filling()
"""Before the first reading."""


def advanced(filling: Filling, reading: Reading, now_ms: int) -> Filling:
    """The filling after one more reading. Nothing is kept while only sysinfo was read: enough is free."""
    if not reading.is_whole:
        return UNKNOWN
    latest = (now_ms, reading.room_bytes)
    if now_ms < filling.latest[0] or not filling.recent:
        return Filling(latest, (latest,))
    recent = filling.recent
    if now_ms - recent[-1][0] < _APART_MS:
        return Filling(latest, recent, filling.short, filling.long)
    passed = 0
    while passed < len(recent) and recent[passed][0] < now_ms - _LONG_MS:
        passed += 1
    recent = (*recent[passed:], latest)
    if len(recent) < _LEAST_SAMPLES:
        return Filling(latest, recent)
    last_ones = tuple([sample for sample in recent if sample[0] >= now_ms - _SHORT_MS])
    return Filling(latest, recent, _sustained(last_ones), _sustained(recent))


def rate(filling: Filling) -> Rate:
    """The rate of the last half second, or of the last two seconds where that had too few readings."""
    return filling.short if filling.short.seen_ms else filling.long


def exhaustion_ms(filling: Filling, reading: Reading) -> int | None:
    """Milliseconds until nothing is left if it goes on as it goes now, None if memory is not filling up."""
    return _time_ms(reading.room_bytes, rate(filling).per_second)


def is_emptying(filling: Filling) -> bool:
    """Whether more is left in the last reading than in the sample before it."""
    before = [left for at_ms, left in filling.recent[-2:] if at_ms < filling.latest[0]]
    return bool(before) and filling.latest[1] > before[-1]


def foreseen_ms(filling: Filling, reading: Reading) -> int | None:
    """The same, but no further ahead than the rate was seen: None beyond that.

    What has gone on for some time is as likely as not to go on for as long again. So a program that takes a good part
    of memory when it starts, and then stops, is not taken for one that would have gone on. A rate that held for the
    whole of the last two seconds, and still holds, is trusted for any time.
    """
    left, short, long = reading.room_bytes, filling.short, filling.long
    time_ms = _time_ms(left, short.per_second)
    if time_ms is not None and time_ms <= short.seen_ms:
        return time_ms
    time_ms = _time_ms(left, min(long.per_second, short.per_second) if short.seen_ms else long.per_second)
    is_trusted = time_ms is not None and (time_ms <= long.seen_ms or long.seen_ms >= _LONG_MS - 2 * _APART_MS)
    return time_ms if is_trusted else None


def look_again_ms(filling: Filling) -> int | None:
    """How soon the next reading should come, so that there are some before memory is gone; None: no hurry.

    It rests on the last two samples alone: an odd one costs a few readings, and decides nothing.
    """
    if len(filling.recent) < 2:
        return None
    (before_ms, before), (last_ms, last) = filling.recent[-2:]
    if last >= before:
        return None
    return max(last * (last_ms - before_ms) // (before - last) // 10, _APART_MS)


def _time_ms(left: int, per_second: int) -> int | None:
    return left * 1000 // per_second if per_second > 0 else None


def _sustained(samples: tuple[Sample, ...]) -> Rate:
    """The rate at which both halves of the time filled memory up.

    One odd sample does not move it, because within a half it is a median; and one step, however large, does not make
    a rate, because it is in one half only.
    """
    if len(samples) < _LEAST_SAMPLES or samples[-1][0] - samples[0][0] < _LEAST_SEEN_MS:
        return _UNKNOWN_RATE
    seen_ms = samples[-1][0] - samples[0][0]
    if len(samples) > _MOST_COMPARED:
        samples = samples[:: -(-len(samples) // _MOST_COMPARED)]
    middle = len(samples) // 2
    return Rate(max(min(_loss_per_second(samples[:middle]), _loss_per_second(samples[middle:])), 0), seen_ms)


def _loss_per_second(samples: tuple[Sample, ...]) -> int:
    """The median of the slopes between any two samples (Theil and Sen): a third of them may be odd."""
    losses = [
        (left - later_left) * 1000 // (later_ms - at_ms)
        for number, (at_ms, left) in enumerate(samples)
        for later_ms, later_left in samples[number + 1 :]
    ]
    losses.sort()
    return losses[(len(losses) - 1) // 2]
