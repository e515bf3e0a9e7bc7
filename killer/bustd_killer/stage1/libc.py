"""The system calls of stage 1 that neither Python nor python-prctl has. They end with it: nothing here is resident."""

from __future__ import annotations

import ctypes
import os
import struct

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2

_libc = ctypes.CDLL(None, use_errno=True)


def syscall(number: int, *arguments: int | bytes | None) -> int:
    """syscall(2); bytes are passed as a pointer to memory that the kernel only reads. Raises OSError."""
    return _checked(_libc.syscall(ctypes.c_long(number), *map(_as_c, arguments)))


def prctl(option: int, *arguments: int) -> int:
    """prctl(2), with zeros for what is not given: several options demand them. Raises OSError."""
    words = [ctypes.c_ulong(word) for word in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(_libc.prctl(ctypes.c_int(option), *words))


def filter_system_calls(program: bytes) -> None:
    """seccomp(2) with a program of `struct sock_filter`s of 8 bytes; needs no_new_privs. Raises OSError."""
    memory = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(memory)))
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header))


def _as_c(argument: int | bytes | None) -> ctypes.c_long | bytes | None:
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
