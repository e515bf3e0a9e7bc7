"""From a request to pidfds that may be signalled: checks 4 to 9, pidfd first, then the facts, then the comparison."""

from __future__ import annotations

import os
from collections.abc import Iterable

from bustd_protocol.messages import KillRequest, Reason, Scope
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import cgroups

from . import checks, facts
from .checks import AskedOf, Case, Guard, Ruling
from .facts import Victim

MOST_ROUNDS = 5
"""How often a group is listed again; what it starts after that is left alone."""


class Target(NamedTuple):
    """What dies with the victim: the members of a process group, or of a control group; neither: nothing else."""

    group: int = 0
    cgroup: str = ""


class Aim(NamedTuple):
    """The processes to signal, the named one first; what the others are members of; and the case of the named one."""

    victims: tuple[Victim, ...]
    target: Target
    case: Case


def take_aim(request: KillRequest, guard: Guard) -> Aim | Ruling:
    """Checks 4 to 9: the named process and then the other members of its scope, or why not.

    The caller closes the pidfds of the victims; a Ruling leaves nothing open.

    Raises OSError for what the kernel should not have refused (EMFILE, ENOSYS).
    """
    victim = facts.open_victim(request.pid)
    if isinstance(victim, Reason):
        return Ruling(victim)
    victims = [victim]
    try:
        case = case_of(victim, request, guard)
        refusal = first_refusal(case)
        target = refusal if refusal.reason else _assemble(victims, case)
    except BaseException:
        close_all(victims)
        raise
    if isinstance(target, Ruling):
        close_all(victims)
        return target
    return Aim(tuple(victims), target, case)


def newcomers(aimed: Aim, known: set[int]) -> list[Victim]:
    """Members that may be signalled and are not among the `known` PIDs, which grow by all that are judged here."""
    found: list[Victim] = []
    try:
        for pid in _listed(aimed.target, aimed.case.guard)[: cgroups.MOST_MEMBERS]:
            if pid not in known:
                member = _take_member(pid, aimed)
                if isinstance(member, Victim):
                    found.append(member)
                if member is not Reason.GONE:  # the next round may find a new process with the PID of one that is gone
                    known.add(pid)
    except OSError:  # EMFILE: those that are held already are signalled first
        pass
    return found


def close_all(victims: Iterable[Victim]) -> None:
    """Let go of the pidfds of victims that are not to be signalled after all."""
    for victim in victims:
        os.close(victim.pidfd)


def case_of(victim: Victim, request: KillRequest, guard: Guard) -> Case:
    """Everything that the checks look at, read while the pidfd holds the process. Raises OSError."""
    return Case(victim, _is_descendant(victim, guard), guard.machine.read(), request, guard)


def first_refusal(case: Case, *, is_member: bool = False) -> Ruling:
    """Walk the table from check 5 on, for a further member only through the checks of members; PASSED if all pass."""
    for check in checks.TABLE:
        if isinstance(check.made_by, str) or (is_member and check.asked_of is not AskedOf.MEMBER):
            continue
        ruling = check.made_by(case)
        if ruling.reason:
            return ruling
    return checks.PASSED


def _member_refusal(victim: Victim, case: Case) -> Ruling:
    """Why a further member may not die with the named process, whose case this is; PASSED if it may."""
    member = case._replace(victim=victim, is_descendant=_is_descendant(victim, case.guard))
    return first_refusal(member, is_member=True)


def _take_member(pid: int, aimed: Aim) -> Victim | Reason:
    """Hold a member that may be signalled, or why not; GONE if it is no member any more. Raises OSError (EMFILE)."""
    victim = facts.open_victim(pid)
    if isinstance(victim, Reason):
        return victim
    reason = _member_refusal(victim, aimed.case).reason if _belongs(victim, aimed.target) else Reason.GONE
    if reason:
        os.close(victim.pidfd)
        return reason
    return victim


def _is_descendant(victim: Victim, guard: Guard) -> bool:
    ancestor = guard.only_descendants_of
    return not ancestor or facts.descends_from(victim.facts.stat, ancestor)


def _assemble(victims: list[Victim], case: Case) -> Target | Ruling:
    """Add the other members to the named one. The caller closes what is in the list, whatever the result is."""
    try:
        target = _target_of(case)
        if isinstance(target, Ruling):
            return target
        refusal = _gather(victims, target, case)
        if not refusal.reason and len(victims) > 1:
            # To gather hundreds takes time, in which something else may have freed memory: check 9 with a new reading.
            refusal = checks.judge_shortage(case._replace(machine=case.guard.machine.read()))
    except OSError as error:  # EMFILE: more members than there are descriptors
        refusal = Ruling(Reason.KERNEL, str(error), error.errno or 0)
    return refusal if refusal.reason else target


def _target_of(case: Case) -> Target | Ruling:
    """What the scope means for this victim, or why its control group may not die. Raises OSError (EMFILE)."""
    found, scope, hierarchy = case.victim.facts, case.request.scope, case.guard.hierarchy
    if scope is Scope.PROCESS:
        return Target()
    if scope is Scope.GROUP:
        return Target(group=found.stat.group)
    whole = cgroups.read_whole(hierarchy, found.cgroup)
    if whole is None:
        words = f"{found.cgroup or 'its control group'} is no part of a unit that may die whole"
        return Ruling(Reason.PROTECTED, words)
    below = cgroups.groups_at(hierarchy, whole.path)
    if cgroups.holds_units(below) or len(below) > cgroups.MOST_GROUPS:
        return Ruling(Reason.PROTECTED, f"{whole.path} holds further units or more than it should")
    return Target(cgroup=whole.path)


def _listed(target: Target, guard: Guard) -> list[int]:
    """The PIDs of the members as they are listed at this moment. Raises OSError (EMFILE)."""
    if target.cgroup:
        return cgroups.members(guard.hierarchy, target.cgroup)
    return facts.group_members(target.group) if target.group else []


def _belongs(victim: Victim, target: Target) -> bool:
    """Whether it still is a member: since the listing it may have been moved, or its PID reused."""
    if target.cgroup:
        return cgroups.is_within(victim.facts.cgroup, target.cgroup)
    return victim.facts.stat.group == target.group


def _gather(victims: list[Victim], target: Target, case: Case) -> Ruling:
    """Add the other members: one that may not die refuses the whole. Raises OSError (EMFILE)."""
    first, listed = victims[0].pid, _listed(target, case.guard)
    if len(listed) > cgroups.MOST_MEMBERS:
        return Ruling(Reason.PROTECTED, f"{target.cgroup or 'its group'} has {len(listed)} members")
    for pid in listed:
        member, refusal = Reason.NONE if pid == first else facts.open_victim(pid), checks.PASSED
        if isinstance(member, Victim):
            victims.append(member)
            if not _belongs(member, target):
                os.close(victims.pop().pidfd)
            else:
                refusal = _member_refusal(member, case)
        elif member is Reason.HIDDEN:  # it is alive, and whether it is protected can't be known
            refusal = Ruling(member)
        if refusal.reason:
            words = f"{pid} of {target.cgroup or 'its group'}: {refusal.why or refusal.reason.name.lower()}"
            return refusal._replace(why=words)
    return checks.PASSED
