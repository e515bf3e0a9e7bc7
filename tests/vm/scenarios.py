"""The scenarios: one small TOML file each, read strictly. What a key means stands beside it here."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "scenarios"
FATES = ("dies", "lives", "some", "any")
SWAPS = ("none", "disk", "zram")


class Boot(NamedTuple):
    """A machine to boot: its memory and what its kernel is told beyond the usual."""

    memory_mib: int
    kernel_options: str = ""


BOOTS = {"ordinary": Boot(1024), "psi-off": Boot(1024, "psi=0"), "small": Boot(256)}


class Work(NamedTuple):
    """A unit in work.slice. It is started when the one before it is ready; the last one is the leak.

    fate: `dies` (all of it), `lives` (all of it), `some` (a part of its processes dies, and a part lives), `any`.
    """

    unit: str
    run: list[str]
    fate: str
    user: str
    properties: list[str]


class Scenario(NamedTuple):
    """One file. `lost` and `unavoidable` are reasons: why this daemon loses it today, why the kernel has to kill."""

    name: str
    title: str
    why: str
    boot: str
    seconds: int
    swap: str
    swap_mib: int
    prepare: list[str]
    settings: str
    blow: str
    blow_available_percent: float
    compared: bool
    lost: str
    unavoidable: str
    work: list[Work]

    def for_the_guest(self) -> dict[str, Any]:
        """As plain values."""
        return self._asdict() | {"work": [work._asdict() for work in self.work]}


class ScenarioError(Exception):
    """A file is not a scenario; the text says which and why."""


_DEFAULTS: dict[str, Any] = {
    "boot": "ordinary",
    "seconds": 60,
    "swap": "none",
    "swap_mib": 512,
    "prepare": [],
    "settings": "",
    "blow": "",
    "blow_available_percent": 15.0,
    "compared": True,
    "lost": "",
    "unavoidable": "",
}
_WORK_DEFAULTS: dict[str, Any] = {"user": "alice", "properties": []}


def load(path: Path) -> Scenario:
    """Raises ScenarioError for whatever it does not know."""
    document = tomllib.loads(path.read_text())
    works = document.pop("work", [])
    unknown = set(document) - set(_DEFAULTS) - {"title", "why"}
    if unknown or not {"title", "why"} <= set(document):
        raise ScenarioError(f"{path.name}: unknown keys {sorted(unknown)}, or no title, or no why")
    work = []
    for entry in works:
        if set(entry) - set(_WORK_DEFAULTS) - {"unit", "run", "fate"}:
            raise ScenarioError(f"{path.name}: a key of {entry} is unknown")
        if entry["fate"] not in FATES:
            raise ScenarioError(f"{path.name}: fate {entry['fate']} is none of {FATES}")
        work.append(Work(**(_WORK_DEFAULTS | entry | {"run": shlex.split(entry["run"])})))
    scenario = Scenario(name=path.stem, work=work, **(_DEFAULTS | document))
    if scenario.boot not in BOOTS or scenario.swap not in SWAPS:
        raise ScenarioError(f"{path.name}: boot is one of {tuple(BOOTS)}, swap one of {SWAPS}")
    return scenario


def all_scenarios() -> list[Scenario]:
    """In the order of their file names."""
    return [load(path) for path in sorted(FOLDER.glob("*.toml"))]
