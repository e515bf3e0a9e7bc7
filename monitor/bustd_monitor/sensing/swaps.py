"""How much memory swapping out can still free: less than free swap where little can be swapped out or swap is zram.

A zram device compresses what is swapped out and keeps it in memory: to store X bytes in it frees X less X divided by
the ratio. So its free space counts by the memory that it would free (Documentation/admin-guide/blockdev/zram.rst).
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from .held_file import HeldFile

ASSUMED_RATIO_PERCENT = 200
"""The kernel's document on zram expects 2:1; while little is stored, the measured ratio says nothing."""
_LITTLE_STORED = 32 * 2**20
_SWAPS_BYTES = 4096
_MM_STAT_BYTES = 256


class Device(NamedTuple):
    """A line of /proc/swaps (proc_swaps(5)), in bytes. The kernel fills the device of the highest priority first."""

    path: bytes
    size: int
    used: int
    priority: int


class MmStat(NamedTuple):
    """/sys/block/zramN/mm_stat in bytes: what is stored, the memory that it takes, and the limit of that (0: none)."""

    stored: int
    taken: int
    limit: int


def parse_swaps(data: bytes) -> tuple[Device, ...]:
    """The devices in /proc/swaps, in the order in which the kernel fills them; lines it can't parse are left out."""
    devices = []
    for line in data.splitlines():
        words = line.split()
        if len(words) == 5 and words[2].isdigit() and words[3].isdigit() and words[4].lstrip(b"-").isdigit():
            size, used = int(words[2]) * 1024, int(words[3]) * 1024
            devices.append(Device(words[0], size, min(used, size), int(words[4])))
    return tuple(sorted(devices, key=lambda device: -device.priority))


def parse_mm_stat(data: bytes) -> MmStat | None:
    """Parse mm_stat: orig_data_size, compr_data_size, mem_used_total and mem_limit come first, in bytes."""
    words = data.split()
    if len(words) < 4 or not all(word.isdigit() for word in words[:4]):
        return None
    return MmStat(int(words[0]), int(words[2]), int(words[3]))


def zram_name(path: bytes) -> str:
    """`zram0` of `/dev/zram0`; "" if it is not a zram device."""
    name = path.rpartition(b"/")[2]
    return name.decode() if name.startswith(b"zram") and name[4:].isdigit() else ""


def usable_bytes(devices: tuple[Device, ...], stats: dict[bytes, MmStat | None], swappable: int) -> int:
    """Bytes of memory that all devices together can still free, if `swappable` bytes can be swapped out.

    `stats` holds the zram devices among them; None where mm_stat could not be read.
    """
    usable = 0
    for device in devices:
        fits, costs = min(device.size - device.used, swappable), 0
        if device.path in stats:
            stat = stats[device.path]
            ratio_percent = _ratio_percent(stat)
            if stat is not None and stat.limit:
                fits = min(fits, max(stat.limit - stat.taken, 0) * ratio_percent // 100)
            costs = fits * 100 // ratio_percent
        swappable -= fits
        usable += fits - costs
    return usable


def _ratio_percent(stat: MmStat | None) -> int:
    """Bytes stored in 100 bytes of memory, at least 100: what does not compress frees nothing and costs nothing."""
    if stat is None or stat.stored < _LITTLE_STORED:
        return ASSUMED_RATIO_PERCENT
    return max(stat.stored * 100 // max(stat.taken, 1), 100)


class Swaps:
    """Reads /proc/swaps when the size of swap changes, and at each reading where a device is zram."""

    def __init__(self, proc: str = "/proc", sys: str = "/sys") -> None:
        self._sys = sys
        self._swaps = HeldFile(f"{proc}/swaps", _SWAPS_BYTES)
        self._zram: dict[bytes, HeldFile] = {}
        self._known_total = 0
        self.taken_bytes = 0
        """Memory that the zram devices took at the last reading."""

    def usable_bytes(self, swap_total: int, swap_free: int, swappable: int) -> int:
        """Bytes of memory that swapping out can free now, from these figures of /proc/meminfo."""
        if swap_total != self._known_total:
            self._find_zram(swap_total)
        if not self._zram:
            self.taken_bytes = 0
            return min(swap_free, swappable)
        stats = {path: parse_mm_stat(held.read()) for path, held in self._zram.items()}
        self.taken_bytes = sum([stat.taken for stat in stats.values() if stat is not None])
        return min(usable_bytes(parse_swaps(self._swaps.read()), stats, swappable), swap_free)

    def close(self) -> None:
        """Close the files."""
        self._swaps.close()
        for held in self._zram.values():
            held.close()
        self._zram = {}

    def _find_zram(self, swap_total: int) -> None:
        """Open the files of the zram devices. A device that replaces one of the same size goes unnoticed."""
        for held in self._zram.values():
            held.close()
        devices = parse_swaps(self._swaps.read())
        names = {device.path: zram_name(device.path) for device in devices}
        self._zram = {
            path: HeldFile(f"{self._sys}/block/{name}/mm_stat", _MM_STAT_BYTES) for path, name in names.items() if name
        }
        self._known_total = swap_total if devices else 0  # unreadable: the next reading tries again
