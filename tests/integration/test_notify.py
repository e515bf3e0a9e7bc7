"""`bustd notify` as a process, with a real bus, a server of the test's own, and events on a real socket."""

import subprocess
from contextlib import contextmanager

import pytest

from tests.support.notifications import (
    PATIENCE_S,
    EventSource,
    FakeServer,
    agent,
    candidate,
    private_bus,
    warning,
)

MEM = 64 * 2**40
"""More than any machine has: with it in a warning, memory is never back."""


@pytest.fixture
def bus():
    with private_bus() as address:
        yield address


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "bustd"
    folder.mkdir(mode=0o755)
    with EventSource(folder / "events") as listening:
        yield listening


@pytest.fixture
def victim():
    """A process that the test may lose."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        if process.poll() is None:
            process.kill()


@contextmanager
def session(bus, source, tmp_path, **server):
    """An agent that listens, and its server."""
    with FakeServer(bus, **server) as shows, agent(bus, source.path, tmp_path) as running:
        source.accept()
        yield shows, running


def test_a_button_ends_the_very_process_that_it_names(bus, source, tmp_path, victim):
    with session(bus, source, tmp_path) as (server, _):
        source.tell(warning(candidate(victim.pid, b"leak <b>"), available=MEM))
        shown = server.next()
        assert (shown.summary, shown.urgency) == ("Memory is running out", 2)
        assert "leak &lt;b&gt;" in shown.body
        assert list(shown.buttons) == ["End leak <b>"]
        server.press(shown.note_id, shown.buttons["End leak <b>"])
        assert victim.wait(PATIENCE_S) == -15
        assert "was asked to end" in server.next().body
