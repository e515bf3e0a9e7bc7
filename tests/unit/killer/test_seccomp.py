"""The filters of system calls as programs, for each architecture; test_seccomp_kernel.py has them on this kernel."""

import errno
import os
import re
import signal
import socket
import subprocess
from fcntl import F_GETFL, F_SETFL, F_SETOWN, F_SETSIG
from pathlib import Path

import pytest

from bustd_killer.stage1 import seccomp
from bustd_killer.stage1.seccomp import ALLOWED, FORBIDDEN, KILLER, MONITOR, UNKNOWN
from bustd_killer.stage1.system_calls import AUDIT_ARCH, NUMBERS
from tests.unit.killer.bpf import verdict
from tests.unit.killer.forbidden_calls import POWERFUL, SIGNALLING

UNITS = Path(__file__).resolve().parents[3] / "packaging/systemd"

ONLY_32_BIT = {
    "_llseek",
    "fcntl64",
    "fstat64",
    "fstatat64",
    "futex_time64",
    "mmap2",
    "ppoll_time64",
    "stat64",
    "statfs64",
}
ADDED_BY_SYSTEMD = {
    *("clock_getres", "clock_gettime", "clock_nanosleep", "getrlimit", "gettimeofday", "membarrier", "nanosleep"),
    *("sched_yield", "time"),
}
"""Of its group @default, which it adds to the list of every unit."""

machines = pytest.mark.parametrize("machine", AUDIT_ARCH)
halves = pytest.mark.parametrize("names", [KILLER, MONITOR], ids=["the killer", "the monitor"])


def judge(names: frozenset[str], machine: str, number: int, *arguments: int) -> int:
    return verdict(seccomp.assemble(names, machine), AUDIT_ARCH[machine], number, *arguments)


# The lists


def listed(unit: str) -> set[str]:
    text = (UNITS / f"{unit}.service.in").read_text().replace("\\\n", " ")
    lines = [
        line.removeprefix("SystemCallFilter=") for line in text.splitlines() if line.startswith("SystemCallFilter=")
    ]
    return {name for line in lines for name in line.split()}


@pytest.mark.parametrize(("unit", "names"), [("bustd-killer", KILLER), ("bustd-monitor", MONITOR)])
def test_the_list_of_each_half_is_that_of_its_unit(unit, names):
    expected = listed(unit) - ONLY_32_BIT | ADDED_BY_SYSTEMD
    assert names == expected


def test_every_name_has_a_number_and_every_number_a_user():
    known = {name for numbers in NUMBERS.values() for name in numbers}
    assert known == KILLER | MONITOR
    assert set(seccomp.CONDITIONS) <= known
    for machine, numbers in NUMBERS.items():
        assert len(set(numbers.values())) == len(numbers), machine


@machines
def test_the_numbers_are_those_of_the_kernels_headers(machine):
    header, wish = (
        ("asm/unistd_64.h", []) if machine == "x86_64" else ("asm-generic/unistd.h", ["NEW_STAT", "TIME32_SYSCALLS"])
    )
    wish = [f"-D__ARCH_WANT_{name}" for name in (*wish, "SET_GET_RLIMIT", "SYS_CLONE3")]
    try:
        ran = subprocess.run(
            ["cc", "-E", "-dM", *wish, "-"], input=f"#include <{header}>", capture_output=True, text=True, check=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip(f"no C compiler, or no {header}")
    defined = dict(re.findall(r"#define __NR_?(\w+) (\S+)", ran.stdout))
    defined = {name: defined.get(number.removeprefix("__NR"), number) for name, number in defined.items()}
    expected = {name: int(defined[name]) for name in KILLER | MONITOR if name in defined}
    assert NUMBERS[machine] == expected
    for name, number in {**SIGNALLING[machine], **POWERFUL[machine]}.items():
        assert int(defined[name]) == number


# The programs


@machines
@halves
def test_what_is_listed_is_permitted_and_no_other_number_is(names, machine):
    program, numbers = seccomp.assemble(names, machine), NUMBERS[machine]
    # Zeros satisfy every condition but that on the family of a socket, which is AF_UNIX.
    zeros = {number for number in range(1000) if verdict(program, AUDIT_ARCH[machine], number) == ALLOWED}
    ones = {numbers["socket"]} if verdict(program, AUDIT_ARCH[machine], numbers["socket"], 1) == ALLOWED else set()
    assert zeros | ones == {numbers[name] for name in names - {"clone3"} if name in numbers}


@machines
@halves
def test_what_is_not_listed_is_eperm_and_what_is_newer_than_the_table_is_enosys(names, machine):
    program = seccomp.assemble(names, machine)
    newest = max(NUMBERS[machine].values())
    assert verdict(program, AUDIT_ARCH[machine], newest + 1) == verdict(program, AUDIT_ARCH[machine], 1000) == UNKNOWN
    assert verdict(program, AUDIT_ARCH[machine], -1) == FORBIDDEN
    for number in {*SIGNALLING[machine].values(), *POWERFUL[machine].values()} - {424}:
        assert verdict(program, AUDIT_ARCH[machine], number) == FORBIDDEN
    assert (FORBIDDEN & 0xFFFF, UNKNOWN & 0xFFFF) == (errno.EPERM, errno.ENOSYS)
    assert FORBIDDEN & ~0xFFFF == UNKNOWN & ~0xFFFF == 0x00050000


@machines
@halves
def test_no_call_of_another_architecture_or_of_x32_is_permitted(names, machine):
    program = seccomp.assemble(names, machine)
    for other in {*AUDIT_ARCH.values(), 0x40000003, 0x40000028, 0xB7, 0} - {AUDIT_ARCH[machine]}:
        assert {verdict(program, other, number) for number in range(600)} == {FORBIDDEN}
    assert {verdict(program, AUDIT_ARCH[machine], 0x40000000 | number) for number in range(600)} == {FORBIDDEN}


@machines
def test_the_monitor_has_no_call_that_signals_and_the_killer_one(machine):
    for name, number in SIGNALLING[machine].items():
        for argument in (0, 9, 15):
            assert judge(MONITOR, machine, number, 1, argument) == FORBIDDEN, name
            assert (judge(KILLER, machine, number, 1, argument) == ALLOWED) == (name == "pidfd_send_signal")


@machines
def test_the_killers_signals_are_four_and_take_no_flags(machine):
    number = NUMBERS[machine]["pidfd_send_signal"]
    permitted = {sent for sent in range(-1, 66) if judge(KILLER, machine, number, 5, sent, 0, 0) == ALLOWED}
    assert permitted == {0, signal.SIGKILL, signal.SIGTERM, signal.SIGCONT}
    assert {judge(KILLER, machine, number, 5, 9, 0, flags) for flags in (1, 2, 4, 0x80000000)} == {FORBIDDEN}


@machines
@halves
@pytest.mark.parametrize(
    ("name", "permitted", "forbidden"),
    [
        ("clone", [(0x11,), (0x3D0F00,), (0x1200011,)], [(0x11 | 1 << bit,) for bit in (17, *range(25, 31))]),
        ("mmap", [(0, 1, prot) for prot in range(6)], [(0, 1, 6), (0, 1, 7)]),
        ("mprotect", [(0, 1, prot) for prot in range(4)], [(0, 1, prot) for prot in (4, 5, 6, 7)]),
        ("prlimit64", [(0, 7)], [(1, 7), (os.getpid(), 7), (-1, 7)]),
        ("fcntl", [(2, F_GETFL), (2, F_SETFL), (2, 1030)], [(2, F_SETOWN), (2, F_SETSIG), (2, 15)]),
        ("ioctl", [(2, 0x5401), (2, 0x5421), (2, 0x5451)], [(2, 0x5412), (2, 0x541C), (2, 0x8901), (2, 0x8902)]),
    ],
)  # fmt: skip
def test_arguments_are_judged_where_the_name_permits_too_much(names, machine, name, permitted, forbidden):
    number = NUMBERS[machine][name]
    assert {judge(names, machine, number, *arguments) for arguments in permitted} == {ALLOWED}
    assert {judge(names, machine, number, *arguments) for arguments in forbidden} == {FORBIDDEN}
    # The kernel looks at the lower half alone, and so must the filter.
    assert {judge(names, machine, number, *(a | 1 << 32 for a in words)) for words in forbidden} == {FORBIDDEN}


@machines
def test_the_monitor_makes_local_sockets_alone(machine):
    number = NUMBERS[machine]["socket"]
    assert {family for family in range(50) if judge(MONITOR, machine, number, family, 1) == ALLOWED} == {socket.AF_UNIX}
    assert judge(KILLER, machine, number, socket.AF_UNIX, 1) == FORBIDDEN


@machines
@halves
def test_clone3_whose_flags_no_filter_sees_is_unknown_as_before_linux_5_3(names, machine):
    assert judge(names, machine, NUMBERS[machine]["clone3"]) == UNKNOWN


def test_the_killer_can_make_no_call_that_waits_for_what_a_victim_holds():
    """process_mrelease(2) waits for the victim's memory lock, which a FUSE file system can hold for ever."""
    assert "process_mrelease" not in seccomp.KILLER
    assert "process_mrelease" in seccomp.MONITOR
