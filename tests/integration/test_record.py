"""`bustd record` on this machine, with processes that the test starts, and `bustd replay` of the recording."""

import io
import re
import resource
import signal
import stat
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from bustd_monitor.traces.format import Decoder, Listed, Sensed, Truncated
from tests.support import install, pair, victims
from tests.support.pair import PERMISSIVE

PRESSURED = {
    "conditions.floor.enabled": False,
    "conditions.stall.enabled": False,
    "conditions.forecast.enabled": False,
    "conditions.pressure.free_percent": 100,
    "conditions.pressure.psi_some_avg10": 0,
    "conditions.pressure.available_percent": 100,
    "conditions.floor.available_mib": 1,
}
"""bustd.toml: memory is always short, and next to no memory ends the shortage."""


@contextmanager
def recording(crew, place, *options):
    """`bustd record`, with its output in a log. It is ended at the end unless it has ended by then."""
    command = install.bustd("record", f"{place}/it.trace", *pair.scope(), *options)
    with (place / "log").open("wb") as log:
        recorder = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **crew.identity)
    try:
        yield recorder
    finally:
        stop(recorder, signal.SIGKILL)


def frames_of(path):
    return list(Decoder(io.BytesIO(path.read_bytes())).frames())


def pids_of(table):
    return [entry.process.pid for entry in table.entries]


def await_tables(place, process, count, wanted=lambda _table: True):
    """Wait until there are this many tables of that kind in the file."""
    path = place / "it.trace"
    for _ in range(1000):
        assert not victims.exits_within(process, 0.02), (place / "log").read_text()
        if path.exists() and path.stat().st_size:
            tables = [frame for frame in frames_of(path) if isinstance(frame, Listed)]
            if sum(wanted(table) for table in tables) >= count:
                return
    pytest.fail((place / "log").read_text())


def stop(process, number=signal.SIGTERM):
    process.send_signal(number)
    return process.wait(20)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_victim_that_dies_during_a_recording_is_taken_and_is_gone_in_the_replay(crew, place, number):
    with crew.victim(48, name=b"leak") as leak, recording(crew, place) as recorder:
        await_tables(place, recorder, 3, lambda table: leak.pid in pids_of(table))
        victims.end(leak)
        await_tables(place, recorder, 1, lambda table: leak.pid not in pids_of(table))
        assert stop(recorder, number) == 0
    log = (place / "log").read_text()
    assert re.search(rf"^recording to {place}/it.trace, without command lines; .*; Ctrl-C ends it$", log, re.M)
    assert re.search(rf"^bustd: recorded \d+ readings and \d+ tables in \d+\.\d s, \d+ KiB: {number.name}$", log, re.M)
    assert stat.S_IMODE((place / "it.trace").stat().st_mode) == 0o600
    result = pair.run(crew, "replay", f"{place}/it.trace", *pair.files(place, PRESSURED, PERMISSIVE))
    assert (result.returncode, result.stderr) == (0, "")
    assert re.search(
        rf"^ +\d+\.\d s  pressure fires: .*; SIGTERM for {leak.pid} \(leak\) of uid \d+, ", result.stdout, re.M
    )
    assert re.search(rf"^ +\d+\.\d s  {leak.pid} is gone in the trace, \d+ ms after that$", result.stdout, re.M)


def test_a_recorder_that_is_killed_leaves_what_it_has_seen(crew, place):
    with crew.victim(32) as leak, recording(crew, place) as recorder:
        await_tables(place, recorder, 2)
        stop(recorder, signal.SIGKILL)
    frames = frames_of(place / "it.trace")
    assert [frame for frame in frames if isinstance(frame, Truncated)] == []
    tables = [frame for frame in frames if isinstance(frame, Listed)]
    assert pids_of(tables[-1]) == [leak.pid]
    assert any(isinstance(frame, Sensed) for frame in frames)


def test_it_ends_after_the_time_that_it_is_given(crew, place):
    result = pair.run(crew, "record", f"{place}/it.trace", "--seconds", "1", *pair.scope())
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1].endswith(": the time is over")


def test_command_lines_are_recorded_only_when_asked_for(crew, place):
    for options, has_commands in (([], False), (["--commands"], True)):
        path = place / f"{has_commands}.trace"
        with crew.victim(32, name=b"secretive"):
            result = pair.run(crew, "record", str(path), "--seconds", "3", *pair.scope(), *options)
        assert result.returncode == 0
        assert (b"signal.SIGTERM" in path.read_bytes()) is has_commands  # of the victim's program
        assert f", {'with' if has_commands else 'without'} command lines; " in result.stdout


def test_a_file_that_is_there_is_not_replaced(crew, place):
    (place / "it.trace").write_bytes(b"precious")
    result = pair.run(crew, "record", f"{place}/it.trace", *pair.scope())
    assert (result.returncode, result.stdout) == (73, "")
    assert result.stderr == f"bustd: {place}/it.trace: File exists: a trace replaces no other file\n"
    assert (place / "it.trace").read_bytes() == b"precious"


def test_a_place_that_can_not_be_written_is_one_sentence_and_73(crew, place):
    result = pair.run(crew, "record", f"{place}/nowhere/it.trace", *pair.scope())
    assert (result.returncode, result.stdout) == (73, "")
    assert result.stderr == f"bustd: {place}/nowhere/it.trace: No such file or directory\n"


@pytest.mark.parametrize("size", [0, 1200])
def test_a_disk_that_is_full_is_one_sentence_and_73_and_what_was_written_can_be_replayed(crew, place, size):
    """The limit on the size of a file stands in for a full disk, which a test must not make."""

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    command = install.bustd("record", f"{place}/it.trace", "--seconds", "30", *pair.scope())
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd="/", preexec_fn=small_files, **crew.identity
    )
    assert result.returncode == 73
    last = result.stderr.splitlines()[-1]
    assert last.endswith(f"{place}/it.trace: File too large; what was written before can be replayed")
    assert "Traceback" not in result.stderr
    if size:
        assert [frame for frame in frames_of(place / "it.trace") if isinstance(frame, Truncated)] == []


@pytest.mark.root
def test_the_kernel_spares_a_recorder_of_roots_as_far_as_root_may(place):
    with recording(pair.CREWS["root"], place) as recorder:
        await_tables(place, recorder, 1)
        adj = int(Path(f"/proc/{recorder.pid}/oom_score_adj").read_text())
        told = (place / "log").read_text()
    assert ("the kernel will not kill it" in told) is (adj == -1000)
