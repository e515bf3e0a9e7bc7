"""The killer's nine checks of a request, in the order in which they are made (SPEC.md, section 5, has the table).

Checks 1 to 4 are made before there is anything to compare, where the peer, its packets, the slot and the pidfd are:
`server.Server._accept`, `peer.Peer.receive`, `flight.Kills.refusal`, `facts.open_victim`. Checks 5 to 9 are the
functions of `TABLE` below. They are pure: the killer's own readings and the request in, a ruling out.
"""

from __future__ import annotations

from bustd_protocol.messages import DIFFERS_COMM, DIFFERS_UID, KillRequest, Reason
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.cgroup_paths import in_group
from bustd_shared.kernel.process import ProcEntry
from bustd_shared.kernel.procfs import Meminfo
from bustd_shared.rules.protection import is_system, is_trusted_with_a_name, minimum_bytes, protected_by

from .facts import MachineFiles, Victim
from .policy import Policy

OOM_SCORE_ADJ_MIN = -1000


class Guard(NamedTuple):
    """Everything that decides which processes may die, fixed at start except for `own`: see own_pids."""

    policy: Policy
    machine: MachineFiles
    own: dict[int, Reason]


class Case(NamedTuple):
    """What a check may look at: `request` is the monitor's word, everything else is the killer's own reading or rule.

    `start_ticks`: the start time that the request gives for this very process, be it the named one or a member.
    `is_descendant`: whether the process descends from `only_descendants_of`; True where that is 0. `machine`
    None: the memory can't be read.
    """

    victim: Victim
    start_ticks: int
    is_descendant: bool
    machine: Meminfo | None
    request: KillRequest
    guard: Guard


class Ruling(NamedTuple):
    """The outcome of a check: `reason` NONE if it passed; `why` is for the log, `errno` is the kernel's.

    `saw`: what the killer has read of the named process, if it came so far; its pidfd is closed.
    """

    reason: Reason
    why: str = ""
    errno: int = 0
    retry_after_ms: int = 0
    saw: Victim | None = None


PASSED = Ruling(Reason.NONE)


def own_pids(killer: int, parent: int, monitor: int) -> dict[int, Reason]:
    """bustd's own processes and process 1, which must never die, and what to answer; `monitor`: 0 before Hello."""
    return {monitor: Reason.MONITOR, parent: Reason.PARENT, killer: Reason.SELF, 1: Reason.PID1}


def judge_kind(case: Case) -> Ruling:
    """Check 5: it is alive, and none of the processes that must never be asked for.

    It distrusts a monitor that names what must never die.
    """
    stat = case.victim.entry.stat
    if case.victim.pid in case.guard.own:
        return Ruling(case.guard.own[case.victim.pid])
    if stat.is_kernel_thread:
        return Ruling(Reason.KERNEL_THREAD)
    return Ruling(Reason.GONE, "a zombie") if stat.is_dead else PASSED


def judge_identity(case: Case) -> Ruling:
    """Check 6: the start time alone is identity; a uid or comm that differs is reported (see `differences`).

    It distrusts the time since the monitor looked: the pid may have been reused.
    """
    found, asked = case.victim.entry.stat.start_ticks, case.start_ticks
    return PASSED if found == asked else Ruling(Reason.START_TIME, f"started at {found}, not {asked}")


def is_swapoff(entry: ProcEntry) -> bool:
    """Whether it is root's swapoff(8): as long as it runs, what was swapped out comes back to memory.

    All its uids are 0: any user may start a set-uid program by a link of that name. That of util-linux 2.41 gives
    itself an oom_score_adj of -1000. The kernel kills it first all the same.
    """
    return entry.stat.comm == b"swapoff" and not any(entry.status.uids)


def differences(entry: ProcEntry, request: KillRequest) -> int:
    """What the request says differently: DIFFERS_UID, DIFFERS_COMM or both. A process can change either at any time."""
    differs = DIFFERS_UID if entry.status.uid != request.uid else 0
    return differs | (DIFFERS_COMM if entry.stat.comm != request.comm else 0)


def judge_protection(case: Case) -> Ruling:
    """Check 7: it is among the processes that the killer may choose from, and nothing exempts it.

    It distrusts a monitor that does not keep root's rules.
    """
    entry, policy = case.victim.entry, case.guard.policy
    if not case.is_descendant:
        return Ruling(Reason.OUTSIDE, f"not a descendant of {policy.only_descendants_of}")
    if not in_group(policy.group, entry.membership or b""):
        return Ruling(Reason.OUTSIDE, f"not in the control group {policy.group}")
    if entry.oom_score_adj <= OOM_SCORE_ADJ_MIN and not is_swapoff(entry):
        return Ruling(Reason.ADJ)
    is_trusted = is_trusted_with_a_name(is_system=is_system(entry.status.uids), held_bytes=case.victim.held_bytes)
    rule = protected_by(policy.protection, entry.unit, entry.status.uid, entry.stat.comm, is_trusted=is_trusted)
    return Ruling(Reason.PROTECTED, rule) if rule else PASSED


def judge_bytes(case: Case) -> Ruling:
    """Check 8: it holds its share of what the request claims, and enough to help.

    A request that names members is judged by what they hold together, and so when they are known (aim.take_aim).
    Root's swapoff may hold nothing. It distrusts the monitor's figures: a death that frees little helps nothing.
    """
    if case.request.members or is_swapoff(case.victim.entry):
        return PASSED
    return holds_enough(case, case.victim.held_bytes)


def holds_enough(case: Case, held: int) -> Ruling:
    """Check 8 of everything that is to die, which holds `held` bytes: the killer's own readings, added up.

    The sum is an upper bound: see facts.held_together.
    """
    policy = case.guard.policy
    least = max(case.request.claimed_bytes * policy.claimed_percent // 100, least_bytes(case.machine, policy))
    return PASSED if held >= least else Ruling(Reason.SHRUNK, f"holds {held >> 10} KiB, not {least >> 10} KiB")


def least_bytes(machine: Meminfo | None, policy: Policy) -> int:
    """What is to die must hold at least this much, whatever is claimed; 0 of an unknown machine: check 9 refuses."""
    return minimum_bytes(machine.total if machine else 0, policy.minimum_mib, policy.minimum_percent)


def judge_shortage(case: Case) -> Ruling:
    """Check 9: the machine is really short of memory. It distrusts the monitor's word that memory is short.

    Pressure proves nothing and is not asked: a user with a memory cgroup of its own can make it on an idle machine. The
    share is of what user space can have (available plus anonymous), so that a filled tmpfs does not shift it.
    """
    return shortage(case.machine, case.guard.policy)


def shortage(machine: Meminfo | None, policy: Policy) -> Ruling:
    """Check 9 at any other moment: when a SIGTERM's grace is over, and for an escalation."""
    if machine is None:
        return Ruling(Reason.NOT_SHORT, unreadable(policy))
    if machine.available is None:
        return Ruling(Reason.NOT_SHORT, "/proc/meminfo has no MemAvailable")
    percent = 100 * machine.available / machine.user_space
    return PASSED if percent <= policy.available_percent else Ruling(Reason.NOT_SHORT, f"{percent:.1f} % available")


def unreadable(policy: Policy) -> str:
    """What to say of a machine or control group whose memory can't be read."""
    return f"{f'the memory of {policy.group}' if policy.group else '/proc/meminfo'} makes no sense"


OF_EVERY_MEMBER = (judge_kind, judge_identity, judge_protection)
"""What is asked of any process that would die: check 4 before, and whether it belongs to the named one."""
TABLE = (*OF_EVERY_MEMBER, judge_bytes, judge_shortage)
"""Checks 5 to 9, which the named process is asked: the first that fails decides."""
