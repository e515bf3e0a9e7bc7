"""A run of the tests, or a selftest, that is ended by SIGKILL: nothing that it has started lives on."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support import install, pair, victims

HARNESS = """
import sys, time
from contextlib import ExitStack
from pathlib import Path
from tests.support import install, pair, victims
home, place, name = sys.argv[1:]
install.home = lambda: Path(home)
crew = pair.CREWS[name]
with ExitStack() as stack:
    first, second = Path(place, "pair"), Path(place, "halves")
    stack.enter_context(crew.victim(mib=4))
    stack.enter_context(crew.program(victims.crowd_program(2)))
    running = stack.enter_context(pair.pair(crew, first, monitor=pair.NEVER))
    killer = stack.enter_context(pair.lone_killer(crew, second))
    monitor = stack.enter_context(pair.lone_monitor(crew, second, policy=pair.NEVER))
    running.await_ready()
    killer.await_line("serving the monitor")
    print("ready", flush=True)
    time.sleep(60)
"""


def all_end(started: list[psutil.Process], seconds: float = 10) -> list[str]:
    """What of it is left after that time, which is then ended."""
    left = []
    deadline = time.monotonic() + seconds
    for process in started:
        try:
            pidfd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        if not select.select([pidfd], [], [], max(deadline - time.monotonic(), 0))[0]:
            left.append(f"{process.pid} {process.name()} {process.cmdline()}"[:300])
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
    return left


def test_nothing_of_a_run_that_is_killed_lives_on(crew, place):
    for name in ("pair", "halves"):
        (place / name).mkdir()
        (place / name).chmod(0o755)
        os.chown(place / name, crew.identity.get("user", -1), -1)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(install.ROOT), *filter(None, sys.path)])}
    command = [sys.executable, "-c", HARNESS, str(install.home()), str(place), crew.name]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as harness:
        try:
            assert harness.stdout is not None
            assert harness.stdout.readline() == b"ready\n"
            started = psutil.Process(harness.pid).children(recursive=True)
        finally:
            harness.kill()
    assert len(started) >= 8  # two victims, two in the crowd, two daemons of the pair, two alone
    assert all_end(started) == []


@pytest.mark.parametrize("moment", ["two children", "bustd-killer", "bustd-monitor"])
def test_nothing_of_a_selftest_that_is_killed_lives_on_or_is_left(crew, place, moment):
    words = install.bustd("selftest", "--standalone", *(["--user", "nobody"] if crew.is_root else []))
    identity = {**crew.identity, "env": {"PATH": os.defpath, "TMPDIR": str(place)}, "cwd": "/"}
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, **identity) as selftest:
        try:
            while True:
                assert selftest.poll() is None, "it has ended before that moment"
                started = psutil.Process(selftest.pid).children(recursive=True)
                if len(started) >= 2 and (moment == "two children" or moment in names(started)):
                    break
        finally:
            selftest.kill()
    assert all_end(started) == []
    assert list(place.iterdir()) == []


def names(processes: list[psutil.Process]) -> set[str]:
    found = set()
    for process in processes:
        try:
            found.add(Path(f"/proc/{process.pid}/comm").read_text().strip())
        except OSError:
            continue  # it has ended
    return found


@pytest.mark.parametrize("when", ["before its start", "while it runs"])
def test_a_pair_ends_with_the_process_whose_descendants_alone_may_die(crew, place, when):
    """It need not be the parent of the pair. Its number may be another's at any time."""
    words = [*pair.files(place, pair.NEVER, pair.PERMISSIVE), *(["--user", "nobody"] if crew.is_root else [])]
    with victims.victim(0) as job:
        command = install.bustd("-n", *words, "--only-descendants-of", str(job.pid))
        if when == "before its start":
            victims.end(job)
        with pair.started(command, crew.identity, place / "log") as running:
            if when == "while it runs":
                running.await_ready()
                victims.end(job)
            assert running.ends() == 69
            assert f"the process {job.pid} has ended, and nothing but its descendants may die" in running.log()
