"""What the host makes of a guest's words, and of its silence: a real process, a real socket, no QEMU."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.vm.qemu import Hung, Machine


@contextmanager
def machine(tmp_path) -> Iterator[tuple[Machine, socket.socket]]:
    (tmp_path / "console").write_text("kernel: all is well\nkernel: panic\n")
    ours, theirs = socket.socketpair()
    with ours, theirs, subprocess.Popen(["sleep", "600"]) as process:
        try:
            yield Machine(process, ours, tmp_path / "console"), theirs
        finally:
            process.kill()


def say(port: socket.socket, **what: object) -> None:
    port.sendall(json.dumps(what).encode() + b"\n")


def test_reports_come_in_order_until_the_guest_is_done(tmp_path):
    with machine(tmp_path) as (guest, port):
        say(port, kind="start", name="one", seconds=60)
        say(port, kind="report", name="one", report={"faults": []})
        say(port, kind="report", name="two", report={"faults": ["no"]})
        say(port, kind="done")
        assert list(guest.reports()) == [("one", {"faults": []}), ("two", {"faults": ["no"]})]


def test_a_step_that_does_not_end_in_its_time_is_a_hang_with_the_console(tmp_path):
    with machine(tmp_path) as (guest, port):
        say(port, kind="start", name="fast-leak", seconds=0)
        with pytest.raises(Hung, match="fast-leak: it took too long") as caught:
            list(guest.reports())
    assert caught.value.step == "fast-leak"
    assert "kernel: panic" in caught.value.console


def test_a_machine_that_ends_by_itself_is_a_hang_too(tmp_path):
    with machine(tmp_path) as (guest, port):
        say(port, kind="start", name="one", seconds=60)
        port.close()
        guest._process.kill()
        with pytest.raises(Hung, match=r"one: the machine ended \(status -9\)"):
            list(guest.reports())


def test_a_runner_that_breaks_says_why(tmp_path):
    with machine(tmp_path) as (guest, port):
        say(port, kind="broken", why="OSError: mlockall")
        with pytest.raises(Hung, match="boot: OSError: mlockall"):
            list(guest.reports())
