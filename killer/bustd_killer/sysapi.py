"""System calls that the standard library lacks, and those of python-prctl: the only module with ctypes or prctl."""

from __future__ import annotations

import ctypes
import os

import prctl

_CAP_KILL = 1 << 5

_SYS_LANDLOCK_CREATE_RULESET = 444
_SYS_LANDLOCK_RESTRICT_SELF = 446
_SYS_PROCESS_MRELEASE = 448
_LANDLOCK_CREATE_RULESET_VERSION = 1

_EXECUTE = 1 << 0
_WRITES = 1 << 1 | sum(1 << bit for bit in range(4, 13))
_WRITES_SINCE_ABI = {2: 1 << 13, 3: 1 << 14}
"""landlock(7): write, remove and make since ABI 1; REFER since 2; TRUNCATE since 3."""

_libc = ctypes.CDLL(None, use_errno=True)


def _syscall(number: int, *arguments: object) -> int:
    """A raw system call with long arguments. Raises OSError."""
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def release_memory(pidfd: int) -> None:
    """process_mrelease(2): free the memory of a process that was sent SIGKILL, before it exits.

    Raises OSError: EINVAL before the SIGKILL, ESRCH after the exit, ENOSYS before Linux 5.15. All are ordinary.
    """
    _syscall(_SYS_PROCESS_MRELEASE, ctypes.c_int(pidfd), ctypes.c_uint(0))


def deny_writes() -> None:
    """landlock(7): from now on this process can't open a file for writing, make or remove one, or execute one.

    Needs no_new_privs. Raises OSError: ENOSYS or EOPNOTSUPP where the kernel has no Landlock (Linux 5.13 and later).
    """
    abi = _syscall(
        _SYS_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_LANDLOCK_CREATE_RULESET_VERSION)
    )
    handled = _EXECUTE | _WRITES | sum(bit for since, bit in _WRITES_SINCE_ABI.items() if abi >= since)
    attributes = ctypes.c_uint64(handled)
    ruleset = _syscall(
        _SYS_LANDLOCK_CREATE_RULESET,
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
        ctypes.c_uint(0),
    )
    try:
        _syscall(_SYS_LANDLOCK_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
    finally:
        os.close(ruleset)


def empty_bounding_set(*kept: int) -> None:
    """Make sure that no execution gives a capability except those `kept`.

    Without CAP_SETPCAP the set stays as it is: systemd has reduced it already, and an ordinary user can't use it.
    """
    try:
        prctl.capbset.limit(*kept)
    except PermissionError:
        pass


def keep_only_cap_kill() -> None:
    """Give up every capability except CAP_KILL; `capabilities_beyond_kill` tells the result. Raises OSError.

    Where the unit leaves no other capability, nothing is called, so that its filter need not permit capset(2).
    """
    if not capabilities_beyond_kill():
        return
    kept = (prctl.CAP_KILL,) if prctl.cap_permitted.kill else ()
    empty_bounding_set(*kept)
    prctl.cap_inheritable.limit()
    prctl.cap_effective.limit(*kept)
    prctl.cap_permitted.limit(*kept)


def capabilities_beyond_kill() -> dict[str, int]:
    """Each capability set of this process that has more than CAP_KILL in it, with its mask."""
    return {name: mask for name, mask in capability_sets().items() if mask & ~_CAP_KILL}


def capability_sets() -> dict[str, int]:
    """The capability sets of this process: CapInh, CapPrm, CapEff, CapBnd, CapAmb, each a mask (capabilities(7))."""
    with open("/proc/self/status", "rb") as status:
        lines = [line.split() for line in status if line.startswith(b"Cap")]
    return {name.decode().rstrip(":"): int(mask, 16) for name, mask in lines}


def gain_no_privileges() -> None:
    """Set no_new_privs, and not dumpable: no process of the same user can trace this one or read its memory."""
    prctl.set_no_new_privs(1)
    prctl.set_dumpable(0)


def name_process(name: str) -> None:
    """Set comm, the name that ps shows; at most 15 bytes."""
    prctl.set_name(name)


def die_with_parent(signal: int) -> None:
    """Get `signal` when the parent dies. A change of credentials clears this, so call it after that."""
    prctl.set_pdeathsig(signal)
