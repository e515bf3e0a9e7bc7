"""Which processes match a rule: `prefer`, `avoid` and `never` of bustd.toml, and killer.toml's rules as advice."""

from __future__ import annotations

from functools import lru_cache

from bustd_shared.rules.protection import Protection, matches_glob, protected_by

from ..sensing.processes import Process
from .settings import Matchers

advised_by = lru_cache(maxsize=512)(protected_by)
"""bustd_shared.rules.protection.protected_by, cached: with the shipped rules it takes 70 us for each process."""


def matched_by(matchers: Matchers, process: Process) -> str:
    """The first pattern that matches, in words; "" if none does. A command line that is not known matches nothing."""
    simple = protected_by(
        Protection(matchers.units, matchers.uids, matchers.names), process.unit, process.uid, process.comm
    )
    if simple:
        return simple
    for pattern in matchers.commands:
        if process.command and matches_glob(pattern.encode(), process.command.encode("utf-8", "surrogateescape")):
            return f"command {pattern}"
    return ""
