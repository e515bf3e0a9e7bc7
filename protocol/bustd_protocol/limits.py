"""The limits that both ends of the protocol must keep, and check of each other."""

from __future__ import annotations

from bustd_shared.kernel.bounds import PID_MAX as PID_MAX
from bustd_shared.kernel.bounds import UINT32_MAX as UINT32_MAX
from bustd_shared.kernel.bounds import UINT63_MAX as UINT63_MAX

VERSION = 1
"""The only protocol version there is."""

PACKET_BYTES = 4096
"""The most bytes of a packet; a longer one is a violation."""

MESSAGES_PER_SECOND = 50
"""The most packets that the killer accepts from one connection in any second."""

HELLO_DEADLINE_MS = 2000
"""The killer disconnects a peer that has not said Hello by then."""

VERDICT_DEADLINE_MS = 1000
"""How long the monitor waits for a Verdict or Pong before it considers the connection lost."""

PAIR_DEADLINE_MS = 30_000
"""The same on a socket pair, whose loss ends both daemons: a killer that is slow in a crisis is better than none."""

COMM_BYTES = 64
"""The longest comm. That of a program has at most 15 bytes (proc_pid_comm(5)), that of a kernel thread up to 63."""

CONDITION_BYTES = 16

ID_MAX = UINT32_MAX
