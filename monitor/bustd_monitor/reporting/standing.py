"""Whether this machine is protected, in one line: the same words in `systemctl status` and in `bustd status`."""

from __future__ import annotations

from bustd_shared.daemon.log import printable

WATCHING, DRY_RUN, NOT_PROTECTED, BLIND = "watching", "dry run", "NOT PROTECTED", "BLIND"
STATES = (WATCHING, DRY_RUN, NOT_PROTECTED, BLIND)
"""Each line begins with one of these, and says the rest after it."""


def standing(killer_pid: int, trouble: str, *, dry_run: bool, is_blind: bool) -> str:
    """The line of a monitor that runs. `killer_pid` 0: there is no connection, because of `trouble`.

    It says nothing of stages and kills, which are in the log: a crisis must not become a stream of news for PID 1.
    """
    if is_blind:
        return f"{BLIND}: /proc/meminfo makes no sense, and nothing is decided on it"
    killer = f"the killer {killer_pid} answers"
    if not killer_pid:
        killer = f"no connection to the killer ({printable(trouble)})"
    if dry_run:
        return f"{DRY_RUN}: no process is killed; {killer}"
    return f"{WATCHING}; {killer}" if killer_pid else not_protected(killer)


def not_protected(why: str) -> str:
    """The line of a machine on which no process can be killed, for this reason."""
    return f"{NOT_PROTECTED}: {printable(why)}"


def state_of(line: str) -> str:
    """Which of STATES a line says, "" if it is none of these lines."""
    return next((state for state in STATES if line.startswith(state)), "")
