"""A family that runs away: several processes of one parent or one name, which die in one batch."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..sensing.kin import Kinship


class Family(NamedTuple):
    """`others`: PID and start time (clock ticks) of each that dies with the first, the largest first.

    `claimed_bytes`: what the first and those others hold that one request can name. `parent_comm`: the name of their
    common parent, b"" if they have none or it is not known. `is_whole`: everything else in the control group or process
    group dies too. `born_ticks`: when the youngest was started.
    """

    kinship: Kinship
    others: tuple[tuple[int, int], ...]
    claimed_bytes: int
    parent_comm: bytes = b""
    is_whole: bool = False
    born_ticks: int = 0
