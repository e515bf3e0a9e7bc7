"""What reads the monitor's socket, and what it says where there is nothing to read."""

import os
import socket

import pytest

from bustd_monitor.cli.events_socket import NoEvents, read_events
from bustd_monitor.reporting.events import READY, STARTED, Told
from tests.support.speaking import packet, speaking

BOTH = [packet(Told(STARTED, ""), "one\ntwo", 5), packet(Told(READY, "", (("X", b"\xff"),)), "ready", 6)]


def test_events_are_read_in_their_order_until_the_monitor_hangs_up(tmp_path):
    with speaking(tmp_path / "events", BOTH):
        read = list(read_events(str(tmp_path / "events")))
    assert [(one.kind, one.message, one.time_us) for one in read] == [(STARTED, "one\ntwo", 5), (READY, "ready", 6)]
    assert read[1].own("X") == "\\xff"


def test_with_a_timeout_it_ends_when_no_more_come(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "events"))
        listener.listen(1)
        read = read_events(str(tmp_path / "events"), 0.01)
        assert list(read) == []


@pytest.mark.parametrize("said", [b"nonsense", b"A=1\n\nB=2\n", b"\n", b"A=no end"])
def test_what_is_no_entry_is_said(tmp_path, said):
    with speaking(tmp_path / "events", [said]), pytest.raises(NoEvents, match=f"{tmp_path}/events does not send"):
        list(read_events(str(tmp_path / "events")))


def why(path) -> str:
    with pytest.raises(NoEvents) as caught:
        list(read_events(str(path)))
    return str(caught.value)


def test_why_there_is_nothing_to_read_is_said_in_words(tmp_path):
    path = tmp_path / "events"
    assert why(path).startswith(f"{path} does not exist: bustd does not run (systemctl status bustd-monitor)")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as ended:
        ended.bind(str(path))
    assert why(path) == f"nothing answers at {path}: bustd has ended (systemctl status bustd-monitor)"
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(path))
        other.listen()
        assert why(path) == f"what answers at {path} is another program"
    assert "AF_UNIX path too long" in why(tmp_path / ("x" * 200))


@pytest.mark.root
def test_a_socket_that_may_not_be_opened_is_said(tmp_path, monkeypatch):
    from tests.unit.shared.forked import in_child

    path = tmp_path / "events"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as closed:
        closed.bind(str(path))
        closed.listen()
        for above in (path.parent, *path.parent.parents):
            if not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o711)
        path.chmod(0o600)

        def as_nobody() -> str:
            os.setuid(65534)
            return why(path)

        assert in_child(as_nobody).startswith(f"this user may not connect to {path}, although everybody may")
