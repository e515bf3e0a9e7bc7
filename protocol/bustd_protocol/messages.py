"""The messages, their fields, and what each field may hold. They are immutable; the codec checks them both ways."""

from __future__ import annotations

import struct

from bustd_shared.daemon.record import IntEnum, NamedTuple

from . import limits


class Signal(IntEnum):
    """The two signals that a request can name, with their numbers from signal(7)."""

    KILL = 9
    TERM = 15


class Scope(IntEnum):
    """What a request is about: the victim alone, its process group, or its control group."""

    PROCESS = 0
    GROUP = 1
    CGROUP = 2


class Outcome(IntEnum):
    """The result of a request."""

    SIGNALLED = 0
    GONE = 1
    REFUSED = 2
    FAILED = 3


class Reason(IntEnum):
    """Why a request ended as it did. No other reason is valid; SPEC.md says what the monitor does on each."""

    NONE = 0
    GONE = 1
    BUSY = 2
    RATE = 3
    HIDDEN = 4
    NOT_LEADER = 5
    PID1 = 6
    SELF = 7
    PARENT = 8
    MONITOR = 9
    KERNEL_THREAD = 10
    START_TIME = 11
    ADJ = 12
    PROTECTED = 13
    OUTSIDE = 14
    SHRUNK = 15
    NOT_SHORT = 16
    UNSUPPORTED = 17
    EPERM = 18
    KERNEL = 19


class Fate(IntEnum):
    """How a kill ended.

    GONE: everything that was signalled has exited. STUCK: it has not, and its memory is not back, long after SIGKILL.
    RELEASED: after SIGKILL, what has not exited has no memory any more. SPARED: SIGTERM had not ended it, and memory
    was no longer short when SIGKILL was due.
    """

    GONE = 0
    STUCK = 1
    RELEASED = 2
    SPARED = 3


class Farewell(IntEnum):
    """Why an end says Bye."""

    SHUTDOWN = 0
    UNABLE = 1
    VERSION = 2


DIFFERS_UID = 1
DIFFERS_COMM = 2

_MEMBER = struct.Struct("<IQ")


class MonitorHello(NamedTuple):
    """The monitor's first message. `pid` is for the log: the killer knows its peer from the socket."""

    id: int
    lowest_version: int
    highest_version: int
    pid: int


class KillerHello(NamedTuple):
    """The killer's answer: its own limits, the kill in flight (`flight_id` 0: none) and the state of the rate limit."""

    id: int
    spoken_version: int
    pid: int
    claimed_percent: int
    minimum_bytes: int
    available_percent: int
    term_grace_ms: int
    stuck_ms: int
    flight_id: int
    flight_pid: int
    flight_start_ticks: int
    flight_signal: int
    retry_after_ms: int


class Ping(NamedTuple):
    """The monitor asks whether the killer is alive."""

    id: int


class Pong(NamedTuple):
    """The answer to the Ping with the same id."""

    id: int


class KillRequest(NamedTuple):
    """Kill this process, and with a wider scope the `members` that the monitor names.

    Identity is `pid` with `start_ticks` (field 22 of proc_pid_stat(5)); uid and comm are for the record. `members`:
    records of 12 bytes, see `unpacked_members`.
    """

    id: int
    pid: int
    start_ticks: int
    uid: int
    comm: bytes
    claimed_bytes: int
    signal: Signal
    scope: Scope
    condition: bytes
    monotonic_ms: int
    members: bytes = b""


def unpacked_members(packed: bytes) -> list[tuple[int, int]]:
    """The (PID, start time in clock ticks) of each member. The length must be a multiple of 12, as decode holds it."""
    return [(pid, start_ticks) for pid, start_ticks in _MEMBER.iter_unpack(packed)]


class Verdict(NamedTuple):
    """What the killer did on the request with this id. `latency_us` counts from its receipt to the signal."""

    id: int
    outcome: Outcome
    reason: Reason
    differs: int = 0
    held_bytes: int = 0
    signalled_count: int = 0
    retry_after_ms: int = 0
    errno: int = 0
    latency_us: int = 0


class Exited(NamedTuple):
    """The kill with this id is over, after `elapsed_ms`: `fate` says how."""

    id: int
    fate: Fate
    elapsed_ms: int


class Bye(NamedTuple):
    """The sender is about to close the connection."""

    id: int
    farewell: Farewell


Message = MonitorHello | KillerHello | Ping | Pong | KillRequest | Verdict | Exited | Bye


class IntField(NamedTuple):
    """A field that holds an int of `low` to `high`, both included."""

    low: int
    high: int

    def restored(self, value: object) -> int | None:
        """What it holds, by the value on the wire; None if it may not hold that. True is an int to isinstance."""
        return value if type(value) is int and self.low <= value <= self.high else None


class BytesField(NamedTuple):
    """A field that holds up to `longest` bytes, a multiple of `step`."""

    longest: int
    step: int = 1

    def restored(self, value: object) -> bytes | None:
        """See IntField."""
        return value if type(value) is bytes and len(value) <= self.longest and not len(value) % self.step else None


class EnumField(NamedTuple):
    """A field that holds a member of one closed enumeration."""

    members: type[IntEnum]

    def restored(self, value: object) -> IntEnum | None:
        """See IntField."""
        try:
            return self.members(value) if type(value) is int else None
        except ValueError:
            return None


FieldKind = IntField | BytesField | EnumField

_ID = IntField(1, limits.ID_MAX)
_ID_OR_NONE = IntField(0, limits.ID_MAX)
_PID = IntField(1, limits.PID_MAX)
_BYTE = IntField(0, 255)
_PERCENT = IntField(0, 100)
_UINT32 = IntField(0, limits.UINT32_MAX)
_UINT63 = IntField(0, limits.UINT63_MAX)

_PID_OR_NONE = IntField(0, limits.PID_MAX)
_COMM, _CONDITION = BytesField(limits.COMM_BYTES), BytesField(limits.CONDITION_BYTES)
_MEMBERS = BytesField(limits.MEMBERS * limits.MEMBER_BYTES, limits.MEMBER_BYTES)

LAYOUT: dict[type[Message], tuple[int, tuple[FieldKind, ...]]] = {
    MonitorHello: (1, (_ID, _BYTE, _BYTE, _PID)),
    KillerHello: (2, (_ID, _BYTE, _PID, _PERCENT, _UINT63, _PERCENT, _UINT32, _UINT32,
                      _ID_OR_NONE, _PID_OR_NONE, _UINT63, IntField(0, 64), _UINT32)),
    Ping: (3, (_ID,)),
    Pong: (4, (_ID,)),
    KillRequest: (5, (_ID, _PID, _UINT63, _UINT32, _COMM, _UINT63, EnumField(Signal), EnumField(Scope),
                      _CONDITION, _UINT63, _MEMBERS)),
    Verdict: (6, (_ID, EnumField(Outcome), EnumField(Reason), IntField(0, 3), _UINT63, _UINT32, _UINT32,
                  IntField(0, 4095), _UINT32)),
    Exited: (7, (_ID, EnumField(Fate), _UINT32)),
    Bye: (8, (IntField(0, 0), EnumField(Farewell))),
}  # fmt: skip
"""The type number of each message and the kind of each field, in the order of the message's own fields."""

_OUTCOMES = {Reason.NONE: Outcome.SIGNALLED, Reason.GONE: Outcome.GONE}
_OUTCOMES |= dict.fromkeys((Reason.EPERM, Reason.KERNEL), Outcome.FAILED)


def outcome_of(reason: Reason) -> Outcome:
    """The only outcome that a Verdict with this reason can have: what is not in the table above is a refusal."""
    return _OUTCOMES.get(reason, Outcome.REFUSED)
