"""What was sensed at one moment."""

from __future__ import annotations

from bustd_common.procfs import Pressure
from bustd_protocol.record import NamedTuple


class Reading(NamedTuple):
    """Memory in bytes. `total` is what user space can have (available plus anonymous), `ram` what is built in.

    `available` None: so much is free that nothing else was read. `pressure` None: this machine has no PSI.
    """

    ram: int
    free: int
    total: int
    available: int | None
    swap_total: int
    swap_free: int
    pressure: Pressure | None
