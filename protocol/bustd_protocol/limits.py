"""The numbers that both ends of the protocol hold each other to."""

from __future__ import annotations

from bustd_shared.kernel.bounds import PID_MAX as PID_MAX
from bustd_shared.kernel.bounds import UINT32_MAX as UINT32_MAX
from bustd_shared.kernel.bounds import UINT63_MAX as UINT63_MAX

VERSION = 1
"""The only protocol version there is."""

PACKET_BYTES = 4096
"""The largest packet; a longer one is a violation."""

MESSAGES_PER_SECOND = 50
"""What the killer accepts from one connection in any second."""

HELLO_DEADLINE_MS = 2000
"""A peer that has not said Hello by then is disconnected."""

VERDICT_DEADLINE_MS = 1000
"""How long the monitor waits for a Verdict or Pong before it takes the connection for lost."""

PAIR_DEADLINE_MS = 30_000
"""The same on a socket pair, whose loss is the end of both: a killer that is slow in a crisis is better than none."""

COMM_BYTES = 64
"""comm is at most 15 bytes for a program (proc_pid_comm(5)); kernel threads show up to 63."""

CONDITION_BYTES = 16

ID_MAX = UINT32_MAX
