"""What /proc/PID/status tells of a process that only the monitor asks: whose memory it has, and what can end it."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.procfs import UINT63_MAX, field_bytes


class Traits(NamedTuple):
    """`program_bytes`: the text of its program (VmExe), which a forked child has in common with its parent.

    `ignores_sigterm`: SIGTERM can't end it, because it ignores it or because it is the init of a PID namespace and has
    no handler (pid_namespaces(7)). `memory_print`: a hash of all the lines on its memory, 0 if it is not known. Two
    related processes with the same one have one memory (CLONE_VM), of which the death of one frees nothing.
    `swapped_bytes`: what of its private memory is in swap (VmSwap, which leaves shared memory out).
    """

    program_bytes: int = 0
    ignores_sigterm: bool = False
    memory_print: int = 0
    swapped_bytes: int = 0


def parse_traits(data: bytes) -> Traits:
    """Parse /proc/PID/status (proc_pid_status(5))."""
    program, swapped = field_bytes(data, b"VmExe:") or 0, field_bytes(data, b"VmSwap:") or 0
    return Traits(program, _ignores_sigterm(data), _memory_print(data), swapped)


def _memory_print(data: bytes) -> int:
    """A hash of the lines from VmPeak to VmSwap. Forked copies of a memory differ in VmRSS, VmPTE or VmPeak."""
    begin, end = data.find(b"\nVmPeak:"), data.find(b"\nVmSwap:")
    if not 0 <= begin < end:
        return 0
    return hash(data[begin : data.find(b"\n", end + 1)]) & UINT63_MAX


def _ignores_sigterm(data: bytes) -> bool:
    """By SigIgn, NSpid and SigCgt (proc_pid_status(5))."""
    if _has_sigterm(data, b"\nSigIgn:"):
        return True
    at = data.find(b"\nNSpid:")
    pids = data[at + 7 : data.find(b"\n", at + 1)].split() if at >= 0 else []
    return len(pids) > 1 and pids[-1] == b"1" and not _has_sigterm(data, b"\nSigCgt:")


def _has_sigterm(data: bytes, name: bytes) -> bool:
    """Whether SIGTERM, number 15, is in this mask of signals; not where the line is missing."""
    at = data.find(name)
    digits = data[at + len(name) : at + len(name) + 24].split(None, 1)[:1] if at >= 0 else []
    return bool(digits) and len(digits[0]) >= 4 and digits[0][-4:-3] in b"4567cdef"
