"""The text format of Prometheus, version 0.0.4 (prometheus.io, Exposition formats)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
Samples = Mapping[str, float]
"""Values by what `series` makes of a name and its labels."""


class MetricFamily(NamedTuple):
    """All series of one name. `help`: one sentence."""

    name: str
    type: str
    help: str
    samples: Samples


def series(name: str, **labels: str) -> str:
    """The name of one series as a sample has it: `name{label="value"}`."""
    inside = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items())
    return f"{name}{{{inside}}}" if inside else name


def text(families: Iterable[MetricFamily], comments: Iterable[str] = ()) -> str:
    """All of it. A comment must not begin with HELP or TYPE."""
    lines = [f"# {comment}" for comment in comments]
    for family in families:
        lines += [f"# HELP {family.name} {family.help}", f"# TYPE {family.name} {family.type}"]
        lines += [f"{name} {_number(value)}" for name, value in family.samples.items()]
    return "".join(f"{line}\n" for line in lines)


def samples_in(written: str) -> dict[str, float]:
    """The samples of such a text; what is no sample is left out."""
    found = {}
    for line in written.splitlines():
        name, separator, value = line.rpartition(" ")
        if separator and not line.startswith("#"):
            try:
                found[name] = float(value)
            except ValueError:
                continue
    return found


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if value == float("inf"):
        return "+Inf"
    return f"{value:.0f}" if value == int(value) else f"{value:.9g}"
