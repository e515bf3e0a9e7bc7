"""From a request to pidfds that may be signalled: checks 4 to 9, pidfd first, then the facts, then the comparison."""

from __future__ import annotations

import os
from collections.abc import Iterable

from bustd_common.killer_toml import KillerConfig
from bustd_common.protection import Protection
from bustd_protocol.messages import KillRequest, Reason, Scope
from bustd_protocol.record import NamedTuple

from . import facts, rules
from .facts import Victim
from .rules import Own, Ruling

MOST_ROUNDS = 5
"""How often a group is listed anew before what it has started meanwhile is left alone."""


class Guard(NamedTuple):
    """Everything that decides who may die, fixed at start but for `own`."""

    config: KillerConfig
    protection: Protection
    machine: facts.MachineFiles
    own: Own
    only_descendants_of: int = 0


def take_aim(request: KillRequest, guard: Guard) -> tuple[Victim, ...] | Ruling:
    """Checks 4 to 9: the process that was asked for and then its group, or why not.

    The caller closes the pidfds of the victims; a Ruling leaves nothing open.

    Raises OSError for what the kernel should not have refused (EMFILE, ENOSYS).
    """
    refusal = rules.judge_scope(request)
    if refusal.reason:
        return refusal
    victim = facts.open_victim(request.pid)
    if isinstance(victim, Reason):
        return Ruling(victim)
    refusal = first_refusal(victim, request, guard)
    if refusal.reason:
        os.close(victim.pidfd)
        return refusal
    if request.scope is not Scope.GROUP:
        return (victim,)
    return _whole_group(victim, guard)


def newcomers(group: int, known: set[int], guard: Guard) -> list[Victim]:
    """Members of the group that are not among the `known` PIDs and that may be signalled."""
    found: list[Victim] = []
    try:
        for pid in facts.group_members(group):
            victim = Reason.NONE if pid in known else facts.open_victim(pid)
            if isinstance(victim, Victim):
                if _judge_member(victim, guard).reason:
                    os.close(victim.pidfd)
                else:
                    found.append(victim)
    except OSError:  # EMFILE: those that are held already are signalled first
        pass
    return found


def close_all(victims: Iterable[Victim]) -> None:
    """Let go of the pidfds of victims that are not to be signalled after all."""
    for victim in victims:
        os.close(victim.pidfd)


def first_refusal(victim: Victim, request: KillRequest, guard: Guard) -> Ruling:
    """Checks 5 to 9 on the process that was asked for."""
    kind = rules.judge_kind(victim.pid, victim.facts, guard.own)
    if kind.reason:
        return kind
    identity = rules.judge_identity(victim.facts, request)
    if identity.reason:
        return identity
    member = _judge_member(victim, guard)
    if member.reason:
        return member
    machine = guard.machine.read()
    if machine is None:
        return Ruling(Reason.NOT_SHORT, "/proc/meminfo makes no sense")
    held = rules.judge_bytes(victim.facts, request, machine, guard.config)
    return held if held.reason else rules.judge_shortage(machine, guard.config)


def _judge_member(victim: Victim, guard: Guard) -> Ruling:
    """Checks 5 and 7, which every member of a scope must pass."""
    kind = rules.judge_kind(victim.pid, victim.facts, guard.own)
    if kind.reason:
        return kind
    ancestor = guard.only_descendants_of
    if ancestor and not facts.descends_from(victim.facts.stat, ancestor):
        return Ruling(Reason.OUTSIDE, f"not a descendant of {ancestor}")
    return rules.judge_protection(victim.facts, guard.protection)


def _whole_group(leader: Victim, guard: Guard) -> tuple[Victim, ...] | Ruling:
    """The victim with its process group: one member that may not die refuses the whole."""
    victims, refusal = [leader], rules.PASSED
    try:
        for pid in facts.group_members(leader.facts.stat.group):
            member = Reason.NONE if pid == leader.pid else facts.open_victim(pid)
            if isinstance(member, Victim):
                victims.append(member)
                refusal = _judge_member(member, guard)
            elif member is Reason.HIDDEN:  # it lives, and whether it is protected nobody can tell
                refusal = Ruling(member)
            if refusal.reason:
                refusal = refusal._replace(why=f"{pid} of its group: {refusal.why or refusal.reason.name.lower()}")
                break
    except OSError as error:  # EMFILE: a larger group than there are descriptors
        refusal = Ruling(Reason.KERNEL, str(error), error.errno or 0)
    if refusal.reason:
        close_all(victims)
        return refusal
    return tuple(victims)
