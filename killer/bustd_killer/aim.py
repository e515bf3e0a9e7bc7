"""From a request to pidfds that may be signalled: checks 4 to 9, pidfd first, then the facts, then the comparison.

The request names every process that is to die; nothing is listed here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from bustd_protocol.messages import KillRequest, Reason, Scope, unpacked_members
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.cgroup_paths import is_member, target_of
from bustd_shared.kernel.process import ProcEntry, read_file

from . import checks, facts
from .checks import AskedOf, Case, Guard, Ruling
from .facts import Victim

_NO_MEMBER = (Reason.GONE, Reason.NOT_LEADER, Reason.START_TIME)
"""It has exited since the monitor looked: it is left out, and no ground for refusal."""


class Target(NamedTuple):
    """What members belong to: with scope GROUP, the named process as it was read; with CGROUP, a control group."""

    scope: Scope
    named: ProcEntry
    cgroup: str = ""

    def holds(self, victim: Victim) -> bool:
        """Whether it dies with the named process: a member of the group that the killer itself has read."""
        entry, named = victim.entry, self.named
        if self.scope is Scope.CGROUP:
            return is_member(entry.cgroup, self.cgroup)
        is_together = (entry.stat.group, entry.stat.session) == (named.stat.group, named.stat.session)
        is_leader = entry.stat.session == victim.pid
        return is_together and not is_leader and bool(entry.membership) and entry.membership == named.membership


class Aim(NamedTuple):
    """The processes to signal, what they are members of, and the case of the named one."""

    victims: tuple[Victim, ...]
    target: Target
    case: Case


def take_aim(request: KillRequest, guard: Guard) -> Aim | Ruling:
    """Checks 4 to 9 on the named process, and those of members on the others, or why not.

    The caller closes the pidfds of the victims; a Ruling leaves nothing open. Raises OSError (ENOSYS, EMFILE).
    """
    named = facts.open_victim(request.pid)
    if isinstance(named, Reason):
        return Ruling(named)
    victims = [named]
    try:
        case = case_of(named, request, guard)
        ruling = first_refusal(case)
        target = _target_of(case) if not ruling.reason else ruling
        refusal = target if isinstance(target, Ruling) else _add_members(victims, target, case)
        if not refusal.reason and request.members:
            refusal = checks.holds_enough(case, facts.held_together(victims, case.machine))
        if not refusal.reason and request.members:
            # To open hundreds takes time, in which something else may have freed memory.
            refusal = checks.shortage(guard.machine.read(), guard)
    except BaseException:
        close_all(victims)
        raise
    if refusal.reason or isinstance(target, Ruling):
        close_all(victims)
        return refusal._replace(saw=named)
    return Aim(tuple(victims), target, case)


def take_further(request: KillRequest, aimed: Aim, guard: Guard) -> list[Victim] | Ruling:
    """The members that a continuation names. The caller closes their pidfds. Raises OSError (EMFILE)."""
    victims: list[Victim] = []
    try:
        refusal = _add_members(victims, aimed.target, aimed.case._replace(request=request, guard=guard))
    except BaseException:
        close_all(victims)
        raise
    if refusal.reason:
        close_all(victims)
        return refusal
    return victims


def close_all(victims: Iterable[Victim]) -> None:
    """Let go of the pidfds of victims that are not to be signalled after all."""
    for victim in victims:
        os.close(victim.pidfd)


def case_of(victim: Victim, request: KillRequest, guard: Guard) -> Case:
    """Everything that the checks look at, read while the pidfd holds the process."""
    return Case(victim, request.start_ticks, _is_descendant(victim, guard), guard.machine.read(), request, guard)


def first_refusal(case: Case, *, is_member: bool = False) -> Ruling:
    """Walk the table from check 5 on, for a further member only through the checks of members; PASSED if all pass."""
    for check in checks.TABLE:
        if isinstance(check.made_by, str) or (is_member and check.asked_of is not AskedOf.MEMBER):
            continue
        ruling = check.made_by(case)
        if ruling.reason:
            return ruling
    return checks.PASSED


def _target_of(case: Case) -> Target | Ruling:
    """What the scope means for the named process, or why its control group may not die."""
    entry, scope, hierarchy = case.victim.entry, case.request.scope, case.guard.policy.hierarchy
    if scope is not Scope.CGROUP:
        return Target(scope, entry)
    cgroup = target_of(entry.cgroup, lambda path: read_file(f"{hierarchy}{path}/memory.oom.group") == b"1\n")
    if not cgroup:
        why = f"{entry.cgroup or 'its control group'} is no part of a unit that may die whole"
        return Ruling(Reason.PROTECTED, why)
    return Target(scope, entry, cgroup)


def _add_members(victims: list[Victim], target: Target, case: Case) -> Ruling:
    """Add the members that the request names: one that may not die refuses the whole. Raises OSError (EMFILE)."""
    for pid, start_ticks in dict(unpacked_members(case.request.members)).items():
        if target.scope is Scope.PROCESS:
            return Ruling(Reason.UNSUPPORTED, "members with scope PROCESS")
        member = facts.open_victim(pid) if pid != case.request.pid else Reason.GONE
        if isinstance(member, Reason):
            refusal = Ruling(member)
        else:
            victims.append(member)
            is_descendant = _is_descendant(member, case.guard)
            its_case = case._replace(victim=member, start_ticks=start_ticks, is_descendant=is_descendant)
            refusal = first_refusal(its_case, is_member=True) if target.holds(member) else Ruling(Reason.GONE)
            if refusal.reason in _NO_MEMBER:
                os.close(victims.pop().pidfd)
        if refusal.reason and refusal.reason not in _NO_MEMBER:
            return refusal._replace(why=f"member {pid}: {refusal.why or refusal.reason.name.lower()}")
    return checks.PASSED


def _is_descendant(victim: Victim, guard: Guard) -> bool:
    return facts.descends_from(victim.entry.stat, guard.policy.only_descendants_of, guard.policy.ancestor)
