"""The killer's nine checks of a request: `TABLE` is the list, in the order in which they are made (SPEC.md, section 5).

Checks 1 to 4 are made before there is anything to compare, where the peer, its packets, the slot and the pidfd are.
Checks 5 to 9 are the functions below. They are pure: the killer's own readings and the request in, a ruling out.
"""

from __future__ import annotations

from collections.abc import Callable

from bustd_protocol.messages import DIFFERS_COMM, DIFFERS_UID, KillRequest, Reason
from bustd_shared.daemon.record import NamedTuple, StrEnum
from bustd_shared.kernel.cgroup_paths import in_group
from bustd_shared.kernel.process import ProcEntry
from bustd_shared.rules.protection import Protection, is_system, is_trusted_with_a_name, minimum_bytes, protected_by

from .facts import Machine, MachineFiles, Victim
from .policy import Policy

OOM_SCORE_ADJ_MIN = -1000


class OwnPids(NamedTuple):
    """The PIDs of bustd's own processes, which must never die; `parent` is the killer's, `monitor` 0 before Hello."""

    killer: int
    parent: int
    monitor: int


class Guard(NamedTuple):
    """Everything that decides which processes may die, fixed at start except for `own`."""

    policy: Policy
    protection: Protection
    machine: MachineFiles
    own: OwnPids


class Case(NamedTuple):
    """What a check may look at: `request` is the monitor's word, everything else is the killer's own reading or rule.

    `start_ticks`: the start time that the request gives for this very process, be it the named one or a member.
    `is_descendant`: whether the process descends from `only_descendants_of`; True where that is 0. `machine`
    None: the memory can't be read.
    """

    victim: Victim
    start_ticks: int
    is_descendant: bool
    machine: Machine | None
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


def judge_kind(case: Case) -> Ruling:
    """Check 5: it is alive, and none of the processes that must never be asked for."""
    pid, stat, own = case.victim.pid, case.victim.entry.stat, case.guard.own
    for reserved, reason in ((1, Reason.PID1), (own.killer, Reason.SELF), (own.parent, Reason.PARENT)):
        if pid == reserved:
            return Ruling(reason)
    if pid == own.monitor:
        return Ruling(Reason.MONITOR)
    if stat.is_kernel_thread:
        return Ruling(Reason.KERNEL_THREAD)
    return Ruling(Reason.GONE, "a zombie") if stat.is_dead else PASSED


def judge_identity(case: Case) -> Ruling:
    """Check 6: the start time alone is identity; a uid or comm that differs is reported (see `differences`)."""
    found, asked = case.victim.entry.stat.start_ticks, case.start_ticks
    return PASSED if found == asked else Ruling(Reason.START_TIME, f"started at {found}, not {asked}")


def is_swapoff(entry: ProcEntry) -> bool:
    """Whether it is root's swapoff(8): as long as it runs, what was swapped out comes back to memory.

    That of util-linux 2.41 gives itself an oom_score_adj of -1000. The kernel kills it first all the same.
    """
    return entry.stat.comm == b"swapoff" and entry.status.uid == 0


def differences(entry: ProcEntry, request: KillRequest) -> int:
    """What the request says differently: DIFFERS_UID, DIFFERS_COMM or both. A process can change either at any time."""
    differs = DIFFERS_UID if entry.status.uid != request.uid else 0
    return differs | (DIFFERS_COMM if entry.stat.comm != request.comm else 0)


def judge_protection(case: Case) -> Ruling:
    """Check 7: it is among the processes that the killer may choose from, and nothing exempts it."""
    entry, policy = case.victim.entry, case.guard.policy
    if not case.is_descendant:
        return Ruling(Reason.OUTSIDE, f"not a descendant of {policy.only_descendants_of}")
    if not in_group(policy.group, entry.membership or b""):
        return Ruling(Reason.OUTSIDE, f"not in the control group {policy.group}")
    if entry.oom_score_adj <= OOM_SCORE_ADJ_MIN and not is_swapoff(entry):
        return Ruling(Reason.ADJ)
    is_trusted = is_trusted_with_a_name(is_system=is_system(entry.status.uids), held_bytes=case.victim.held_bytes)
    who = entry.unit, entry.status.uid, entry.stat.comm
    rule = protected_by(case.guard.protection, *who, is_trusted=is_trusted)
    return Ruling(Reason.PROTECTED, rule) if rule else PASSED


def judge_bytes(case: Case) -> Ruling:
    """Check 8: it holds its share of what the request claims, and enough to help.

    A request that names members is judged by what they hold together, and so when they are known (aim.take_aim).
    Root's swapoff may hold nothing.
    """
    return (
        PASSED if case.request.members or is_swapoff(case.victim.entry) else holds_enough(case, case.victim.held_bytes)
    )


def holds_enough(case: Case, held: int) -> Ruling:
    """Check 8 of everything that is to die, which holds `held` bytes: the killer's own readings, added up.

    The sum is an upper bound: see facts.held_together.
    """
    # Without a reading of the machine there is no minimum, and check 9 refuses.
    policy, total = case.guard.policy, case.machine.meminfo.total if case.machine else 0
    least = minimum_bytes(total, policy.minimum_mib, policy.minimum_percent)
    least = max(case.request.claimed_bytes * policy.claimed_percent // 100, least)
    return PASSED if held >= least else Ruling(Reason.SHRUNK, f"holds {held >> 10} KiB, not {least >> 10} KiB")


def judge_shortage(case: Case) -> Ruling:
    """Check 9: the machine is really short of memory.

    Pressure proves nothing and is not asked: a user with a memory cgroup of its own can make it on an idle machine. The
    share is of what user space can have (available plus anonymous), so that a filled tmpfs does not shift it.
    """
    return shortage(case.machine, case.guard)


def shortage(machine: Machine | None, guard: Guard) -> Ruling:
    """Check 9 at any other moment: when a SIGTERM's grace is over, and for an escalation."""
    if machine is None:
        return Ruling(Reason.NOT_SHORT, unreadable(guard))
    available = machine.meminfo.available
    if available is None:
        return Ruling(Reason.NOT_SHORT, "/proc/meminfo has no MemAvailable")
    percent, most = 100 * available / machine.meminfo.user_space, guard.policy.available_percent
    return PASSED if percent <= most else Ruling(Reason.NOT_SHORT, f"{percent:.1f} % available")


def unreadable(guard: Guard) -> str:
    """What to say of a machine or control group whose memory can't be read."""
    return f"{f'the memory of {guard.policy.group}' if guard.policy.group else '/proc/meminfo'} makes no sense"


class AskedOf(StrEnum):
    """What a check is asked of. A member is any process that would die; the named one is the request's own `pid`."""

    PEER = "the peer"
    PACKET = "each packet"
    REQUEST = "the request"
    NAMED = "the named process"
    TOGETHER = "all members together"
    MEMBER = "every member"


class Check(NamedTuple):
    """A row of the table: `made_by` is a function on a Case, or names the function elsewhere that makes the check.

    `reasons`: what it refuses with; none: the connection is closed. `distrusts`: why it is there.
    """

    number: int
    made_by: Callable[[Case], Ruling] | str
    asked_of: AskedOf
    reasons: tuple[Reason, ...]
    distrusts: str


_KINDS = (Reason.PID1, Reason.SELF, Reason.PARENT, Reason.MONITOR, Reason.KERNEL_THREAD, Reason.GONE)

TABLE = (
    Check(1, "server.Server._accept", AskedOf.PEER, (),
          "other programs that can reach the socket"),
    Check(2, "peer.Peer.receive", AskedOf.PACKET, (),
          "a captured monitor that sends what the killer might misread, or floods it"),
    Check(3, "flight.Kills.refusal", AskedOf.REQUEST, (Reason.BUSY, Reason.RATE, Reason.UNSUPPORTED),
          "a monitor that kills again before the memory of the last victim is back"),
    Check(4, "facts.open_victim", AskedOf.MEMBER, (Reason.GONE, Reason.NOT_LEADER, Reason.HIDDEN),
          "the list that the pid comes from: the pidfd keeps what is read now from being about a successor"),
    Check(5, judge_kind, AskedOf.MEMBER, _KINDS,
          "a monitor that names what must never die"),
    Check(6, judge_identity, AskedOf.MEMBER, (Reason.START_TIME,),
          "the time since the monitor looked: the pid may have been reused"),
    Check(7, judge_protection, AskedOf.MEMBER, (Reason.OUTSIDE, Reason.ADJ, Reason.PROTECTED),
          "a monitor that does not keep root's rules"),
    Check(8, judge_bytes, AskedOf.TOGETHER, (Reason.SHRUNK,),
          "the monitor's figures: a death that frees little helps nothing"),
    Check(9, judge_shortage, AskedOf.NAMED, (Reason.NOT_SHORT,),
          "the monitor's word that memory is short"),
)  # fmt: skip
"""Every check, in the order in which they are made: the first that fails decides. aim.py walks it from check 5 on."""
