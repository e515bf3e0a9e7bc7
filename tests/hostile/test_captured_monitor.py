"""A captured monitor of the pair: in its very process it tries to reach root's terminal, log and files. THREATS.md."""

import fcntl
import os
import re
import select
import socket
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bustd_killer.monitor_log import LINES_PER_SECOND
from bustd_killer.stage1 import landlock
from tests.support import install, pair, victims
from tests.support.place import place_for_all

pytestmark = [pytest.mark.root, pytest.mark.attack("a captured monitor")]

THREATS = Path(__file__).parents[2] / "killer" / "THREATS.md"
ATTACKER = Path(__file__).with_name("captured_monitor.py").read_text()
FLOOD_S = 4.0
MOST_CPU = 0.02
LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d bustd-(killer|monitor): (.*)$")


@contextmanager
def captured(
    place: Path, what: str, terminal: int | None = None, more: dict[str, object] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`bustd -n` with that program for a monitor; on a terminal, or with files of root's for a log and an output.

    `more`: what there is to attack beside these.
    """
    log, output = place / "root's log", place / "root's output"
    output.write_text("precious\n")
    for path in (log, output):
        path.touch(0o600)
    name = os.ttyname(terminal) if terminal is not None else ""
    plan = {"what": what, "place": str(place), "log": str(log), "terminal": name, **(more or {})}
    program = ATTACKER.replace("PLAN = {}", f"PLAN = {plan!r}")
    with (
        pair.planted({"bustd_monitor/start.py": f"\n{program}"}) as python,
        log.open("ab") as error,
        output.open("ab") as out,
    ):
        words = ["--no-daemon", *pair.files(place, pair.NEVER, pair.PERMISSIVE), *pair.scope(), "--user", "nobody"]
        command = [python, *install.bustd(*words)[1:]]
        if terminal is None:
            how = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": error}
        else:
            how = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
            how["preexec_fn"] = lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
        process = subprocess.Popen(command, start_new_session=True, cwd="/", env={"PATH": os.defpath}, **how)
        try:
            yield process
        finally:
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
            assert pair.end_session(process.pid) == []


def read_to_the_end(terminal: int) -> str:
    """What is shown on a terminal until no process has its other side open."""
    shown = b""
    with suppress(OSError):  # EIO is its end
        while select.select([terminal], [], [], 20)[0]:
            shown += os.read(terminal, 65536)
    return shown.decode().replace("\r\n", "\n")


def attempts(log: str, where: str = "OF_ROOTS") -> dict[str, str]:
    """What became of each."""
    found = dict(re.findall(r"bustd-monitor: attempt: (.*): (\S+)$", log, re.MULTILINE))
    (tried,) = re.findall(rf"^{where} = {{\n(.*?)^}}$", ATTACKER, re.MULTILINE | re.DOTALL)
    assert len(found) == len(re.findall(r"^    \"[^\"]+\": ", tried, re.MULTILINE)), log
    return found


def test_it_holds_nothing_of_the_terminal_that_root_started_bustd_on(place: Path) -> None:
    ours, theirs = os.openpty()
    try:
        with captured(place, "root's terminal and files", theirs) as process:
            os.close(theirs)
            os.write(ours, b"typed by root\n")
            shown = read_to_the_end(ours)
            assert process.wait(20) == 70
    finally:
        os.close(ours)
    outcomes = attempts(shown)
    assert {name for name, outcome in outcomes.items() if outcome == "done"} == set()
    assert outcomes["open /dev/tty"] == "ENXIO", "it has no controlling terminal"
    assert outcomes["hold root's terminal"] == "ENOTTY"


def test_it_can_not_touch_roots_log_or_output_but_by_lines_of_its_own(place: Path) -> None:
    with captured(place, "root's terminal and files") as process:
        assert process.wait(20) == 70
    log = (place / "root's log").read_text()
    assert {name for name, outcome in attempts(log).items() if outcome == "done"} == set()
    assert (place / "root's output").read_text() == f"precious\nbustd on Linux {os.uname().release}\n"
    assert log.splitlines()[0].endswith("and 60 a minute"), "the killer's first line is still the first"
    assert all(LINE.match(line) for line in log.splitlines())


@pytest.fixture(scope="module")
def left() -> Iterator[dict[str, str]]:
    """What became of each attempt on the kernel, by a monitor that runs as the user nobody."""
    with place_for_all() as place:
        yield attempts_in(place)


def attempts_in(place: Path) -> dict[str, str]:
    opened = place / "open"
    opened.mkdir()
    opened.chmod(0o777)
    (opened / "file").write_text("everybody's\n")
    (opened / "file").chmod(0o666)
    with (
        victims.victim(0) as own,
        victims.victim(0, as_nobody=False) as other,
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as roots_socket,
        socket.socket(socket.AF_UNIX) as open_socket,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        for name, listener, mode in (("root.sock", roots_socket, 0o600), ("open.sock", open_socket, 0o666)):
            listener.bind(str(place / name))
            (place / name).chmod(mode)
            listener.listen()
        abstract.bind(f"\0bustd-test-{os.getpid()}")
        abstract.listen()
        plan = {
            "own": own.pid,
            "other": other.pid,
            "open": str(opened),
            "port": tcp.getsockname()[1],
            "roots_socket": str(place / "root.sock"),
            "open_socket": str(place / "open.sock"),
            "abstract": f"bustd-test-{os.getpid()}",
            "set_uid": next((path for path in ("/bin/su", "/usr/bin/mount") if Path(path).exists()), "/bin/true"),
            "loader": landlock.loader(os.path.realpath(install.python())),
        }
        with captured(place, "the kernel", more=plan) as process:
            assert process.wait(30) == 70
        assert victims.is_alive(own) and victims.is_alive(other)
    assert (opened / "file").read_text() == "everybody's\n"
    return attempts((place / "root's log").read_text(), "OF_THE_KERNEL")


@pytest.mark.left("what everybody may do: see THREATS.md")
def test_what_the_kernel_leaves_to_it_is_the_list_in_threats(left: dict[str, str]) -> None:
    text = THREATS.read_text().partition("## What a captured monitor can do")[2].partition("Inside its unit")[0]
    listed = re.findall(r"^- `([^`]+)`", text, re.MULTILINE)
    assert {name for name, outcome in left.items() if outcome == "done"} == set(listed)


@pytest.mark.left("20 lines a second in root's log, under its own name")
def test_a_flood_of_lines_is_slow_escaped_and_under_its_own_name_and_costs_the_killer_little(place: Path) -> None:
    with captured(place, f"{FLOOD_S}") as process:
        log = place / "root's log"
        pair.await_line(log, process.pid, "bustd-monitor: flood")
        began, spent = time.monotonic(), cpu_seconds(process.pid)
        time.sleep(FLOOD_S / 2)
        took, spent = time.monotonic() - began, cpu_seconds(process.pid) - spent
        assert process.wait(20) == 70
        whole = time.monotonic() - began
    lines = log.read_text().splitlines()
    assert all(LINE.match(line) for line in lines)
    flood = [line for line in lines if "flood" in line]
    assert LINES_PER_SECOND <= len(flood) <= LINES_PER_SECOND * (whole + 2)
    assert all(r"bustd-monitor: flood\n2026" in line for line in flood)
    assert spent / took <= MOST_CPU


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
