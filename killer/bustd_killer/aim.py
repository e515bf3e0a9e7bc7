"""From a request to pidfds that may be signalled: checks 4 to 9, pidfd first, then the facts, then the comparison.

The request names every process that is to die; nothing is listed here.
"""

from __future__ import annotations

import os

from bustd_protocol.messages import KillRequest, Reason, Scope, unpacked_members
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.cgroup_paths import is_member, target_of
from bustd_shared.kernel.process import read_file

from . import checks, facts
from .checks import Case, Guard, Ruling
from .facts import Victim

_NO_MEMBER = (Reason.GONE, Reason.NOT_LEADER, Reason.START_TIME)
"""It has exited since the monitor looked: it is left out, and no ground for refusal."""


class Aim(NamedTuple):
    """The processes to signal, and what further ones must belong to: the named one as it was read when it was judged.

    `cgroup`: with scope CGROUP, what dies whole with it.
    """

    victims: tuple[Victim, ...]
    case: Case
    cgroup: str = ""


def take_aim(request: KillRequest, guard: Guard, continued: Aim | None = None) -> Aim | Ruling:
    """Checks 4 to 9 on the named process, and those of members on the others, or why not.

    `continued`: the kill that the request continues. Then only the others are judged, and only they are victims.
    The caller closes the pidfds of the victims; a Ruling leaves nothing open. Raises OSError (ENOSYS, EMFILE).
    """
    victims: list[Victim] = []
    aimed: Aim | Ruling = checks.PASSED
    try:
        aimed = _aimed(victims, request, guard, continued)
    finally:
        if isinstance(aimed, Ruling):
            close_all(victims)
    return aimed._replace(saw=victims[0]) if isinstance(aimed, Ruling) and victims and not continued else aimed


def close_all(victims: list[Victim] | tuple[Victim, ...]) -> None:
    """Let go of the pidfds of victims that are not to be signalled after all."""
    for victim in victims:
        os.close(victim.pidfd)


def case_of(victim: Victim, request: KillRequest, guard: Guard) -> Case:
    """Everything that the checks look at, read while the pidfd holds the process."""
    return Case(victim, request.start_ticks, _is_descendant(victim, guard), guard.machine.read(), request, guard)


def first_refusal(case: Case, *, is_member: bool = False) -> Ruling:
    """Walk the table, for a further member only through the checks of members; PASSED if all pass."""
    for judge in checks.OF_EVERY_MEMBER if is_member else checks.TABLE:
        ruling = judge(case)
        if ruling.reason:
            return ruling
    return checks.PASSED


def _aimed(victims: list[Victim], request: KillRequest, guard: Guard, continued: Aim | None) -> Aim | Ruling:
    """As take_aim; whatever is open is in `victims`, also when it raises."""
    aimed = continued or _aimed_at_named(victims, request, guard)
    if isinstance(aimed, Ruling):
        return aimed
    ruling = _add_members(victims, request, guard, aimed)
    if request.members and not continued and not ruling.reason:
        ruling = checks.holds_enough(aimed.case, facts.held_together(victims, aimed.case.machine))
        # To open hundreds takes time, in which something else may have freed memory.
        ruling = ruling if ruling.reason else checks.shortage(guard.machine.read(), guard.policy)
    return ruling if ruling.reason else aimed._replace(victims=tuple(victims))


def _aimed_at_named(victims: list[Victim], request: KillRequest, guard: Guard) -> Aim | Ruling:
    """Every check of the named process, and what its scope means for it."""
    named = facts.open_victim(request.pid)
    if isinstance(named, Reason):
        return Ruling(named)
    victims.append(named)
    case = case_of(named, request, guard)
    ruling = first_refusal(case)
    if ruling.reason or request.scope is not Scope.CGROUP:
        return ruling if ruling.reason else Aim((), case)
    path, hierarchy = named.entry.cgroup, guard.policy.hierarchy
    cgroup = target_of(path, lambda at: read_file(f"{hierarchy}{at}/memory.oom.group") == b"1\n")
    if not cgroup:
        return Ruling(Reason.PROTECTED, f"{path or 'its control group'} is no part of a unit that may die whole")
    return Aim((), case, cgroup)


def _add_members(victims: list[Victim], request: KillRequest, guard: Guard, aimed: Aim) -> Ruling:
    """Add the members that the request names: one that may not die refuses the whole. Raises OSError (EMFILE)."""
    for pid, start_ticks in dict(unpacked_members(request.members)).items():
        if aimed.case.request.scope is Scope.PROCESS:
            return Ruling(Reason.UNSUPPORTED, "members with scope PROCESS")
        member = facts.open_victim(pid) if pid != request.pid else Reason.GONE
        if isinstance(member, Reason):
            ruling = Ruling(member)
        else:
            victims.append(member)
            case = Case(member, start_ticks, _is_descendant(member, guard), aimed.case.machine, request, guard)
            ruling = first_refusal(case, is_member=True) if _belongs(member, aimed) else Ruling(Reason.GONE)
            if ruling.reason in _NO_MEMBER:
                os.close(victims.pop().pidfd)
        if ruling.reason and ruling.reason not in _NO_MEMBER:
            return ruling._replace(why=f"member {pid}: {ruling.why or ruling.reason.name.lower()}")
    return checks.PASSED


def _belongs(victim: Victim, aimed: Aim) -> bool:
    """Whether it dies with the named process: a member of the group that the killer itself has read."""
    entry, named = victim.entry, aimed.case.victim.entry
    if aimed.case.request.scope is Scope.CGROUP:
        return is_member(entry.cgroup, aimed.cgroup)
    is_together = (entry.stat.group, entry.stat.session) == (named.stat.group, named.stat.session)
    is_leader = entry.stat.session == victim.pid
    return is_together and not is_leader and bool(entry.membership) and entry.membership == named.membership


def _is_descendant(victim: Victim, guard: Guard) -> bool:
    return facts.descends_from(victim.entry.stat, guard.policy.only_descendants_of, guard.policy.ancestor)
