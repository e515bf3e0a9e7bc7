"""Which processes match a rule: those of [victims] in bustd.toml, and killer.toml's rules as advice."""

from __future__ import annotations

from functools import lru_cache

from bustd_shared.daemon.libc import matches_glob
from bustd_shared.rules.protection import Protection, is_trusted_with_a_name, protected_by

from ..sensing.preferences import AVOID
from ..sensing.processes import NOT_ASKED, Process
from .settings import NOTHING, Matchers, Victims
from .shipped_avoid import AVOIDED

_remembered = lru_cache(maxsize=512)(protected_by)
"""With the shipped rules one answer takes 70 us."""


def advised_by(advice: Protection, process: Process) -> str:
    """The rule of root's by which the killer will refuse this process, in words; "" if none does."""
    most_bytes = process.held_bytes + process.shared_bytes  # as the killer counts
    is_trusted = is_trusted_with_a_name(is_system=process.is_system, held_bytes=most_bytes)
    return _remembered(advice, process.unit, process.uid, process.comm, is_trusted=is_trusted)


def avoided_by(victims: Victims, process: Process) -> str:
    """What asks that this process dies later, in words: a rule, or systemd; "" if nothing does."""
    return (
        matched_by(victims.avoid, process)
        or avoided_as_shipped(victims, process)
        or ("ManagedOOMPreference=" if process.preference == AVOID else "")
    )


def avoided_as_shipped(victims: Victims, process: Process) -> str:
    """The shipped rule by which it is avoided, in words; "" if none does, or they are switched off."""
    return _shipped(process.unit, process.comm, process.cgroup) if victims.avoid_shipped else ""


@lru_cache(maxsize=512)
def _shipped(unit: str, comm: bytes, cgroup: str) -> str:
    found = protected_by(Protection(AVOIDED.units, (), AVOIDED.names), unit, 0, comm, is_trusted=False)
    if found:
        return f"shipped {found}"
    return next((f"shipped cgroup {pattern}" for pattern in AVOIDED.cgroups if in_cgroup(pattern, cgroup)), "")


def matched_by(matchers: Matchers, process: Process) -> str:
    """The first pattern that matches, in words; "" if none does. A command line that is not known matches nothing."""
    if matchers == NOTHING:
        return ""
    simple = Protection(matchers.units, matchers.uids, matchers.names)
    found = protected_by(simple, process.unit, process.uid, process.comm, is_trusted=False)
    if found:
        return found
    for pattern in matchers.commands:
        if process.command and matches_glob(pattern.encode(), process.command.encode("utf-8", "surrogateescape")):
            return f"command {pattern}"
    for pattern in matchers.cgroups:
        if in_cgroup(pattern, process.cgroup):
            return f"cgroup {pattern}"
    return ""


def why_unjudged(matchers: Matchers, process: Process) -> str:
    """Why it can't be said whether a rule on the command line matches; "" if it can, or was not asked for yet.

    For a process that no rule matches as far as its command line is known.
    """
    trouble = process.command_trouble
    if trouble == NOT_ASKED or not any(_may_yet_match(pattern, process) for pattern in matchers.commands):
        return ""
    return trouble


def is_among(only: Matchers, process: Process) -> bool:
    """Whether `only` leaves this process among those that may die: it matches, or there is no rule in it.

    As long as the command line was not asked for, a rule on that may yet match.
    """
    if only == NOTHING or matched_by(only, process):
        return True
    return bool(only.commands) and process.command_trouble == NOT_ASKED


def _may_yet_match(pattern: str, process: Process) -> bool:
    """Whether the glob may match the whole command line, of which only the beginning is known, or nothing."""
    if not process.command_trouble:
        return False
    beginning = pattern.partition("*")[0].partition("[")[0]
    text = process.command.encode("utf-8", "surrogateescape")
    return not text or len(beginning) > len(text) or matches_glob(f"{beginning}*".encode(), text)


def in_cgroup(pattern: str, path: str) -> bool:
    """Whether the glob matches the path of a control group, or of a group above it.

    A process in a group that a service has made within its own is in that service too. The path is "" for the root, and
    where it is not known: nothing matches that.
    """
    if not path:
        return False
    raw, text = pattern.encode(), path.encode()
    return matches_glob(raw, text) or matches_glob(raw + b"/*", text)
