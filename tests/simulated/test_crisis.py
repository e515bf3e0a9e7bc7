"""One crisis end to end, and an hour without one."""

import errno
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pytest

from .files import Files
from .machine import Machine
from .memory import GIB, MIB
from .processes import Plan, ramp, saw
from .running import simulated
from .scenes import assert_dies_alone, furnished

LEAST_SPEED = 30
"""Simulated seconds in one real second: a machine that does much besides still manages that."""


def desktop(ram=8 * GIB, **more) -> Machine:
    machine = furnished(Machine(ram, **more))
    for number in range(20):
        machine.start(Plan(f"idle-{number}", (30 + 20 * number) * ram / 8192))
    return machine


def test_a_leak_beside_idle_programs_dies_and_nothing_else():
    machine = desktop()
    machine.start(Plan("leak", ramp(200 * MIB), busy=0.5, starts_s=5.0, is_culprit=True))
    with simulated(machine) as run:
        run.run(60)
    assert_dies_alone(run, "leak", by_s=25)
    assert machine.least_available > 0.05 * machine.ram


def test_a_leak_that_ignores_sigterm_dies_of_sigkill_at_once():
    machine = desktop()
    machine.start(Plan("leak", ramp(200 * MIB), busy=0.5, starts_s=5.0, term_s=None))
    with simulated(machine) as run:
        run.run(60)
    assert_dies_alone(run, "leak", by_s=30)
    assert machine.deaths[0].cause.endswith("SIGKILL")
    assert machine.deaths[0].at_s < run.killer.asked[0].at_s + 1


def test_without_bustd_the_same_leak_meets_the_kernel():
    machine = desktop()
    machine.start(Plan("leak", ramp(200 * MIB), busy=0.5, starts_s=5.0))
    machine.advance(60)
    assert [death.cause for death in machine.deaths] == ["the kernel"]
    assert machine.least_available == 0


def test_in_a_healthy_hour_nothing_dies_and_a_second_of_it_takes_little_time():
    machine = desktop()
    machine.start(Plan("busy", saw(200 * MIB, 600 * MIB, 7), busy=0.5))
    started_s = time.monotonic()
    with simulated(machine) as run:
        run.run(3600)
    assert run.killed == []
    assert run.killer.asked == []
    assert 3600 / (time.monotonic() - started_s) > LEAST_SPEED


@pytest.mark.parametrize("name", ["memory", "swap"])
def test_bytes_are_neither_lost_nor_made(name):
    """What is resident, cached and free is RAM at any time, and swap holds what was swapped out."""
    machine = desktop(2 * GIB, swap=1 * GIB)
    machine.start(Plan("leak", ramp(100 * MIB), busy=0.5, starts_s=1.0))
    machine.start(Plan("touches", 200 * MIB, files=100 * MIB, busy=0.3, touches=0.2))
    for _ in range(300):
        machine.advance(0.1)
        if name == "memory":
            assert machine.free > 0
            assert all(block.resident >= 0 and block.swapped >= -1 for block in machine.blocks)
        else:
            assert 0 <= machine.swap_used <= machine.swap_total + 1
            assert machine.swap_used <= machine.swapped_out + 1


@contextmanager
def unreadable(number: int, since_s: float, machine: Machine) -> Iterator[None]:
    """From this time on no file of a process can be opened."""
    real = Files._of_process

    def of_process(files: Files, parts: list[str]) -> object:
        if machine.now_s >= since_s and int(parts[0]) > 1:
            raise OSError(number, os.strerror(number))
        return real(files, parts)

    with mock.patch.object(Files, "_of_process", of_process):
        yield


@pytest.mark.parametrize("number", [errno.ENFILE, errno.EACCES])
def test_where_no_process_can_be_read_the_line_says_so_and_why(number):
    machine = desktop(4 * GIB)
    machine.start(Plan("leak", ramp(400 * MIB), busy=0.5, starts_s=2.0))
    with unreadable(number, 0, machine), simulated(machine) as run:
        run.run(15)
    (line,) = (line for _, line in run.said if "NOBODY TO KILL" in line)
    assert re.search(r"NOBODY TO KILL; \d\d processes could not be read: (too many open files|permission denied)", line)


def test_where_the_whole_system_has_no_file_left_both_halves_say_so():
    machine = desktop(4 * GIB)
    machine.start(Plan("leak", ramp(100 * MIB), busy=0.5, starts_s=2.0))
    with unreadable(errno.ENFILE, 12.5, machine), simulated(machine) as run:
        run.run(15)
    assert [asked.answer for asked in run.killer.asked], "what was known of the leak still holds"
    said = "\n".join(line for _, line in run.said)
    assert "processes could not be read: too many open files in the whole system (fs.file-max)" in said
    assert "the killer says kernel (Too many open files in system)" in said
