"""Readings from a table of another tool (CSV). It has no processes, so none can be ranked.

Columns are recognised by their names; case, spaces and underscores do not matter, and other columns are skipped:

    time                      seconds from any moment, ascending
    MemAvailable              as in /proc/meminfo
    SwapFree                  (0: no swap)
    MemTotal                  default: the highest MemAvailable of all rows
    SwapTotal                 default: the highest SwapFree of all rows
    MemFree                   default: MemAvailable
    AnonPages                 default: such that user space can have MemTotal
    some, full                PSI, in percent of the time since the row before
    some_avg10, full_avg10    PSI, as the kernel prints it

Amounts are in kB (kibibytes), as in /proc/meminfo, unless the name ends with a unit: MemAvailable_bytes,
MemAvailable (MiB). Missing values of PSI are computed: averages from percentages, as the kernel does, and totals from
either.

Stalls are judged over readings about a second apart (conditions.stalled_seconds). Where rows are further apart, there
are readings between them, as if everything had changed evenly from one row to the next. No reading is made up in a gap
of more than 15 s: the machine may have been suspended.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.pressure import MemoryPressure

from ..conditions.stalled_seconds import LONGEST_APART_MS, SHORTEST_APART_MS
from ..sensing.reading import Reading
from .format import MOST_MS, Frame, Header, Sensed
from .records import TraceError

_MOST_BYTES = 256 * 2**20
_MOST_AMOUNT = 2**50
_UNITS = {
    "b": 1,
    "byte": 1,
    "bytes": 1,
    "kb": 2**10,
    "kib": 2**10,
    "mb": 2**20,
    "mib": 2**20,
    "gb": 2**30,
    "gib": 2**30,
}
"""kB is 1024 bytes, as in /proc, and the other units accordingly."""
_AMOUNTS = ("memavailable", "swapfree", "memtotal", "swaptotal", "memfree", "anonpages")
_KINDS = ("some", "full")
_PERCENTAGES = (*_KINDS, "someavg10", "fullavg10")
_NEEDED = ("time", "memavailable", "swapfree")
_AVERAGED_OVER_S = 10.0
_PSI_PERIOD_MS = 2000
"""The kernel updates its averages at this interval (kernel/sched/psi.c, PSI_FREQ)."""
_APART_MS, _LONGEST_GAP_MS = 1000, 15_000


class Row(NamedTuple):
    """One row: milliseconds since the first row, and its values by column, in bytes and percent."""

    at_ms: int
    values: dict[str, float]


def read_table(file: BinaryIO) -> tuple[Header, Iterator[Frame]]:
    """The header and the frames of the table. Raises TraceError if it can't be understood."""
    data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise TraceError(f"it is larger than {_MOST_BYTES >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TraceError("it is not text in UTF-8") from None
    rows = parse_table(text)
    most = {name: int(max(row.values[name] for row in rows)) for name in ("memavailable", "swapfree")}
    ram = max(int(rows[0].values.get("memtotal", most["memavailable"])), 1)
    header = Header("another tool", "", ram, -1, 0, 100)
    return header, iter(frames_of(rows, most))


def parse_table(text: str) -> list[Row]:
    """All rows, with their values by column. Raises TraceError with the number of the line."""
    lines = csv.reader(io.StringIO(text), strict=True, skipinitialspace=True)
    try:
        columns = _columns(next(lines, []))
        rows: list[Row] = []
        start_s = 0.0
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            values = {name: _number(name, cells, place, factor) for place, (name, factor) in columns.items()}
            start_s = start_s if rows else values["time"]
            at_ms = round((values.pop("time") - start_s) * 1000)
            if rows and at_ms <= rows[-1].at_ms:
                raise TraceError("the time does not ascend")
            if at_ms > MOST_MS:
                raise TraceError("the time is too far from the first; it must be in seconds")
            rows.append(Row(at_ms, values))
    except csv.Error as error:
        raise TraceError(f"line {lines.line_num}: {error}") from None
    except TraceError as error:
        raise TraceError(f"line {lines.line_num}: {error}") from None
    if not rows:
        raise TraceError("there is no row in it")
    return rows


def frames_of(rows: list[Row], most: dict[str, int]) -> list[Frame]:
    """The readings. `most`: the highest value of a column, for the totals that have no column."""
    rows = interpolated(_with_percents(rows))
    some, full = stalls(rows, "some"), stalls(rows, "full")
    frames: list[Frame] = []
    for place, (at_ms, values) in enumerate(rows):
        available, swap_free = int(values["memavailable"]), int(values["swapfree"])
        ram = max(int(values.get("memtotal", most["memavailable"])), 1)
        pressure = None
        if some is not None:
            pressure = MemoryPressure(*some[place], *(full[place] if full is not None else (0.0, 0)))
        available = min(available, ram)
        anonymous = values.get("anonpages")
        reading = Reading(
            ram=ram,
            free=min(int(values.get("memfree", available)), ram),
            total=ram if anonymous is None else max(min(available + int(anonymous), ram), 1),
            available=available,
            swap_total=max(int(values.get("swaptotal", most["swapfree"])), swap_free),
            swap_free=swap_free,
            pressure=pressure,
            swap_usable=swap_free,
        )
        frames.append(Sensed(at_ms, reading))
    return frames


def interpolated(rows: list[Row]) -> list[Row]:
    """The rows, and between those that are too far apart to judge stalls, others a second apart."""
    found = rows[:1]
    judged_ms = rows[0].at_ms
    for before, row in pairwise(rows):
        if row.at_ms - before.at_ms > _LONGEST_GAP_MS:
            judged_ms = row.at_ms
        while row.at_ms - judged_ms > LONGEST_APART_MS:
            judged_ms += _APART_MS
            found.append(_between(before, row, judged_ms))
        if row.at_ms - judged_ms >= SHORTEST_APART_MS:
            judged_ms = row.at_ms
        found.append(row)
    return found


def _between(before: Row, after: Row, at_ms: int) -> Row:
    """What it was at this time: amounts by then, and PSI in percent of the whole time between the rows."""
    share = (at_ms - before.at_ms) / (after.at_ms - before.at_ms)
    values = {kind: after.values[kind] for kind in _KINDS if kind in after.values}
    for name in _AMOUNTS:
        if name in after.values:
            values[name] = before.values[name] + (after.values[name] - before.values[name]) * share
    return Row(at_ms, values)


def stalls(rows: list[Row], kind: str) -> list[tuple[float, int]] | None:
    """(avg10 in percent, running total in microseconds) at each row; None if there is no column of this kind."""
    if kind not in rows[0].values:
        return None
    found: list[tuple[float, int]] = []
    average, total_us, before_ms = 0.0, 0, rows[0].at_ms
    for row in rows:
        elapsed_ms, before_ms, percent = row.at_ms - before_ms, row.at_ms, row.values[kind]
        total_us += round(elapsed_ms * 10 * percent)
        fades = math.exp(-elapsed_ms / 1000 / _AVERAGED_OVER_S)
        average = row.values.get(f"{kind}avg10", average * fades + percent * (1 - fades))
        found.append((average, total_us))
    return found


def _with_percents(rows: list[Row]) -> list[Row]:
    """The rows, with percentages of PSI where the table has averages alone."""
    for kind in _KINDS:
        name = f"{kind}avg10"
        if name in rows[0].values and kind not in rows[0].values:
            percents = _percents_behind(rows, name)
            pairs = zip(rows, percents, strict=True)
            rows = [Row(row.at_ms, {**row.values, kind: percent}) for row, percent in pairs]
    return rows


def _percents_behind(rows: list[Row], name: str) -> list[float]:
    """The percentages of each interval, computed back from an average that follows them."""
    percents = [0.0] * len(rows)
    begin = 0
    for place in range(1, len(rows)):
        elapsed_ms = rows[place].at_ms - rows[begin].at_ms
        before, after = rows[begin].values[name], rows[place].values[name]
        is_last = place == len(rows) - 1
        if before == after and elapsed_ms < _PSI_PERIOD_MS and not is_last:
            continue
        fades = math.exp(-elapsed_ms / 1000 / _AVERAGED_OVER_S)
        percent = min(max((after - before * fades) / (1 - fades), 0.0), 100.0)
        percents[begin + 1 : place + 1] = [percent] * (place - begin)
        begin = place
    return percents


def _columns(names: list[str]) -> dict[int, tuple[str, int]]:
    """By the place of each column: its name without the unit, and the factor for its numbers."""
    found: dict[int, tuple[str, int]] = {}
    for place, name in enumerate(names):
        known = _column(name)
        if known is not None:
            if known[0] in [other for other, _ in found.values()]:
                raise TraceError(f"two columns are {name.strip()}")
            found[place] = known
    for needed in _NEEDED:
        if needed not in [name for name, _ in found.values()]:
            raise TraceError(f"no column is {needed}; there must be time, MemAvailable and SwapFree")
    return found


def _column(name: str) -> tuple[str, int] | None:
    """A column's name without the unit, and its factor; None for a column that is not used."""
    plain = "".join(c if c.isalnum() else " " for c in name.lower())
    words = plain.split()
    unit = words.pop() if len(words) > 1 and words[-1] in _UNITS else ""
    joined = "".join(words).removeprefix("psi")
    if joined in _AMOUNTS:
        return joined, _UNITS[unit or "kb"]
    if joined == "time" or (joined in ("times", "timeseconds") and not unit):
        return "time", 1
    return (joined, 1) if joined in _PERCENTAGES and not unit else None


def _number(name: str, cells: list[str], place: int, factor: int) -> float:
    text = cells[place].strip() if place < len(cells) else ""
    try:
        value = float(text)
    except ValueError:
        raise TraceError(f"{name} is {text[:40]!r} where a number belongs") from None
    value = value * factor
    highest = 100.0 if name in _PERCENTAGES else _MOST_AMOUNT
    if not math.isfinite(value) or not 0 <= value <= highest:
        hint = "; its unit can stand behind its name, as in MemAvailable_bytes" if name in _AMOUNTS else ""
        raise TraceError(f"{name} is {text[:40]} and can't be{hint}")
    return value
