"""Obstacles that a machine in trouble, or its processes, can create: the kill comes in time, and hits the leak."""

import os
import re
import select
import socket
import time
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest

from tests.support import pair, victims
from tests.support.pair import PERMISSIVE

NAMES = [
    b"a) R 1 (b",
    b") Z 0 0 0 0 0 0",
    b"(",
    b"two\nlines",
    b"esc\x1b[31m\r\t",
    b"\xff\xfe\x80",
    "\U0001f4a5\U0001f4a5\U0001f4a5".encode(),
    "\u202egnp.exe".encode(),
    b"-- 100% %s %n",
]


def test_whatever_processes_call_themselves_each_dies_in_its_turn_and_the_log_stays_whole(crew, place):
    with ExitStack() as stack:
        # In groups of their own, so that they don't die as one family of the test.
        smallest_first = [
            stack.enter_context(crew.victim(20 + 4 * i, name=name, own_group=True)) for i, name in enumerate(NAMES)
        ]
        decoy = stack.enter_context(crew.victim(0, name=b"decoy"))
        bustd = stack.enter_context(
            pair.pair(crew, place, killer={**PERMISSIVE, "rate.burst": 50, "rate.interval_ms": 0})
        )
        bustd.await_line("NOBODY TO KILL")
        assert victims.is_alive(decoy), bustd.log()
        log = bustd.log()
    turns = [str(child.pid) for child in reversed(smallest_first)]
    uid = crew.monitor_uid
    assert (
        re.findall(rf"SIGTERM for (\d+) \(.*\) of uid {uid}, .* decided in \d+ us$", log, re.M)[-len(turns) :] == turns
    )
    assert re.findall(r"signalled SIGTERM to (\d+) \(.*\) for floor$", log, re.M) == turns
    assert all(line.isprintable() for line in log.splitlines())
    stamp_and_program = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d bustd-(killer|monitor): ")
    assert all(stamp_and_program.match(line) for line in log.splitlines())


@contextmanager
def full_pipe():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with closing(os.fdopen(reader, "rb")), closing(os.fdopen(writer, "wb", buffering=0)) as stream:
        while stream.write(bytes(4096)) or stream.write(b"x"):
            pass
        os.set_blocking(writer, True)
        yield writer


@contextmanager
def full_socket():
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        try:
            while writer.send(bytes(4096)) or writer.send(b"x"):
                pass
        except BlockingIOError:
            writer.setblocking(True)
        yield writer.fileno()


@contextmanager
def full_terminal():
    reader, writer = os.openpty()
    os.set_blocking(writer, False)
    try:
        while select.select([], [writer], [], 0.1)[1]:  # the kernel goes on making room for a while
            with suppress(BlockingIOError):
                os.write(writer, b"x" * 64)
        os.set_blocking(writer, True)
        yield writer
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("full", [full_pipe, full_socket, full_terminal])
def test_a_log_without_a_reader_delays_nothing(crew, place, full):
    with full() as stderr, crew.victim(48) as leak, pair.pair(crew, place, stderr=stderr) as bustd:
        started = time.monotonic()
        assert victims.exits_within(leak, 15), "the pair is stuck in its log"
        assert time.monotonic() - started < 3
        assert bustd.stop() == 0


@pytest.mark.parametrize("full", [full_pipe, full_socket, full_terminal])
def test_separate_daemons_are_not_delayed_either(crew, place, full):
    """Here the monitor has no killer that opens its log again for it."""
    rules, policy = PERMISSIVE, {**pair.ALWAYS, "killer.socket": f"{place}/killer.sock"}
    command = [*pair.daemon("bustd_monitor"), *pair.scope()]
    config = pair.write_policy(place / "monitor.toml", policy)
    with full() as stderr, crew.victim(48) as leak, pair.lone_killer(crew, place, rules=rules):
        words = ["--config", str(config), "--killer-config", str(place / "killer.toml")]
        with pair.started([*command, *words], crew.monitor_identity, place / "unused", stderr=stderr):
            assert victims.exits_within(leak, 15), "the monitor is stuck in its log"
