"""Every trace in tests/data/traces is decided over again, and must come to what stands beside it.

NAME.trace with NAME.txt, what `bustd replay` printed; NAME.toml and NAME.killer.toml, where they are, instead of the
defaults. To accept what it prints now: BUSTD_ACCEPT=1 make test ARGS=tests/unit/traces/test_recorded.py, and read the
difference (git diff) before it is committed.
"""

import os
from pathlib import Path

import pytest

from bustd_monitor.traces.format import Decoder, Truncated
from tests.support.typed import typed

TRACES = Path(__file__).parents[2] / "data/traces"
FILES = sorted(TRACES.glob("*.trace"))
LARGEST = 100 * 1024


def replayed(monkeypatch, capfd, tmp_path, path):
    nothing = tmp_path / "nothing.toml"
    nothing.write_text("")
    files = [path.with_suffix(".toml"), path.with_suffix(".killer.toml")]
    config, rules = (str(file if file.exists() else nothing) for file in files)
    code, out, err = typed(monkeypatch, capfd, "replay", str(path), "--config", config, "--killer-config", rules)
    assert (code, err) == (0, "")
    return out


def test_there_are_traces():
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_recorded_trace_comes_to_the_same_as_ever(monkeypatch, capfd, tmp_path, path):
    out = replayed(monkeypatch, capfd, tmp_path, path)
    expected = path.with_suffix(".txt")
    if os.environ.get("BUSTD_ACCEPT"):
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
