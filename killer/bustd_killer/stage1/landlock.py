"""What the kernel refuses both halves of the standalone pair from now on, through an execve and for ever: landlock(7).

A right that is handled by a ruleset is refused wherever no rule permits it. LANDLOCK_SCOPE_SIGNAL is for the monitor
alone: in the killer it would make every kill EPERM. Moving a file between directories is refused by every ruleset.
"""

from __future__ import annotations

import os
import struct
import sys

from bustd_shared.daemon.record import NamedTuple

from . import libc, proc_mount

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

_EXECUTE, _WRITE_FILE, _TRUNCATE, _IOCTL_DEV = 1 << 0, 1 << 1, 1 << 14, 1 << 15
_REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_SOCKET, _SCOPE_SIGNAL = 1 << 0, 1 << 1

_PT_INTERP = 3


class Denial(NamedTuple):
    """What is denied: in words, the Landlock ABI and the Linux that first can, and the bits of each kind of right."""

    words: str
    abi: int
    linux: str
    files: int = 0
    network: int = 0
    scope: int = 0


_EXECUTIONS = Denial("executions of anything but Python", 1, "5.13", files=_EXECUTE)
_OF_BOTH = (
    Denial("writes to the file system", 1, "5.13", files=_WRITE_FILE | _REMOVE_AND_MAKE),
    Denial("truncation of files", 3, "6.2", files=_TRUNCATE),
    Denial("TCP", 4, "6.7", network=_BIND_TCP | _CONNECT_TCP),
    Denial("ioctl on devices", 5, "6.10", files=_IOCTL_DEV),
    Denial("abstract sockets of others", 6, "6.12", scope=_SCOPE_ABSTRACT_SOCKET),
)
_SIGNALS = Denial("signals to others", 6, "6.12", scope=_SCOPE_SIGNAL)


def confine_killer(executable: str = sys.executable) -> str:
    """Deny the killer all but reading, signals, and executing this Python; returns what became of it, for the log.

    Needs no_new_privs. Raises OSError if the kernel has Landlock and refuses.
    """
    return _confine(_OF_BOTH, executable, ())


def confine_monitor(executable: str = sys.executable) -> str:
    """As `confine_killer`, and signals to every process that was not started after this; to be called by the monitor.

    It may still execute itself, and write its own name: /proc/self/comm.
    """
    return _confine((*_OF_BOTH, _SIGNALS), executable, ("/proc/self/comm",))


def abi_version() -> int:
    """What this kernel's Landlock can do: 1 (Linux 5.13) and more. Raises OSError where it has none, or it is off."""
    return libc.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)


def programs(executable: str) -> tuple[str, ...]:
    """What the kernel opens to execute it: the file itself, and the loader that it names. OSError, or ValueError.

    Shared libraries are mapped, not executed, and need no right.
    """
    program = os.path.realpath(executable)
    named = loader(program)
    return (program, os.path.realpath(named)) if named else (program,)


def loader(program: str) -> str:
    """PT_INTERP of an ELF program (elf(5)), "" if it is static. Raises OSError, or ValueError if it is not ELF."""
    with open(program, "rb") as file:
        header = file.read(64)
        if header[:4] != b"\x7fELF" or len(header) < 64:
            raise ValueError(f"{program} is not an ELF program")
        order, is_64_bit = "<" if header[5] == 1 else ">", header[4] == 2
        (table,) = (
            struct.unpack_from(order + "Q", header, 32) if is_64_bit else struct.unpack_from(order + "I", header, 28)
        )
        size, count = struct.unpack_from(order + "HH", header, 54 if is_64_bit else 42)
        for index in range(count):
            file.seek(table + index * size)
            entry = struct.unpack(order + ("IIQQQQ" if is_64_bit else "IIIII"), file.read(40 if is_64_bit else 20))
            kind, offset, length = (entry[0], entry[2], entry[5]) if is_64_bit else (entry[0], entry[1], entry[4])
            if kind == _PT_INTERP:
                file.seek(offset)
                return os.fsdecode(file.read(length).rstrip(b"\0"))
    return ""


def _confine(denials: tuple[Denial, ...], executable: str, writable: tuple[str, ...]) -> str:
    try:
        abi = abi_version()
    except OSError as error:
        # the kernel lacks it, or the filter of a container refuses it
        return f"no Landlock here ({error.strerror}), see THREATS.md"
    # A process under Landlock may not trace one that is not under the same, and hidepid shows what may be traced.
    if proc_mount.of_this_process().hides_from(proc_mount.own_groups()):
        return "no Landlock: /proc has hidepid, and would hide this user's own processes too, see THREATS.md"
    permitted = [(path, (_WRITE_FILE | _TRUNCATE)) for path in writable]
    impossible = []
    try:
        permitted += [(path, _EXECUTE) for path in programs(executable)]
        denials = (_EXECUTIONS, *denials)
    except (OSError, ValueError) as error:
        impossible.append(f"{_EXECUTIONS.words} ({error})")
    possible = [denial for denial in denials if denial.abi <= abi]
    impossible += [f"{denial.words} (Linux {denial.linux} can)" for denial in denials if denial.abi > abi]
    _restrict(possible, permitted)
    lacking = f"; it can't deny {', '.join(impossible)}" if impossible else ""
    return f"Landlock denies {', '.join(denial.words for denial in possible)}{lacking}"


def _restrict(denials: list[Denial], permitted: list[tuple[str, int]]) -> None:
    """Make the ruleset and put this process under it. Raises OSError."""
    files = network = scope = 0
    for denial in denials:
        files, network, scope = files | denial.files, network | denial.network, scope | denial.scope
    ruleset = libc.syscall(_CREATE_RULESET, struct.pack("=QQQ", files, network, scope), 24, 0)
    try:
        for path, rights in permitted:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", rights & files, opened), 0)
            finally:
                os.close(opened)
        libc.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
