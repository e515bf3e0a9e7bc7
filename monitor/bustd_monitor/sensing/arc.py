"""The cache of ZFS (ARC), which MemAvailable leaves out: ZFS frees what is above the cache's minimum on demand."""

from __future__ import annotations

from .held_file import HeldFile

_ARCSTATS_BYTES = 16_384


def parse_arcstats(data: bytes) -> int:
    """Bytes above the minimum in /proc/spl/kstat/zfs/arcstats (`size` less `c_min`); 0 if it can't be understood."""
    size, least = _value(data, b"\nsize "), _value(data, b"\nc_min ")
    return max(size - least, 0) if size is not None and least is not None else 0


def _value(data: bytes, name: bytes) -> int | None:
    """The third word of the line, which is: name, type, value."""
    at = data.find(name)
    words = data[at : at + 96].split(None, 3) if at >= 0 else []
    return int(words[2]) if len(words) >= 3 and words[2].isdigit() else None


class Arc:
    """The file is opened once: where there is no ZFS when bustd starts, nothing is ever read."""

    def __init__(self, proc: str = "/proc") -> None:
        self._arcstats = HeldFile(f"{proc}/spl/kstat/zfs/arcstats", _ARCSTATS_BYTES)

    def reclaimable_bytes(self) -> int:
        """Bytes that ZFS would free."""
        return parse_arcstats(self._arcstats.read()) if self._arcstats.is_open else 0

    def close(self) -> None:
        """Close the file."""
        self._arcstats.close()
