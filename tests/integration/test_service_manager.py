"""The real monitor under a fake service manager: what it reports, when, and what it does not report."""

import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import install, pair
from tests.support.pair import NEVER

INTERVAL_S = 0.8
SLEEPY = {**NEVER, "sleep.longest_ms": 600_000, "sleep.fill_mib_per_second": 1}
"""bustd.toml: no condition ever fires, and every sleep lasts for minutes."""

WRAPPER = "import os, sys; os.environ['WATCHDOG_PID'] = str(os.getpid()); os.execv(sys.argv[1], sys.argv[1:])"
PATIENCE_S = 20


class Manager:
    """The socket that receives the monitor's datagrams."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        path.chmod(0o666)

    def hears(self, seconds: float = PATIENCE_S) -> list[str]:
        """The lines of the next datagram; none if none arrives in time."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return []
        return self.socket.recv(4096).decode().split("\n")

    def hears_news(self) -> list[str]:
        """The lines of the next datagram that is more than a sign of life."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if news := [line for line in self.hears() if line != "WATCHDOG=1"]:
                return news
        raise AssertionError("the monitor says nothing")


@contextmanager
def managed(crew, place) -> Iterator[tuple[Manager, pair.Running]]:
    """A monitor for `lone_killer`, started as systemd would start it, with a watchdog."""
    manager = Manager(place / "notify")
    policy = {"killer.socket": f"{place}/killer.sock", **SLEEPY}
    words = ["--config", str(pair.write_policy(place / "monitor.toml", policy)), *pair.scope()]
    words += ["--killer-config", str(pair.write_policy(place / "advice.toml", {}))]
    if not crew.is_root:
        words += ["--only-uid", str(crew.monitor_uid)]
    environment = {
        "PATH": os.defpath,
        "NOTIFY_SOCKET": str(manager.path),
        "WATCHDOG_USEC": str(int(INTERVAL_S * 1_000_000)),
    }
    command = [install.python(), "-I", "-c", WRAPPER, *pair.daemon("bustd_monitor"), *words]
    with (
        manager.socket,
        pair.started(command, crew.monitor_identity, place / "monitor.log", env=environment) as running,
    ):
        yield manager, running


def test_it_is_ready_without_a_killer_and_tells_as_one_comes_and_goes(crew, place):
    missing = f"NOT PROTECTED: no connection to the killer ({place}/killer.sock: No such file or directory)"
    with managed(crew, place) as (manager, monitor):
        assert manager.hears() == ["READY=1", f"STATUS={missing}", "WATCHDOG=1"]
        with pair.lone_killer(crew, place) as killer:
            assert manager.hears_news() == [f"STATUS=watching; the killer {killer.pid} answers"]
            os.kill(killer.pid, signal.SIGKILL)
            assert killer.ends() == -signal.SIGKILL
            assert manager.hears_news()[0].startswith("STATUS=NOT PROTECTED: no connection to the killer (")
        assert monitor.stop() == 0
        while (news := manager.hears_news())[0] != "STOPPING=1":
            assert "answers" not in news[0]


def test_a_monitor_that_is_stopped_feeds_no_watchdog_and_one_that_sleeps_does(crew, place):
    with pair.lone_killer(crew, place), managed(crew, place) as (manager, monitor):
        monitor.await_line("connected to the killer")
        assert [manager.hears() for _ in range(6)][3:] == [["WATCHDOG=1"]] * 3
        os.kill(monitor.pid, signal.SIGSTOP)
        while manager.hears(INTERVAL_S / 4):
            pass
        assert manager.hears(2 * INTERVAL_S) == []
        os.kill(monitor.pid, signal.SIGCONT)
        assert manager.hears() == ["WATCHDOG=1"]
