"""How long the monitor may sleep: as long as the machine needs at least to get into trouble, and no less."""

from __future__ import annotations

from ..config import Sleep
from .conditions import Finding


def sleep_ms(findings: tuple[Finding, ...], sleep: Sleep) -> int:
    """Milliseconds until the next reading: headroom to the nearest threshold over the fastest rate of filling.

    A condition that also needs PSI does not hurry: PSI takes a second to say anything, and its triggers wake the
    monitor. So on a machine that stays just above such a threshold a reading a second is enough.
    """
    wait = sleep.longest_ms
    for finding in findings:
        fill_ms = finding.headroom * 1000 // (sleep.fill_mib_per_second * 2**20)
        wait = min(wait, max(fill_ms, sleep.watch_longest_ms) if finding.needs_psi else fill_ms)
    if any(finding.is_scarce for finding in findings):
        wait = min(wait, sleep.watch_longest_ms)
    return max(wait, sleep.shortest_ms)
