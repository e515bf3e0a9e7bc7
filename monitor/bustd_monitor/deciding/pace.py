"""How long the monitor may sleep: as long as the machine needs at least to get into trouble, and no less."""

from __future__ import annotations

from ..conditions.finding import Finding
from ..config import Sleep


def sleep_ms(findings: tuple[Finding, ...], sleep: Sleep) -> int:
    """Milliseconds until the next reading: headroom to the nearest threshold over the fastest rate of filling.

    A condition that also needs time does not hurry: PSI takes a second to say anything, and its triggers wake the
    monitor; and how fast memory fills is judged over some readings. So on a machine that stays just above such a
    threshold a reading a second is enough. Where memory fills up, the condition itself asks for more.
    """
    wait = sleep.longest_ms
    for finding in findings:
        fill_ms = finding.headroom * 1000 // (sleep.fill_mib_per_second * 2**20)
        wait = min(wait, max(fill_ms, sleep.watch_longest_ms) if finding.condition.needs_time else fill_ms)
        if finding.look_again_ms is not None:
            wait = min(wait, finding.look_again_ms)
    if any(finding.is_scarce for finding in findings):
        wait = min(wait, sleep.watch_longest_ms)
    return max(wait, sleep.shortest_ms)
