"""The scenarios: one small TOML file each, read strictly. What a key means stands beside it here."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "scenarios"
FATES = ("dies", "lives", "some", "thinned", "stuck", "any")
SWAPS = ("none", "disk", "zram", "ram")


class Boot(NamedTuple):
    """A machine to boot: its memory, what its kernel is told beyond the usual, whether it comes back from a reboot."""

    memory_mib: int
    kernel_options: str = ""
    reboots: bool = False


STORY = "story"
"""The machine on which one story is told over several boots (guest/story.py)."""
BOOTS = {
    "ordinary": Boot(1024),
    "psi-off": Boot(1024, "psi=0"),
    "small": Boot(256),
    "large": Boot(2048),
    STORY: Boot(1024, reboots=True),
}


class Work(NamedTuple):
    """A unit in work.slice. It is started when the one before it is ready; the last one is the leak.

    fate: `dies` (all of it), `lives` (all of it), `some` (so many of its processes are `dead` at the end, and so many
    `alive`, the main process among them), `thinned` (it ends by itself, and before that at least one and at most `dead`
    of its children are killed: its exit status is how many), `stuck` (it is killed, and is there all the same), `any`.
    wait_s: so many seconds before it is started: what those before it have done is long ago by then.
    """

    unit: str
    run: list[str]
    fate: str
    dead: int
    alive: int
    user: str
    properties: list[str]
    wait_s: float


class Scenario(NamedTuple):
    """One file.

    `core`: what it stands for in the core set, the dozen that CI performs (`make vm-test ARGS=core`); "": it is not in
    it. One kind of boot more takes a minute or two.
    `available_falls_to`, `free_falls_to`: so low (percent of RAM) MemAvailable and MemFree must really have got.
    `swap_takes_mib`: so much must really have gone to swap.
    `seconds`: so long at most, from when MemAvailable and swap are there; and twice as long in all.
    `pressure_lasts_ms`: so long somebody must have waited for memory (PSI some).
    `says`, `says_once`: what bustd's log must have said, and exactly once.
    `unavoidable`: why the kernel may have to kill.
    `lost`: why bustd loses this one today, and `lost_as`: the only faults that this excuses.
    """

    name: str
    title: str
    why: str
    core: str
    boot: str
    seconds: int
    swap: str
    swap_mib: int
    prepare: list[str]
    settings: str
    blow: str
    blow_available_percent: float
    available_falls_to: float
    free_falls_to: float
    swap_takes_mib: float
    pressure_lasts_ms: float
    says: list[str]
    says_once: list[str]
    compared: bool
    lost: str
    lost_as: list[str]
    unavoidable: str
    work: list[Work]

    def for_the_guest(self) -> dict[str, Any]:
        """As plain values."""
        return self._asdict() | {"work": [work._asdict() for work in self.work]}


class ScenarioError(Exception):
    """A file is not a scenario; the text says which and why."""


_DEFAULTS: dict[str, Any] = {
    "core": "",
    "boot": "ordinary",
    "seconds": 60,
    "swap": "none",
    "swap_mib": 512,
    "prepare": [],
    "settings": "",
    "blow": "",
    "blow_available_percent": 15.0,
    "available_falls_to": 100.0,
    "free_falls_to": 100.0,
    "swap_takes_mib": 0.0,
    "pressure_lasts_ms": 0.0,
    "says": [],
    "says_once": [],
    "compared": True,
    "lost": "",
    "lost_as": [],
    "unavoidable": "",
}
_WORK_DEFAULTS: dict[str, Any] = {"user": "alice", "properties": [], "dead": 0, "alive": 0, "wait_s": 0.0}
_NUMBERS = {"some": {"dead", "alive"}, "thinned": {"dead"}}
_A_LEAK_TAKES_IT_TO = 20.0
"""Percent of RAM: where somebody has to die, memory must have been short."""


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
        if set(entry) & {"dead", "alive"} != _NUMBERS.get(entry["fate"], set()):
            raise ScenarioError(f"{path.name}: `dead` goes with `some` and `thinned`, `alive` with `some`, and only so")
        work.append(Work(**(_WORK_DEFAULTS | entry | {"run": shlex.split(entry["run"])})))
    if not work or bool(document.get("lost")) != bool(document.get("lost_as")):
        raise ScenarioError(f"{path.name}: there is no work, or `lost` without `lost_as`")
    if any(one.fate not in ("lives", "any") for one in work):
        document.setdefault("available_falls_to", _A_LEAK_TAKES_IT_TO)
    scenario = Scenario(name=path.stem, work=work, **(_DEFAULTS | document))
    if scenario.boot not in BOOTS or scenario.swap not in SWAPS:
        raise ScenarioError(f"{path.name}: boot is one of {tuple(BOOTS)}, swap one of {SWAPS}")
    return scenario


def all_scenarios() -> list[Scenario]:
    """In the order of their file names."""
    return [load(path) for path in sorted(FOLDER.glob("*.toml"))]
