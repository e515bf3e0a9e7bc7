"""The largest numbers that the kernel shows for a process. The protocol allows no larger ones in its messages."""

from __future__ import annotations

PID_MAX = 2**22
"""The kernel's PID_MAX_LIMIT on 64-bit machines (proc_sys_kernel(5), pid_max)."""

UINT32_MAX = 2**32 - 1
UINT63_MAX = 2**63 - 1
