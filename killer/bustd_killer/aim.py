"""From a request to pidfds that may be signalled: checks 4 to 9, pidfd first, then the facts, then the comparison."""

from __future__ import annotations

import os
from collections.abc import Iterable

from bustd_protocol.messages import KillRequest, Reason, Scope
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import cgroups, watched_group
from bustd_shared.rules.killer_toml import KillerConfig
from bustd_shared.rules.protection import Protection

from . import checks, facts
from .checks import Own, Ruling
from .facts import Victim

MOST_ROUNDS = 5
"""How often a group is listed anew before what it has started meanwhile is left alone."""


class Company(NamedTuple):
    """What dies with the victim: the members of a process group, or of a control group; neither: nobody."""

    group: int = 0
    cgroup: str = ""


class Guard(NamedTuple):
    """Everything that decides who may die, fixed at start but for `own`.

    `hierarchy`: where the unified hierarchy is mounted, "" if nowhere. `group`: the control group in it that is watched
    instead of the machine, "" if none is (see watched_group).
    """

    config: KillerConfig
    protection: Protection
    machine: facts.MachineFiles | facts.CgroupFiles
    own: Own
    only_descendants_of: int = 0
    hierarchy: str = ""
    group: str = ""


class Aim(NamedTuple):
    """Whom to signal, the process that was asked for first, and what the others are members of."""

    victims: tuple[Victim, ...]
    company: Company


def take_aim(request: KillRequest, guard: Guard) -> Aim | Ruling:
    """Checks 4 to 9: the process that was asked for and then its company, or why not.

    The caller closes the pidfds of the victims; a Ruling leaves nothing open.

    Raises OSError for what the kernel should not have refused (EMFILE, ENOSYS).
    """
    refusal = checks.judge_scope(request, guard.hierarchy)
    if refusal.reason:
        return refusal
    victim = facts.open_victim(request.pid)
    if isinstance(victim, Reason):
        return Ruling(victim)
    victims = [victim]
    try:
        refusal = first_refusal(victim, request, guard)
        company = refusal if refusal.reason else _assemble(victims, request.scope, guard)
    except BaseException:
        close_all(victims)
        raise
    if isinstance(company, Ruling):
        close_all(victims)
        return company
    return Aim(tuple(victims), company)


def newcomers(company: Company, known: set[int], guard: Guard) -> list[Victim]:
    """Members of the company that are not among the `known` PIDs and that may be signalled."""
    found: list[Victim] = []
    try:
        for pid in _listed(company, guard)[: cgroups.MOST_MEMBERS]:
            victim = Reason.NONE if pid in known else facts.open_victim(pid)
            if isinstance(victim, Victim):
                if not _belongs(victim, company) or _judge_member(victim, guard).reason:
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
    kind = checks.judge_kind(victim.pid, victim.facts, guard.own)
    if kind.reason:
        return kind
    identity = checks.judge_identity(victim.facts, request)
    if identity.reason:
        return identity
    member = _judge_member(victim, guard)
    if member.reason:
        return member
    machine = guard.machine.read()
    if machine is None:
        return Ruling(Reason.NOT_SHORT, senseless(guard))
    held = checks.judge_bytes(victim.facts, request, machine, guard.config)
    return held if held.reason else checks.judge_shortage(machine, guard.config)


def _still_short(guard: Guard) -> Ruling:
    """Check 9 once more: to gather hundreds takes its time, in which somebody else may have freed memory."""
    machine = guard.machine.read()
    if machine is None:
        return Ruling(Reason.NOT_SHORT, senseless(guard))
    return checks.judge_shortage(machine, guard.config)


def senseless(guard: Guard) -> str:
    """What to say of a machine or control group whose memory can't be read."""
    return f"{f'the memory of {guard.group}' if guard.group else '/proc/meminfo'} makes no sense"


def _judge_member(victim: Victim, guard: Guard) -> Ruling:
    """Checks 5 and 7, which every member of a scope must pass."""
    kind = checks.judge_kind(victim.pid, victim.facts, guard.own)
    if kind.reason:
        return kind
    ancestor = guard.only_descendants_of
    if ancestor and not facts.descends_from(victim.facts.stat, ancestor):
        return Ruling(Reason.OUTSIDE, f"not a descendant of {ancestor}")
    if not watched_group.holds(guard.group, victim.facts.membership):
        return Ruling(Reason.OUTSIDE, f"not in the control group {guard.group}")
    return checks.judge_protection(victim.facts, guard.protection)


def _assemble(victims: list[Victim], scope: Scope, guard: Guard) -> Company | Ruling:
    """Add to the one victim whoever is to die with it. The caller closes what is in the list, whatever comes of it."""
    try:
        company = _company_of(victims[0], scope, guard)
        if isinstance(company, Ruling):
            return company
        refusal = _gather(victims, company, guard)
        if not refusal.reason and len(victims) > 1:
            refusal = _still_short(guard)
    except OSError as error:  # EMFILE: more members than there are descriptors
        refusal = Ruling(Reason.KERNEL, str(error), error.errno or 0)
    return refusal if refusal.reason else company


def _company_of(victim: Victim, scope: Scope, guard: Guard) -> Company | Ruling:
    """Whom the scope means for this victim, or why its control group may not die. Raises OSError (EMFILE)."""
    if scope is Scope.PROCESS:
        return Company()
    if scope is Scope.GROUP:
        return Company(group=victim.facts.stat.group)
    path = victim.facts.cgroup
    whole = cgroups.read_whole(guard.hierarchy, path)
    if whole is None:
        return Ruling(Reason.PROTECTED, f"{path or 'its control group'} is no part of a unit that may die whole")
    below = cgroups.groups_at(guard.hierarchy, whole.path)
    if cgroups.holds_units(below) or len(below) > cgroups.MOST_GROUPS:
        return Ruling(Reason.PROTECTED, f"{whole.path} holds further units or more than it should")
    return Company(cgroup=whole.path)


def _listed(company: Company, guard: Guard) -> list[int]:
    """The PIDs of the members as they are listed at this moment. Raises OSError (EMFILE)."""
    if company.cgroup:
        return cgroups.members(guard.hierarchy, company.cgroup)
    return facts.group_members(company.group) if company.group else []


def _belongs(victim: Victim, company: Company) -> bool:
    """Whether what is held now still is a member: since the listing it may have been moved, or its PID reused."""
    if company.cgroup:
        return cgroups.is_within(victim.facts.cgroup, company.cgroup)
    return victim.facts.stat.group == company.group


def _gather(victims: list[Victim], company: Company, guard: Guard) -> Ruling:
    """Add the company to its first victim: one member that may not die refuses the whole. Raises OSError (EMFILE)."""
    first, listed = victims[0].pid, _listed(company, guard)
    if len(listed) > cgroups.MOST_MEMBERS:
        return Ruling(Reason.PROTECTED, f"{company.cgroup or 'its group'} has {len(listed)} members")
    for pid in listed:
        member, refusal = Reason.NONE if pid == first else facts.open_victim(pid), checks.PASSED
        if isinstance(member, Victim):
            victims.append(member)
            if not _belongs(member, company):
                os.close(victims.pop().pidfd)
            else:
                refusal = _judge_member(member, guard)
        elif member is Reason.HIDDEN:  # it lives, and whether it is protected nobody can tell
            refusal = Ruling(member)
        if refusal.reason:
            words = f"{pid} of {company.cgroup or 'its group'}: {refusal.why or refusal.reason.name.lower()}"
            return refusal._replace(why=words)
    return checks.PASSED
