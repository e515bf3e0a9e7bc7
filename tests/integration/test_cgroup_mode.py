"""`--cgroup`: the pair watches one control group, and the commands say which."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import install, pair, victims
from tests.support.cgroups import put
from tests.support.crews import CREWS
from tests.support.pair import scope, started
from tests.support.watched import WatchedGroup, watched_group

pytestmark = pytest.mark.root
CREW = CREWS["root"]


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pair.place_for(CREW) as path:
        yield path


@pytest.fixture
def watched(place: Path) -> Iterator[WatchedGroup]:
    with watched_group(place) as made:
        yield made


def bustd(watched: WatchedGroup, place: Path, *words: str, monitor: pair.Policy | None = None) -> list[str]:
    """The command line, with the defaults of both files except for the test's own settings."""
    return [*watched.through, *install.bustd(*words, *pair.files(place, monitor or {}, {}), *scope())]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, cwd="/", check=False)


def test_the_leak_in_a_full_group_dies_and_a_larger_process_outside_does_not(
    place: Path, watched: WatchedGroup
) -> None:
    with (
        CREW.victim(120, name=b"larger") as larger,
        CREW.victim(20, name=b"idle") as idle,
        CREW.victim(60, name=b"leak") as leak,
    ):
        put(larger.pid, watched.beside)
        watched.holds(idle.pid)
        watched.holds(leak.pid)
        command = bustd(watched, place, "-n", "--user", "nobody", "--cgroup", watched.path)
        with started(command, {}, place / "pair.log") as running:
            running.await_ready()
            running.await_line(f"bustd-monitor: watching the control group {watched.path}, which may have 1024 MiB")
            running.await_line(f"bustd-killer: watching the control group {watched.path}")
            assert victims.is_alive(leak), "half of the group's memory is free"
            watched.fills(97)
            assert victims.exits_within(leak, 15), running.log()
            assert -leak.wait() in (signal.SIGTERM, signal.SIGKILL)
            running.await_line("the victim is gone after")
            watched.fills(50)
            assert victims.is_alive(larger)
            assert victims.is_alive(idle)


def test_a_pair_whose_group_goes_ends_with_69_and_a_sentence(place: Path, watched: WatchedGroup) -> None:
    command = bustd(
        watched, place, "-n", "--user", "nobody", "--cgroup", watched.path, monitor={"sleep.longest_ms": 100}
    )
    with started(command, {}, place / "pair.log") as running:
        running.await_ready()
        for name in ("memory.current", "memory.max"):  # an open file reads as empty, and no file can be opened
            (watched.tree.directory / watched.path[1:] / name).write_text("")
        assert running.ends() == 69
        assert f"bustd-monitor: the control group {watched.path} is gone" in running.log()


def test_a_monitor_whose_killer_was_told_of_no_group_says_so_and_nothing_dies(
    place: Path, watched: WatchedGroup
) -> None:
    with CREW.victim(60, name=b"leak") as leak:
        watched.holds(leak.pid)
        watched.fills(97)
        command = bustd(watched, place, "-n", "--user", "nobody", monitor={"cgroup": watched.path})
        with started(command, {}, place / "pair.log") as running:
            running.await_line(f'bustd-monitor: cgroup is "{watched.path}" in bustd.toml and "" in killer.toml')
            running.await_line("refused, not_short")
            assert victims.is_alive(leak)


@pytest.mark.parametrize("command", ["run", "explain", "record"])
def test_a_group_that_is_not_there_is_said_with_69(place: Path, watched: WatchedGroup, command: str) -> None:
    words = {"run": ["-n", "--user", "nobody"], "explain": [], "record": [f"{place}/x.trace"]}[command]
    whole = [command, *words, "--cgroup", "/nowhere"]
    recorder = [*watched.through, *install.bustd(*whole)]
    result = run(recorder if command == "record" else bustd(watched, place, *whole))
    assert result.returncode == 69
    assert result.stderr == "bustd: there is no control group /nowhere in /sys/fs/cgroup\n"


@pytest.mark.parametrize("path", ["", "/a/../b"])
def test_what_names_no_group_is_a_wrong_argument(place: Path, watched: WatchedGroup, path: str) -> None:
    result = run(bustd(watched, place, "explain", "--cgroup", path))
    assert result.returncode == 64
    assert f"--cgroup: expected the path of a control group, found {path!r}" in result.stderr


def test_explain_names_the_group_and_ranks_no_process_outside_it(place: Path, watched: WatchedGroup) -> None:
    with CREW.victim(60, name=b"inside") as inside, CREW.victim(90, name=b"outside") as outside:
        watched.holds(inside.pid)
        put(outside.pid, watched.beside)
        watched.fills(97)
        result = run(bustd(watched, place, "explain", "--cgroup", f"/sys/fs/cgroup{watched.path}"))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"Watching the control group {watched.path}, which may have 1024 MiB")
    assert re.search(rf"^ 1\. +{inside.pid}  inside ", result.stdout, re.M)
    assert "outside" not in result.stdout.partition("\nConditions:")[2]
    assert "floor     FIRES" in result.stdout
    assert "warning" not in result.stdout


def test_a_container_with_less_than_its_machine_is_watched_by_itself(place: Path, watched: WatchedGroup) -> None:
    watched.tree.memory("/", limit=2**29, current=2**28, anon=2**28)
    result = run(bustd(watched, place, "explain"))
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Watching this container's control group, which may have 512 MiB of the machine's")


def test_a_recording_of_a_group_has_its_memory_and_its_processes(place: Path, watched: WatchedGroup) -> None:
    with CREW.victim(60, name=b"inside") as inside, CREW.victim(90, name=b"outside") as outside:
        watched.holds(inside.pid)
        put(outside.pid, watched.beside)
        trace = f"{place}/x.trace"
        command = [*watched.through, *install.bustd("record", trace, "--seconds", "2", "--cgroup", watched.path)]
        recorded = run(command)
        assert recorded.returncode == 0, recorded.stderr
        assert f"Watching the control group {watched.path}" in recorded.stdout
        replayed = run([*watched.through, *install.bustd("replay", trace)])
    assert "x.trace: 1024 MiB of memory" in replayed.stdout
    assert b"inside" in Path(trace).read_bytes()
    assert b"outside" not in Path(trace).read_bytes()
