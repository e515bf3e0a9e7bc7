"""The filters of system calls of the standalone pair (seccomp(2)): to each half, no call but those that its unit lists.

Under systemd the units have their own. What is not permitted is EPERM, as there; clone3, whose flags no filter can
see, and what is newer than every call in the table are ENOSYS, after which the C library does without them.
"""

from __future__ import annotations

import errno
import os
import struct

from bustd_shared.daemon.record import NamedTuple

from . import libc
from .system_calls import AUDIT_ARCH, NUMBERS


def _names(*lines: str) -> frozenset[str]:
    return frozenset(name for line in lines for name in line.split())


_OF_BOTH = _names(
    # the interpreter
    "access arch_prctl brk close dup dup2 execve exit exit_group faccessat faccessat2 fcntl fstat futex getcwd getegid",
    "geteuid getgid getpid getppid getrandom gettid getuid ioctl lseek lstat madvise mmap mprotect mremap munmap",
    "newfstatat open openat pread64 prlimit64 read readlink readlinkat restart_syscall rseq rt_sigaction",
    "rt_sigprocmask rt_sigreturn sched_getaffinity set_robust_list set_tid_address sigaltstack stat statx sysinfo",
    "uname write writev",
    # the child that parses the configuration; the monitor's thread
    "clone clone3 fork pipe pipe2 wait4 waitid",
    # what systemd permits to every unit by itself (systemd.exec(5), SystemCallFilter=): time, sleep, limits
    "clock_getres clock_gettime clock_nanosleep getrlimit gettimeofday membarrier nanosleep sched_yield time",
    # locked memory, /proc, one connection
    "mlockall getdents64 poll ppoll getsockname getsockopt recvmsg sendto pidfd_open",
    # a socket that is made for it: the monitor's peer, the readers of events
    "accept accept4",
    # the end of a wait in the kernel
    "setitimer",
)
KILLER = _OF_BOTH | _names(
    "capget landlock_add_rule landlock_create_ruleset landlock_restrict_self pause pidfd_send_signal prctl",
)
MONITOR = _OF_BOTH | _names("connect fgetxattr getxattr lgetxattr process_mrelease shutdown socket statfs")


class Condition(NamedTuple):
    """A call is permitted where `argument` & `mask` is one of `values`, or where it is none of them.

    Only the lower 32 bits are compared: of the arguments that are named below the kernel looks at no others.
    """

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    one_of: bool = True


_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET (linux/sched.h)."""

_PROT_WRITE, _PROT_EXEC = 2, 4
_AF_UNIX = 1
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15
_TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP = 0x5412, 0x541C, 0x8901, 0x8902
_WRITE_AND_EXECUTE = _PROT_WRITE | _PROT_EXEC

CONDITIONS: dict[str, tuple[Condition, ...]] = {
    "clone": (Condition(0, (0,), _NAMESPACES),),
    "mmap": (Condition(2, (_WRITE_AND_EXECUTE,), _WRITE_AND_EXECUTE, one_of=False),),
    "mprotect": (Condition(2, (0,), _PROT_EXEC),),
    "socket": (Condition(0, (_AF_UNIX,)),),
    # signal 0, which asks whether it lives; SIGKILL, SIGTERM, SIGCONT; no flags: one widens it to the process group
    "pidfd_send_signal": (Condition(1, (0, 9, 15, 18)), Condition(3, (0,))),
    # other ways to a signal: the owner of a descriptor, the input of a terminal, a limit on another process' time
    "fcntl": (Condition(1, (_F_SETOWN, _F_SETSIG, _F_SETOWN_EX), one_of=False),),
    "ioctl": (Condition(1, (_TIOCSTI, _TIOCLINUX, _FIOSETOWN, _SIOCSPGRP), one_of=False),),
    "prlimit64": (Condition(0, (0,)),),
}
"""What a filter can see of the arguments, where the name alone permits too much."""

_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06
_IF_EQUAL, _IF_GREATER, _IF_AT_LEAST = 0x15, 0x25, 0x35
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
"""struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6]."""

_X32 = 0x40000000
"""x86_64 with this bit in the number is another table of calls."""

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
ALLOWED, FORBIDDEN, UNKNOWN = _ALLOW, _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS


def filter_killer() -> str:
    """From now on and through an execve only the calls in KILLER; returns what became of it, for the log.

    Needs no_new_privs. A kernel or an architecture without such filters is only said.
    """
    return _install(KILLER)


def filter_monitor() -> str:
    """As `filter_killer`, with MONITOR: no call in it sends a signal to another process."""
    return _install(MONITOR)


def assemble(names: frozenset[str], machine: str) -> list[tuple[int, int, int, int]]:
    """The program as (code, jump if true, jump if false, operand): linux/filter.h's `struct sock_filter`."""
    numbers, forbid, permit = NUMBERS[machine], (_RETURN, 0, 0, FORBIDDEN), (_RETURN, 0, 0, ALLOWED)
    program = [
        *((_LOAD, 0, 0, _ARCHITECTURE_AT), (_IF_EQUAL, 1, 0, AUDIT_ARCH[machine]), forbid),
        *((_LOAD, 0, 0, _NUMBER_AT), (_IF_AT_LEAST, 0, 1, _X32), forbid),
        *((_IF_GREATER, 0, 1, max(numbers.values())), (_RETURN, 0, 0, UNKNOWN)),
    ]
    for name, number in numbers.items():
        if name in names:
            body = [(_RETURN, 0, 0, UNKNOWN)] if name == "clone3" else [*_judge(CONDITIONS.get(name, ())), permit]
            program += [(_IF_EQUAL, 0, len(body), number), *body]
    return [*program, forbid]


def _judge(conditions: tuple[Condition, ...]) -> list[tuple[int, int, int, int]]:
    """Goes on behind its end where all hold, and returns FORBIDDEN where one does not."""
    program = []
    for condition in conditions:
        program += [(_LOAD, 0, 0, _ARGUMENTS_AT + 8 * condition.argument), (_AND, 0, 0, condition.mask)]
        for left, value in zip(reversed(range(len(condition.values))), condition.values, strict=True):
            found, missed = (left + 1, 0) if condition.one_of else (left, 0 if left else 1)
            program.append((_IF_EQUAL, found, missed, value))
        program.append((_RETURN, 0, 0, FORBIDDEN))
    return program


def _install(names: frozenset[str]) -> str:
    machine = os.uname().machine
    if machine not in NUMBERS or struct.calcsize("P") != 8:
        return f"no filter of system calls for {machine} ({8 * struct.calcsize('P')} bits), see THREATS.md"
    program = assemble(names, machine)
    try:
        libc.filter_system_calls(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    except OSError as error:
        return f"no filter of system calls on this kernel ({error.strerror}), see THREATS.md"
    return f"seccomp permits {len(names & NUMBERS[machine].keys())} system calls"
