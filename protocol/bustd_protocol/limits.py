"""The numbers that both ends of the protocol hold each other to."""

from __future__ import annotations

from bustd_shared.kernel.bounds import PID_MAX as PID_MAX
from bustd_shared.kernel.bounds import UINT32_MAX as UINT32_MAX
from bustd_shared.kernel.bounds import UINT63_MAX as UINT63_MAX

VERSION = 2
"""The only version that this code speaks."""

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

MEMBER_BYTES = 12
"""One member of a request: its PID (4 bytes) and its start time (8 bytes), both unsigned and little endian."""

MEMBERS = 330
"""The most members that one request names; a continuation names further ones."""

CONTINUATIONS = 8
"""The most continuations of one kill."""

CONTINUATION_MS = 1000
"""How long after the end of a kill a continuation of it is still accepted."""

PROCESSES_PER_SECOND = 256
"""How many processes the killer looks at in a second, over all connections, once the first 1024 are used up."""

PROCESSES_AT_ONCE = 1024
"""How many it looks at without a pause, and the most that it signals in a minute."""

CONNECTIONS_PER_SECOND = 10
"""What the killer accepts; further ones wait."""

ID_MAX = UINT32_MAX
