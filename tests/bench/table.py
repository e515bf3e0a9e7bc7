"""A measured figure, and many of them as a table to read and as JSON to compare."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Figure(NamedTuple):
    """One line of the table. `value` is the median where there are many samples; `is_met` None: there is no target.

    `why_not` says why it could not be measured; then nothing else counts.
    """

    key: str
    what: str
    unit: str = ""
    value: float = 0.0
    p99: float | None = None
    most: float | None = None
    samples: int = 1
    target: str = ""
    is_met: bool | None = None
    note: str = ""
    why_not: str = ""


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least `percent` of all do not exceed (nearest rank)."""
    return sorted(samples)[max(math.ceil(len(samples) * percent / 100), 1) - 1]


def of_samples(key: str, what: str, unit: str, samples: Sequence[float], **more: object) -> Figure:
    """The figure for many samples: median, p99, the largest."""
    return Figure(
        key,
        what,
        unit,
        percentile(samples, 50),
        percentile(samples, 99),
        max(samples),
        len(samples),
        **more,  # type: ignore[arg-type]
    )


def against(figure: Figure, judged: float, limit: float, words: str = "") -> Figure:
    """The figure with its target: `judged` is at most `limit`."""
    return figure._replace(target=words or f"≤ {_number(limit)} {figure.unit}", is_met=judged <= limit)


def text(machine: dict[str, str], figures: list[Figure]) -> str:
    """The table, under the facts about the machine."""
    head = [f"{name + ':':<12}{fact}" for name, fact in machine.items()]
    rows = [("figure", "median", "p99", "unit", "target", "")]
    for figure in figures:
        if figure.why_not:
            rows.append((figure.what, "-", "", "", "", f"not measured: {figure.why_not}"))
            continue
        p99 = "" if figure.p99 is None else _number(figure.p99)
        verdict = {True: "met", False: "MISSED", None: ""}[figure.is_met]
        last = "; ".join(part for part in (verdict, figure.note) if part)
        rows.append((figure.what, _number(figure.value), p99, figure.unit, figure.target, last))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for what, value, p99, unit, target, last in rows:
        numbers = f"{value:>{widths[1]}}  {p99:>{widths[2]}}  {unit:<{widths[3]}}"
        lines.append(f"{what:<{widths[0]}}  {numbers}  {target:<{widths[4]}}  {last}".rstrip())
    lines.insert(1, "-" * (sum(widths) + 16))
    return "\n".join([*head, "", *lines])


def write_json(path: Path, machine: dict[str, str], settings: dict[str, object], figures: list[Figure]) -> None:
    """Everything, by key: {"machine": ..., "settings": ..., "figures": {key: {...}}}."""
    by_key = {figure.key: {k: v for k, v in figure._asdict().items() if k != "key"} for figure in figures}
    whole = {"machine": machine, "settings": settings, "figures": by_key}
    path.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
