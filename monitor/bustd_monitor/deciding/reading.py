"""What was sensed at one moment."""

from __future__ import annotations

from bustd_common.procfs import Pressure
from bustd_protocol.record import NamedTuple


class Reading(NamedTuple):
    """Memory in bytes. `total` is what user space can have (available plus anonymous), `ram` what is built in.

    Where so much is free that nothing but sysinfo was read, `available` is at least as low as the true value, `total`
    at least as high, and there is no word of swap. `pressure` None: there is no PSI, or it was not read.
    """

    ram: int
    free: int
    total: int
    available: int
    swap_total: int
    swap_free: int
    pressure: Pressure | None
