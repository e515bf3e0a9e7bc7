"""Other daemons of this kind, found in a tree of /proc."""

from __future__ import annotations

import pytest

from bustd_monitor.cli.daemons_running import Daemon, daemons_running
from tests.fakes.procfs import FakeProc


@pytest.fixture
def proc(tmp_path) -> FakeProc:
    tree = FakeProc(tmp_path)
    tree.process(1, b"systemd", uid=0)
    tree.write("uptime", b"1 1\n")
    return tree


def test_a_machine_without_any_has_none(proc):
    assert daemons_running(proc.path) == ((), ())


@pytest.mark.parametrize(
    ("comm", "uid", "name"),
    [
        (b"earlyoom", 62_000, "earlyoom"),
        (b"nohang", 0, "nohang"),
        (b"systemd-oomd", 998, "systemd-oomd"),
        (b"low-memory-moni", 0, "low-memory-monitor"),
        (b"oomd", 0, "oomd"),
    ],
)
def test_a_daemon_of_another_project_is_found_by_its_name(proc, comm, uid, name):
    proc.process(50, comm, uid=uid)
    assert daemons_running(proc.path).others == (Daemon(name, 50),)


@pytest.mark.parametrize("uid", [1000, 61_183, 65_520])
def test_a_user_who_calls_a_program_so_warns_of_nothing(proc, uid):
    proc.process(50, b"earlyoom", uid=uid)
    proc.process(51, b"bustd-monitor", uid=uid)
    assert daemons_running(proc.path) == ((), ())


def test_the_dead_and_kernel_threads_by_other_names_do_not_count(proc):
    proc.process(50, b"earlyoom", uid=0, state=b"Z")
    proc.process(51, b"kswapd0", uid=0)
    assert daemons_running(proc.path) == ((), ())


def test_every_monitor_is_found(proc):
    proc.process(60, b"bustd-monitor", uid=996)
    proc.process(9, b"bustd-monitor", uid=0)
    assert daemons_running(proc.path).monitors == (9, 60)


@pytest.mark.parametrize(
    ("command", "is_the_original"),
    [
        (b"/usr/bin/bustd\0", True),
        (b"bustd\0-n\0", True),
        (b"/usr/bin/python3\0-I\0/usr/bin/bustd\0watch\0", False),
        (b"", False),
    ],
)
def test_our_own_command_is_not_taken_for_the_original(proc, command, is_the_original):
    proc.process(70, b"bustd", uid=0, command=command)
    assert [other.name for other in daemons_running(proc.path).others] == ["the original bustd"] * is_the_original


def test_a_process_that_ends_meanwhile_is_no_trouble(proc):
    proc.process(80, b"earlyoom", uid=0)
    proc.remove("80/status")
    assert daemons_running(proc.path) == ((), ())
