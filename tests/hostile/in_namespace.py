"""What test_reuse.py runs as process 1 of a PID namespace: `python -m tests.hostile.in_namespace SCENARIO PLACE`.

A scenario that fails raises.
"""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bustd_killer import facts, flight
from bustd_killer.checks import Ruling
from bustd_killer.facts import Victim
from bustd_protocol import limits
from bustd_protocol.messages import Bye, Farewell, MonitorHello, Outcome, Reason
from bustd_shared.kernel import process, procfs
from tests.support import install, pid_namespace, victims
from tests.support.dialogue import Heard, peer
from tests.support.honest import all_survive, kill, refused, request_for
from tests.support.in_process import guard, kills
from tests.support.killer import killer

SCENARIOS: dict[str, Callable[[Path], None]] = {}


def scenario(function: Callable[[Path], None]) -> Callable[[Path], None]:
    SCENARIOS[function.__name__] = function
    return function


def succeed(old: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """End the process and give its PID to a new one, which starts at a different clock tick."""
    ticks = victims.start_ticks(old.pid)
    victims.end(old)
    successor = pid_namespace.start_as(old.pid, name=b"successor")
    assert victims.start_ticks(successor.pid) != ticks
    return successor


def hide_processes(level: int = 2) -> None:
    """Only group 4242, and processes that may trace them, see the processes of other users (proc(5), hidepid)."""
    subprocess.run(["mount", "-o", f"remount,hidepid={level},gid=4242", "/proc"], check=True)


@scenario
def between_reading_and_asking(place: Path) -> None:
    """First there is no process with that PID, then another one."""
    old = victims.start()
    with killer(place) as daemon, peer(daemon.socket_path) as monitor:
        request = request_for(old.pid)
        victims.end(old)
        assert monitor.ask(request).outcome is Outcome.GONE
        successor = pid_namespace.start_as(old.pid)
        assert victims.start_ticks(successor.pid) != request.start_ticks
        with all_survive(successor):
            assert refused(monitor.ask(request._replace(id=1)), Reason.START_TIME)
            assert refused(monitor.ask(request._replace(id=2, comm=b"leak", uid=0)), Reason.START_TIME)
        kill(monitor, successor)


@scenario
def before_the_pidfd(place: Path) -> None:
    """The facts are those of the process that the pidfd holds. Read before it, they would be those of another one."""
    old = victims.start()
    really_open, started = os.pidfd_open, []

    def too_late(pid: int) -> int:
        os.pidfd_open = really_open
        started.append(succeed(old))
        return really_open(pid)

    os.pidfd_open = too_late
    victim = facts.open_victim(old.pid)
    (successor,) = started
    assert isinstance(victim, Victim)
    assert victim.entry.stat.start_ticks == victims.start_ticks(successor.pid)
    assert victim.entry.stat.comm == b"successor"


@scenario
def while_the_facts_are_read(place: Path) -> None:
    """It is reused after any of the reads. What was read then belongs to two processes, and is discarded."""
    really_read = process.read_file
    for last in range(4):
        old = victims.start(20)
        reads, started = iter(range(100)), []

        def read(path: str, **how: tuple[int, ...]) -> bytes | None:
            data = really_read(path, **how)
            if next(reads) == last:  # noqa: B023
                started.append(succeed(old))  # noqa: B023
            return data

        process.read_file = read
        assert facts.open_victim(old.pid) is Reason.GONE
        process.read_file = really_read
        (successor,) = started
        assert victims.is_alive(successor)


@scenario
def between_the_facts_and_the_signal(place: Path) -> None:
    """The signal goes to the process that was judged, or to none."""
    old = victims.start()
    really_send, started = flight.send_signal, []

    def too_late(pidfd: int, number: int) -> Ruling:
        started.append(succeed(old))
        return really_send(pidfd, number)

    flight.send_signal = too_late
    with kills() as slot:
        assert slot.answer(request_for(old.pid), guard(), 0).verdict.outcome is Outcome.GONE
    assert victims.is_alive(started[0])


@scenario
def hidden_after_the_start(place: Path) -> None:
    """A process that lives and can't be seen is not gone, and no process is killed."""
    with victims.victim(as_nobody=True) as hidden, killer(place) as daemon, peer(daemon.socket_path) as monitor:
        request = request_for(hidden.pid)
        with all_survive(hidden):
            hide_processes()
            assert refused(monitor.ask(request), Reason.HIDDEN)
            assert daemon.has_said("for floor: hidden\n")
            hide_processes(0)
        kill(monitor, hidden)


@scenario
def hidden_before_hello(place: Path) -> None:
    """The killer sees at Hello that it is blind, says so, hangs up, and serves as soon as it sees again."""
    with (
        victims.victim(as_nobody=True) as hidden,
        killer(place, peer_uid=victims.NOBODY.pw_uid) as daemon,
        all_survive(daemon.process),
    ):
        with all_survive(hidden), peer(daemon.socket_path, as_nobody=True) as monitor:  # greeted, so it serves
            hide_processes()
            monitor.say(MonitorHello(monitor.next_id(), limits.VERSION, limits.VERSION, monitor.pid))
            assert monitor.hear() == Bye(0, Farewell.UNABLE)
            assert monitor.hear() is Heard.END
            assert daemon.has_said("CANNOT PROTECT THIS MACHINE: /proc hides the monitor from the killer")
            hide_processes(0)
        with peer(daemon.socket_path, as_nobody=True) as monitor:
            kill(monitor, hidden)


@scenario
def hidden_before_the_start(place: Path) -> None:
    """A killer that can't see its own child does not serve: no group helps against hidepid=ptraceable."""
    hide_processes(4)
    with killer(place, comes_up=False) as daemon:
        assert daemon.process.wait(5) == 71
        assert "CANNOT PROTECT THIS MACHINE: /proc does not show the killer its own child" in daemon.log()


@scenario
def hidden_from_all_but_a_group(place: Path) -> None:
    """The killer joins the group that sees all processes before it gives up root."""
    hide_processes()
    with victims.victim(as_nobody=True) as seen, killer(place) as daemon, peer(daemon.socket_path) as monitor:
        kill(monitor, seen)
        assert "group 4242, which sees all processes" in daemon.log()


HEIR = """
import subprocess, sys
with subprocess.Popen([sys.executable, "-I", "-c", sys.argv[1]]) as child:
    print(child.pid, flush=True)
    sys.stdin.read()
    child.kill()
"""


def heir_of(pid: int) -> tuple[subprocess.Popen[bytes], int]:
    """Somebody else with this PID, which must be free, and a child of that one which holds 64 MiB."""
    held = "import time; kept = bytes([1]) * (64 << 20); time.sleep(120)"
    Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    heir = subprocess.Popen([install.python(), "-I", "-c", HEIR, held], **pipes)
    assert heir.pid == pid
    return heir, int(heir.stdout.readline())


@scenario
def the_number_of_an_ancestor_that_has_ended(place: Path) -> None:
    """Who has that number now is none of the killer's business, whatever its monitor says."""
    ancestor = victims.start()
    with killer(place, only_descendants_of=ancestor.pid) as daemon, peer(daemon.socket_path) as monitor:
        victims.end(ancestor)
        heir, child = heir_of(ancestor.pid)
        while (Path(f"/proc/{child}/statm").read_text().split()[1]) < str(64 << 8):
            pass
        with all_survive(heir):
            assert refused(monitor.ask(request_for(child)), Reason.OUTSIDE)
        victims.end(heir)


@scenario
def another_start_time_than_the_ancestors(place: Path) -> None:
    """The number was reused before the killer was started."""
    old = victims.start()
    ticks = victims.start_ticks(old.pid)
    successor = succeed(old)
    told = ["--ancestor-ticks", str(ticks)]
    with killer(place, *told, only_descendants_of=successor.pid, comes_up=False) as daemon:
        assert daemon.process.wait(5) == 69
        assert f"the process {successor.pid} has ended" in daemon.log()


@scenario
def a_selftest_that_is_killed(place: Path) -> None:
    """Its pair has thresholds that are always crossed, and its number is soon another's."""
    selftest = subprocess.Popen(
        install.bustd("selftest", "--standalone", "--user", "nobody"), stdout=subprocess.DEVNULL
    )
    while "bustd-monitor" not in (names := names_of_all()):
        assert selftest.poll() is None, names
    selftest.kill()
    selftest.wait()
    heir, child = heir_of(selftest.pid)
    pidfd = os.pidfd_open(child)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(name.startswith("bustd-") for name in names_of_all()):
        reap()
    assert not select.select([pidfd], [], [], 0.5)[0], "the child of the heir was killed"
    os.close(pidfd)
    victims.end(heir)
    reap()
    assert names_of_all().count("python3") == 1, names_of_all()  # this process


def names_of_all() -> list[str]:
    names = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            names.append(path.read_text().strip())
        except OSError:
            pass
    return names


def reap() -> None:
    """This is process 1: orphans become its children."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    assert os.getpid() == 1, "this ends and reuses PIDs: only in a namespace"
    assert procfs.parse_stat(Path("/proc/1/stat").read_bytes()) is not None
    pid_namespace.use_the_installation_outside()
    SCENARIOS[sys.argv[1]](Path(sys.argv[2]))
    print("done")
