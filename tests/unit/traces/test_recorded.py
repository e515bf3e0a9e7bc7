"""Every trace in tests/data/traces is decided over again, and must come to what stands beside it.

NAME.trace with NAME.json, the kills, and with NAME.txt, what `bustd replay` printed of them; NAME.toml and
NAME.killer.toml, where they are, instead of the defaults. So a sentence that is worded otherwise changes NAME.txt
alone: BUSTD_ACCEPT=words make test ARGS=tests/unit/traces/test_recorded.py accepts what it prints now. Another
decision is BUSTD_ACCEPT=kills, and needs a reason. Read the difference (git diff) before it is committed.
"""

import json
import os
from pathlib import Path

import pytest

from bustd_monitor.traces.format import Decoder, Truncated
from bustd_monitor.traces.replaying import Kill
from tests.support.traces import replay_of
from tests.support.typed import typed

TRACES = Path(__file__).parents[2] / "data/traces"
FILES = sorted(TRACES.glob("*.trace"))
LARGEST = 100 * 1024
ACCEPTED = os.environ.get("BUSTD_ACCEPT", "")


def beside(path, tmp_path):
    """The two configurations of a trace: what stands beside it, or an empty file."""
    nothing = tmp_path / "nothing.toml"
    nothing.write_text("")
    files = [path.with_suffix(".toml"), path.with_suffix(".killer.toml")]
    return [str(file if file.exists() else nothing) for file in files]


def plain(kill: Kill) -> dict[str, object]:
    """A kill as NAME.json has it. The start time tells one process from another with its PID."""
    return {
        "at_ms": kill.at_ms,
        "condition": kill.condition,
        "signal": kill.signal.name,
        "pid": kill.pid,
        "start_ticks": kill.start_ticks,
        "comm": kill.comm.decode("latin-1"),
        "scope": kill.scope.name,
    }


def test_there_are_traces():
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recorded_trace_comes_to_the_same_kills_as_ever(tmp_path, path):
    run = replay_of(path, *beside(path, tmp_path))
    came_to = {
        "kills": [plain(kill) for kill in run.kills],
        "escalations": [plain(kill) for kill in run.escalations],
        "in_flight_at_the_end": run.in_flight.pid if run.in_flight else None,
    }
    expected = path.with_suffix(".json")
    if ACCEPTED == "kills":
        expected.write_text(json.dumps(came_to, indent=2) + "\n")
    assert came_to == json.loads(expected.read_text())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_printed_of_a_recorded_trace_is_worded_as_ever(monkeypatch, capfd, tmp_path, path):
    config, rules = beside(path, tmp_path)
    code, out, err = typed(monkeypatch, capfd, "replay", str(path), "--config", config, "--killer-config", rules)
    assert (code, err) == (0, "")
    expected = path.with_suffix(".txt")
    if ACCEPTED == "words":
        expected.write_text(out)
    assert out == expected.read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recorded_trace_is_small_and_whole_and_without_command_lines(path):
    assert path.stat().st_size <= LARGEST
    with path.open("rb") as file:
        decoder = Decoder(file)
        frames = list(decoder.frames())
    assert frames
    assert not any(isinstance(frame, Truncated) for frame in frames)
    assert not decoder.header.has_commands
