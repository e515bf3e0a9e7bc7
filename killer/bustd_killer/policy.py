"""What the serving killer is told by the start: root's rules and the descriptors that it inherits, as one flat record.

The start parses configuration and command line, and is gone when this arrives: the serving program parses neither.
"""

from __future__ import annotations

import os

import msgpack

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.protection import Protection

NO_DESCRIPTOR = -1


class Policy(NamedTuple):
    """`peer_uid`: the monitor's. The limits are those of killer.toml, with the same names (killer.toml(5)).

    `only_descendants_of`: a PID, 0 for none; `ancestor`: its pidfd. `hierarchy`: where the unified one is mounted,
    "" if nowhere. `group`: the control group in it that is watched instead of the machine, "" if none is. `monitor`,
    `subject`: PIDs of the killer's own children, 0 where there is none. Descriptors are NO_DESCRIPTOR where there is
    none; `monitor_log` is the other end of the standard error of the pair's monitor, `log_link` the socket that lines
    go to. `log_safe_bytes`, `log_form`: see bustd_shared.daemon.lines. `lock_denied`: why no memory may be locked, ""
    if it may.
    """

    peer_uid: int
    protection: Protection
    claimed_percent: int
    minimum_mib: int
    minimum_percent: int
    available_percent: int
    burst: int
    interval_ms: int
    per_minute: int
    term_ms: int
    stuck_ms: int
    only_descendants_of: int = 0
    hierarchy: str = ""
    group: str = ""
    monitor: int = 0
    subject: int = 0
    listener: int = NO_DESCRIPTOR
    link: int = NO_DESCRIPTOR
    monitor_log: int = NO_DESCRIPTOR
    log_link: int = NO_DESCRIPTOR
    watchdog: int = NO_DESCRIPTOR
    ancestor: int = NO_DESCRIPTOR
    log_safe_bytes: int = 0
    log_form: int = -1
    lock_denied: str = ""


def received(descriptor: int) -> Policy:
    """The policy that the start has written. Raises ValueError for anything else, and OSError."""
    packed = b""
    while chunk := os.read(descriptor, 65536):
        packed += chunk
    os.close(descriptor)
    values = msgpack.unpackb(packed, use_list=False)
    if len(values) != len(Policy._fields):
        raise ValueError("not a policy")
    return Policy(values[0], Protection(*values[1]), *values[2:])
