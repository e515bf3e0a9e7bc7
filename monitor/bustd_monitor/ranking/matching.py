"""Which processes match a rule: `prefer`, `avoid` and `never` of bustd.toml, and killer.toml's rules as advice."""

from __future__ import annotations

from functools import lru_cache

from bustd_shared.daemon.libc import matches_glob
from bustd_shared.rules.protection import Protection, is_trusted_with_a_name, protected_by

from ..sensing.processes import Process
from .settings import Matchers

_remembered = lru_cache(maxsize=512)(protected_by)
"""With the shipped rules one answer takes 70 us."""


def advised_by(advice: Protection, process: Process) -> str:
    """The rule of root's by which the killer will refuse this process, in words; "" if none does."""
    is_trusted = is_trusted_with_a_name(is_system=process.is_system, held_bytes=process.held_bytes)
    return _remembered(advice, process.unit, process.uid, process.comm, is_trusted=is_trusted)


def matched_by(matchers: Matchers, process: Process) -> str:
    """The first matcher that fits, in words; "" if none does. Command lines count only as far as they are known."""
    simple = Protection(matchers.units, matchers.uids, matchers.names)
    found = protected_by(simple, process.unit, process.uid, process.comm, is_trusted=False)
    if found:
        return found
    for pattern in matchers.commands:
        if process.command and matches_glob(pattern.encode(), process.command.encode("utf-8", "surrogateescape")):
            return f"command {pattern}"
    return ""
