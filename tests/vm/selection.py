"""Which scenarios and promises a command line asks for."""

from __future__ import annotations

from typing import NamedTuple

from .scenarios import Scenario

CORE, PROMISES = "core", "promises"
"""Two words that stand for many: the core set, and everything that is promised of the package and its units."""


class Selection(NamedTuple):
    """Scenarios in the order in which they were asked for, and which promises: "all", "core", or none of them."""

    scenarios: list[Scenario]
    promises: list[str]


def selected(words: list[str], known: dict[str, Scenario]) -> Selection:
    """Nothing said means everything. Raises ValueError for a word that is neither a scenario nor one of the two."""
    words = words or [*known, PROMISES]
    if unknown := set(words) - set(known) - {CORE, PROMISES}:
        raise ValueError(
            f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(known)}, {PROMISES}, and {CORE}"
        )
    core = [name for name, scenario in known.items() if scenario.core and CORE in words and name not in words]
    names = [*core, *(word for word in words if word in known)]  # one that is said twice is performed twice
    promises = ["all"] if PROMISES in words else ["core"] if CORE in words else []
    return Selection([known[name] for name in names], promises)
