"""The killer's nine checks of a request: `TABLE` is the list, in the order in which they are made (SPEC.md, section 5).

Checks 1 to 4 are made before there is anything to compare, where the peer, its packets, the slot and the pidfd are.
Checks 5 to 9 are the functions below. They are pure: the killer's own readings and the request in, a ruling out.
"""

from __future__ import annotations

from enum import Enum

from bustd_protocol.messages import DIFFERS_COMM, DIFFERS_UID, KillRequest, Reason
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import watched_group
from bustd_shared.rules.killer_toml import KillerConfig, minimum_bytes
from bustd_shared.rules.protection import Protection, protected_by

from .facts import CgroupFiles, Facts, Machine, MachineFiles, Victim

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

OOM_SCORE_ADJ_MIN = -1000


class OwnPids(NamedTuple):
    """The PIDs of bustd's own processes, which must never die; `parent` is the killer's, `monitor` 0 before Hello."""

    killer: int
    parent: int
    monitor: int


class Guard(NamedTuple):
    """Everything that decides which processes may die, fixed at start except for `own`.

    `hierarchy`: where the unified hierarchy is mounted, "" if nowhere. `group`: the control group in it that is watched
    instead of the machine, "" if none is (see watched_group).
    """

    config: KillerConfig
    protection: Protection
    machine: MachineFiles | CgroupFiles
    own: OwnPids
    only_descendants_of: int = 0
    hierarchy: str = ""
    group: str = ""


class Case(NamedTuple):
    """What a check may look at: `request` is the monitor's word, everything else is the killer's own reading or rule.

    `is_descendant`: whether the process descends from `guard.only_descendants_of`; True where that is 0. `machine`
    None: the memory can't be read.
    """

    victim: Victim
    is_descendant: bool
    machine: Machine | None
    request: KillRequest
    guard: Guard


class Ruling(NamedTuple):
    """The outcome of a check: `reason` NONE if it passed; `why` is for the log, `errno` is the kernel's."""

    reason: Reason
    why: str = ""
    errno: int = 0
    retry_after_ms: int = 0


PASSED = Ruling(Reason.NONE)


def judge_kind(case: Case) -> Ruling:
    """Check 5: it is alive, and none of the processes that must never be asked for."""
    pid, stat, own = case.victim.pid, case.victim.facts.stat, case.guard.own
    if pid == 1:
        return Ruling(Reason.PID1)
    if pid == own.killer:
        return Ruling(Reason.SELF)
    if pid == own.parent:
        return Ruling(Reason.PARENT)
    if pid == own.monitor:
        return Ruling(Reason.MONITOR)
    if stat.is_kernel_thread:
        return Ruling(Reason.KERNEL_THREAD)
    if stat.is_dead:
        return Ruling(Reason.GONE, "a zombie")
    return PASSED


def judge_identity(case: Case) -> Ruling:
    """Check 6: the start time alone is identity; a uid or comm that differs is reported (see `differences`)."""
    found, asked = case.victim.facts.stat.start_ticks, case.request.start_ticks
    return PASSED if found == asked else Ruling(Reason.START_TIME, f"started at {found}, not {asked}")


def differences(facts: Facts, request: KillRequest) -> int:
    """What the request says differently: DIFFERS_UID, DIFFERS_COMM or both. A process can change either at any time."""
    return (DIFFERS_UID if facts.uid != request.uid else 0) | (DIFFERS_COMM if facts.stat.comm != request.comm else 0)


def judge_protection(case: Case) -> Ruling:
    """Check 7: it is among the processes that the killer may choose from, and nothing exempts it."""
    facts, guard = case.victim.facts, case.guard
    if not case.is_descendant:
        return Ruling(Reason.OUTSIDE, f"not a descendant of {guard.only_descendants_of}")
    if not watched_group.holds(guard.group, facts.membership):
        return Ruling(Reason.OUTSIDE, f"not in the control group {guard.group}")
    if facts.oom_score_adj <= OOM_SCORE_ADJ_MIN:
        return Ruling(Reason.ADJ)
    rule = protected_by(guard.protection, facts.unit, facts.uid, facts.stat.comm)
    return Ruling(Reason.PROTECTED, rule) if rule else PASSED


def judge_bytes(case: Case) -> Ruling:
    """Check 8: it holds its share of what the request claims, and enough to help."""
    # Without a reading of the machine there is no minimum, and check 9 refuses.
    config, total = case.guard.config, case.machine.meminfo.total if case.machine else 0
    least = max(case.request.claimed_bytes * config.claimed_percent // 100, minimum_bytes(total, config))
    held = case.victim.facts.held_bytes
    return PASSED if held >= least else Ruling(Reason.SHRUNK, f"holds {held >> 10} KiB, not {least >> 10} KiB")


def judge_shortage(case: Case) -> Ruling:
    """Check 9: the machine is really short of memory.

    Pressure alone proves nothing: a user with a memory cgroup of its own can make it on an idle machine. The share is
    of what user space can have (available plus anonymous), so that a filled tmpfs does not shift it.
    """
    machine, config = case.machine, case.guard.config
    if machine is None:
        return Ruling(Reason.NOT_SHORT, unreadable(case.guard))
    available = machine.meminfo.available
    if available is None:
        return Ruling(Reason.NOT_SHORT, "/proc/meminfo has no MemAvailable")
    percent = 100 * available / max(available + machine.meminfo.anonymous, 1)
    pressured = machine.some_avg10 >= config.pressure_some_avg10
    limit = config.pressured_available_percent if pressured else config.available_percent
    if percent > limit:
        return Ruling(Reason.NOT_SHORT, f"{percent:.1f} % available, pressure {machine.some_avg10:.1f} %")
    return PASSED


def unreadable(guard: Guard) -> str:
    """What to say of a machine or control group whose memory can't be read."""
    return f"{f'the memory of {guard.group}' if guard.group else '/proc/meminfo'} makes no sense"


class AskedOf(Enum):
    """What a check is asked of. A member is any process that would die; the named one is the request's own `pid`."""

    PEER = "the peer"
    PACKET = "each packet"
    REQUEST = "the request"
    NAMED = "the named process"
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
    Check(6, judge_identity, AskedOf.NAMED, (Reason.START_TIME,),
          "the time since the monitor looked: the pid may have been reused"),
    Check(7, judge_protection, AskedOf.MEMBER, (Reason.OUTSIDE, Reason.ADJ, Reason.PROTECTED),
          "a monitor that does not keep root's rules"),
    Check(8, judge_bytes, AskedOf.NAMED, (Reason.SHRUNK,),
          "the monitor's figures: a death that frees little helps nothing"),
    Check(9, judge_shortage, AskedOf.NAMED, (Reason.NOT_SHORT,),
          "the monitor's word that memory is short"),
)  # fmt: skip
"""Every check, in the order in which they are made: the first that fails decides. aim.py walks it from check 5 on."""
