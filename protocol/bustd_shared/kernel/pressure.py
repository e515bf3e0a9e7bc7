"""Parsers of pressure and refaults, of the machine and of control groups: bytes in, values out, no I/O.

Sources: Documentation/accounting/psi.rst, mm/workingset.c.
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from .procfs import number_after


class MemoryPressure(NamedTuple):
    """/proc/pressure/memory: avg10 in percent, totals in microseconds. A missing `full` line counts as 0."""

    some_avg10: float
    some_total_us: int
    full_avg10: float
    full_total_us: int


def parse_pressure(data: bytes) -> MemoryPressure | None:
    """Parse a PSI file. None if it has no `some` line that can be understood, as on a kernel with PSI switched off."""
    some = full = b""
    for line in data.splitlines():
        if line.startswith(b"some "):
            some = line
        elif line.startswith(b"full "):
            full = line
    try:
        return MemoryPressure(*_average_and_total(some), *(_average_and_total(full) if full else (0.0, 0)))
    except ValueError:
        return None


def refaults(data: bytes) -> tuple[int, int | None]:
    """Refaults of anonymous memory and of files in pages, from /proc/vmstat or the memory.stat of a group.

    None for files where neither line is there. Before Linux 5.9 there is only workingset_refault, which counts files.
    """
    file = number_after(data, b"workingset_refault_file ")
    if file is None:
        file = number_after(data, b"workingset_refault ")
    return number_after(data, b"workingset_refault_anon ") or 0, file


def _average_and_total(line: bytes) -> tuple[float, int]:
    """avg10 and total of a line of a PSI file. Raises ValueError where one of them is missing or not a number."""
    average, total = line.partition(b" avg10=")[2], line.partition(b" total=")[2]
    return _percent(average.partition(b" ")[0]), _total(total.partition(b" ")[0])


def _total(text: bytes) -> int:
    """Microseconds since boot. Raises ValueError for anything else."""
    if not text.isdigit():
        raise ValueError("not a total")
    return int(text)


def _percent(text: bytes) -> float:
    """A share of time, clamped to 0 to 100; 0 for `nan`. Raises ValueError for what is not a number."""
    value = float(text)
    return min(max(value, 0.0), 100.0) if value == value else 0.0
