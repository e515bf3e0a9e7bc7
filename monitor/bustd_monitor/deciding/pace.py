"""How long the monitor may sleep: as long as the machine needs at least to get into trouble, and no less."""

from __future__ import annotations

from bustd_shared.kernel.pressure import MemoryPressure

from ..conditions.finding import Finding
from ..config import Sleep


def sleep_ms(findings: tuple[Finding, ...], sleep: Sleep, fill_per_second: int) -> int:
    """Milliseconds until the next reading: headroom to the nearest threshold over the fastest rate of filling.

    `fill_per_second`: no programs fill memory faster than by this many bytes a second.

    A condition that also needs time does not hurry: PSI takes a second to say anything, and its triggers wake the
    monitor; and how fast memory fills is judged over some readings. So on a machine that stays just above such a
    threshold a reading a second is enough. Where memory fills up, the condition itself asks for more.
    """
    wait = sleep.longest_ms
    for finding in findings:
        fill_ms = finding.headroom * 1000 // fill_per_second
        wait = min(wait, max(fill_ms, sleep.watch_longest_ms) if finding.condition.needs_time else fill_ms)
        if finding.look_again_ms is not None:
            wait = min(wait, finding.look_again_ms)
    if any(finding.is_scarce for finding in findings):
        wait = min(wait, sleep.watch_longest_ms)
    return max(wait, sleep.shortest_ms)


def is_quiet(findings: tuple[Finding, ...], pressure: MemoryPressure | None) -> bool:
    """Whether 2 MiB to measure with are no matter: nothing is scarce, or no program has stalled for ten seconds.

    A machine may live just above a threshold for months, where something is always scarce.
    """
    if any(finding.fires for finding in findings):
        return False
    stands_still = pressure is not None and not pressure.some_avg10
    return stands_still or not any(finding.is_scarce for finding in findings)


LONGEST_EASED_MS, SHORT_EASED_MS = 250, 50
"""A decision and the kill after it take about as long as the second: to look more often than that gains little."""
_PARTS = 16
"""At the rate seen since the last reading, what is left must last for this many such sleeps."""


class Ease:
    """While hardly anything moves near a threshold, each sleep is twice as long as the last: for PSI triggers alone.

    A machine may live just above a threshold for months. No sleep beyond SHORT_EASED_MS is longer than the time in
    which programs could take all that is left of memory and usable swap. Times are monotonic milliseconds.
    """

    def __init__(self) -> None:
        self._left = self._wait_ms = 0
        self._read_ms = -1

    def eased_ms(self, wait_ms: int, left: int, now_ms: int, fill_per_second: int) -> int:
        """The sleep after a reading with so many bytes left, for which the pace says `wait_ms`."""
        lost, elapsed_ms = self._left - left, now_ms - self._read_ms
        gone_ms = left * 1000 // fill_per_second
        eased_ms = min(2 * self._wait_ms, LONGEST_EASED_MS, max(gone_ms, SHORT_EASED_MS))
        if lost > 0:
            eased_ms = min(eased_ms, left * elapsed_ms // lost // _PARTS)
        self._left, self._wait_ms, self._read_ms = left, max(wait_ms, eased_ms), now_ms
        return self._wait_ms
