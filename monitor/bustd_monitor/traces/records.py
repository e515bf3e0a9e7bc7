"""Records to flat lists of plain values and back, by the names of their fields.

A trace contains the names that it was written with. So a field that was added later is read as its default, a field
that this build does not know is skipped, and a missing field without a default is an error that names it.

A new field is recorded without a change here as long as it is a number, a text, bytes or a bool and has a default;
tests/unit/traces/test_fields.py says what else is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from bustd_protocol import limits
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.pressure import MemoryPressure

from ..sensing.processes import Process
from ..sensing.reading import Reading, Refaults, Unlimited

Plain = int | float | str | bytes | None


class TraceError(ValueError):
    """The trace can't be understood; the message says why."""


class RecordedProcess(NamedTuple):
    """One process in a recorded table. `resident_bytes` orders processes of equal oom_score."""

    process: Process
    resident_bytes: int = 0


NESTED: dict[str, Any] = {"pressure": MemoryPressure, "refaults": Refaults, "unlimited": Unlimited, "process": Process}
"""Fields that hold a record themselves, which may be missing as a whole (None)."""

NOT_RECORDED = {
    "gained_bytes": "ranking works it out from what a process held ten seconds before, in a replay as it does live",
    "shared_gained_bytes": "ranking works it out in the same way",
    "shared_swapped_bytes": "ranking works it out from what processes and their control groups have in swap",
    "copied_bytes": "ranking works it out from what a process and its parent hold",
    "twins": "ranking works it out from memory_print",
    "fullest_tmpfs": "a path may tell what is nobody's business, and it decides nothing",
}
"""Fields that are left out of a trace and read as their default, and why."""

_KINDS: dict[str, type] = {
    field: type(default)
    for kind in (Reading, MemoryPressure, Refaults, Unlimited, Process)
    for field, default in kind._field_defaults.items()
    if field not in NESTED
} | {"comm": bytes, "unit": str, "some_avg10": float, "full_avg10": float}
"""What a field holds if it is not an int: a value of its default's type, or of the type that stands here."""
_LOWEST = {"oom_score_adj": -1000, "full_node": -1, "group_swapped_bytes": -1}
_AT_LEAST_ONE = ("ram", "total")
"""Percentages are taken of these."""

LONGEST_BYTES = 1024
"""Of a text in UTF-8, and of bytes. A control group's path can be longer: it is cut off there."""


def names(kind: Any) -> tuple[str, ...]:
    """The fields of a record; those of a nested record are prefixed with its name: `pressure.some_avg10`."""
    found: list[str] = []
    for field in kind._fields:
        if field in NESTED:
            found += [f"{field}.{name}" for name in names(NESTED[field])]
        elif field not in NOT_RECORDED:
            found.append(field)
    return tuple(found)


def flat(record: Any) -> list[Plain]:
    """The values of a record in the order of its `names`. Raises TraceError for a value that a trace can't hold."""
    values: list[Plain] = []
    for field, value in zip(record._fields, record, strict=True):
        if field in NESTED:
            values += [None] * len(names(NESTED[field])) if value is None else flat(value)
        elif field not in NOT_RECORDED:
            values.append(_checked(field, _cut(value)))
    return values


def restorer(kind: type[Reading] | type[RecordedProcess], written: tuple[str, ...]) -> Callable[[list[Plain]], Any]:
    """A function that makes a record from values that were written with these names.

    Raises TraceError at once if a field is missing that has no default.
    """
    return _builder(kind, {name: place for place, name in enumerate(written)}, "")


def changes(before: list[Plain], after: list[Plain]) -> list[Plain]:
    """[place, change, place, change, ...]: of an int the difference, of anything else the new value."""
    found: list[Plain] = []
    for place, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new:
            found += [place, new - old if type(new) is int and type(old) is int else new]
    return found


def changed(before: list[Plain], pairs: list[Plain]) -> list[Plain]:
    """The values after such changes. Raises TraceError if the changes do not fit the values."""
    after = list(before)
    if len(pairs) % 2:
        raise TraceError("a change without its value")
    for place, change in zip(pairs[::2], pairs[1::2], strict=True):
        if type(place) is not int or not 0 <= place < len(after):
            raise TraceError("a change of a field that does not exist")
        old = after[place]
        after[place] = old + change if type(change) is int and type(old) is int else change
    return after


def _builder(kind: Any, places: dict[str, int], prefix: str) -> Callable[[list[Plain]], Any]:
    """The function that makes a `kind` from a flat list: the place of each value is looked up once."""
    sources: list[Callable[[list[Plain]], Any]] = []
    for field in kind._fields:
        name = prefix + field
        if field in NESTED:
            if any(place.startswith(f"{name}.") for place in places):
                sources.append(_whole_or_none(name, _builder(NESTED[field], places, f"{name}."), places))
                continue
        elif name in places and field not in NOT_RECORDED:
            sources.append(_one(field, places[name]))
            continue
        if field not in kind._field_defaults:
            raise TraceError(f"its records have no {name}, which this bustd needs to decide")
        sources.append(_always(kind._field_defaults[field]))
    return lambda values: kind._make(source(values) for source in sources)


def _always(default: Any) -> Callable[[list[Plain]], Any]:
    return lambda _values: default


def _one(field: str, place: int) -> Callable[[list[Plain]], Any]:
    return lambda values: _checked(field, values[place])


def _whole_or_none(name: str, build: Callable[[list[Plain]], Any], places: dict[str, int]) -> Callable[..., Any]:
    own = [place for field, place in places.items() if field.startswith(f"{name}.")]
    is_needed = name == "process"

    def nested(values: list[Plain]) -> Any:
        if not is_needed and all(values[place] is None for place in own):
            return None
        return build(values)

    return nested


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        encoded = value.encode("utf-8", "backslashreplace")
        return value if len(encoded) <= LONGEST_BYTES else encoded[:LONGEST_BYTES].decode("utf-8", "ignore")
    return value[:LONGEST_BYTES] if isinstance(value, bytes) else value


def _checked(field: str, value: Any) -> Any:
    """The value, if this field can hold it. `type(x) is`, because for isinstance True is an int."""
    kind = _KINDS.get(field, int)
    if type(value) is not kind:
        raise TraceError(f"{field} is {type(value).__name__} where {kind.__name__} belongs")
    if type(value) is int:
        low = 1 if field in _AT_LEAST_ONE else _LOWEST.get(field, 0)
        fits = low <= value <= limits.UINT63_MAX
    elif type(value) is float:
        fits = math.isfinite(value) and 0 <= value <= 100
    else:
        fits = value == _cut(value)
    if not fits:
        raise TraceError(f"{field} is out of its range")
    return value
