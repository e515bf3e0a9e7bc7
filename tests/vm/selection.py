"""Which scenarios and promises a command line asks for."""

from __future__ import annotations

from typing import NamedTuple

from .scenarios import STORY, Scenario

CORE, PROMISES = "core", "promises"
"""Two words that stand for many: the core set, and everything that is promised of the package and its units."""
_WORDS = (CORE, PROMISES, STORY)


class Selection(NamedTuple):
    """Scenarios in the order in which they were asked for; which promises: "all", "core", or none of them; and whether
    the story is.
    """

    scenarios: list[Scenario]
    promises: list[str]
    is_told: bool


def selected(words: list[str], known: dict[str, Scenario]) -> Selection:
    """Nothing said means everything. Raises ValueError for a word that is neither a scenario nor one of the others."""
    words = words or [*known, PROMISES, STORY]
    if unknown := set(words) - set(known) - set(_WORDS):
        raise ValueError(
            f"no such scenario: {', '.join(sorted(unknown))}; "
            f"there are {', '.join(known)}, {PROMISES}, {STORY}, and {CORE}"
        )
    core = [name for name, scenario in known.items() if scenario.core and CORE in words and name not in words]
    names = [*core, *(word for word in words if word in known)]  # one that is said twice is performed twice
    promises = ["all"] if PROMISES in words else ["core"] if CORE in words else []
    return Selection([known[name] for name in names], promises, STORY in words)
