"""What may die with a victim: a process that a rule spares does not, nor one that is avoided where the victim is not.

Pure. A control group that the kernel would not split (memory.oom.group) dies whole all the same, unless a process in
it is protected.
"""

from __future__ import annotations

from ..sensing.processes import Process
from .matching import avoided_by
from .settings import Victims
from .terms import Terms
from .what_may_die import protection


def takes_an_avoided(victim: Process, members: list[Process], victims: Victims) -> bool:
    """Whether a process would die with this victim that is avoided, as a compositor is, while the victim is not."""
    if victim.is_indivisible or avoided_by(victims, victim):
        return False
    return any(avoided_by(victims, member) for member in members)


def may_die_together(victim: Process, members: list[Process], terms: Terms) -> bool:
    """Whether these others may die with this victim; else it dies alone."""
    return not takes_an_avoided(victim, members, terms.victims) and not any(
        protection(member, terms) is not None for member in members
    )
