"""A quick look at memory: one number, and no reading is made. It costs 15 to 40 us with cold caches, a reading 150.

Both numbers are lower bounds of what a reading would call available.
"""

from __future__ import annotations

from bustd_shared.kernel.procfs import field_bytes

from .arc import Arc
from .held_file import HeldFile
from .protected import Protected
from .sysinfo import read_free_bytes

_FIRST_LINES_BYTES = 128
"""MemTotal, MemFree and MemAvailable are the first lines of /proc/meminfo, of 28 bytes each."""


class QuickLook:
    """It shares the open files of a sensor.

    `sysinfo_is_usable` False: under lxcfs free memory is another machine's, and only `available_bytes` makes sense.
    """

    def __init__(
        self, meminfo: HeldFile, arc: Arc, protected: Protected, watermark_bytes: int, *, sysinfo_is_usable: bool
    ) -> None:
        self._meminfo = meminfo
        self._arc = arc
        self._protected = protected
        self.watermark_bytes = watermark_bytes
        self.sysinfo_is_usable = sysinfo_is_usable

    def free_bytes(self) -> int:
        """Free memory above the watermarks (sysinfo), which is available in any case."""
        return read_free_bytes() - self.watermark_bytes

    def available_bytes(self) -> int:
        """MemAvailable and what ZFS would free, less what is held back; -1 if /proc/meminfo can't be understood."""
        available = field_bytes(self._meminfo.read(_FIRST_LINES_BYTES), b"MemAvailable:")
        if available is None:
            return -1
        rest = max(available - self._protected.held.by_low, 0)
        return rest + self._arc.reclaimable_bytes(rest)
