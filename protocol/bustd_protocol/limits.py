"""The limits that both ends of the protocol must keep, and check of each other."""

from __future__ import annotations

from bustd_shared.kernel.procfs import PID_MAX as PID_MAX
from bustd_shared.kernel.procfs import UINT32_MAX as UINT32_MAX
from bustd_shared.kernel.procfs import UINT63_MAX as UINT63_MAX

VERSION = 2
"""The only version that this code speaks."""

PACKET_BYTES = 4096
"""The most bytes of a packet; a longer one is a violation."""

MESSAGES_PER_SECOND = 40
"""The most packets that the killer accepts in a second, over all connections."""

HELLO_DEADLINE_MS = 2000
"""The killer disconnects a peer that has not said Hello by then."""

VERDICT_DEADLINE_MS = 1000
"""How long the monitor waits for a Verdict or Pong before it considers the connection lost."""

PAIR_DEADLINE_MS = 30_000
"""The same on a socket pair, whose loss ends both daemons: a killer that is slow in a crisis is better than none."""

COMM_BYTES = 64
"""The longest comm. That of a program has at most 15 bytes (proc_pid_comm(5)), that of a kernel thread up to 63."""

CONDITION_BYTES = 16

MEMBER_BYTES = 12
"""One member of a request: its PID (4 bytes) and its start time (8 bytes), both unsigned and little endian."""

MEMBERS = 330
"""The most members that one request names; a continuation names further ones."""

CONTINUATIONS = 8
"""The most continuations of one kill."""

CONTINUATION_MS = 1000
"""How long after the end of a kill a continuation of it is still accepted."""

PROCESSES_PER_SECOND = 64
"""How many processes the killer looks at in a second, over all connections, once PROCESSES_AT_ONCE are used up."""

PROCESSES_AT_ONCE = 1024
"""How many it looks at without a pause, and the most that it signals in a minute."""

CONNECTIONS_PER_SECOND = 10
"""The most connections that the killer accepts in any second; further ones wait."""

ID_MAX = UINT32_MAX
