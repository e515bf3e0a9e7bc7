"""Another daemon of this kind is named at start and by explain: the two would not know of each other's kills."""

import pytest

from bustd_monitor.cli.nameless import masked
from bustd_monitor.reporting.sentences import beside
from bustd_monitor.sensing.other_daemons import other_daemons


def test_each_is_found_once_by_its_whole_name(tmp_path):
    for pid, comm in enumerate((b"earlyoom", b"systemd-oomd", b"earlyoom", b"nohangs", b"bustd-monitor"), 100):
        (tmp_path / f"{pid}").mkdir()
        (tmp_path / f"{pid}/comm").write_bytes(comm + b"\n")
    assert other_daemons(str(tmp_path)) == ["earlyoom", "systemd-oomd"]


def test_where_none_runs_or_one_has_just_gone_nothing_is_said(tmp_path):
    (tmp_path / "101").mkdir()
    (tmp_path / "meminfo").touch()
    assert other_daemons(str(tmp_path)) == []
    assert beside([]) == ""


@pytest.mark.parametrize(
    ("daemons", "words"), [(["nohang"], "nohang runs too: "), (["earlyoom", "nohang"], "earlyoom and nohang run too: ")]
)
def test_it_says_what_that_means_and_what_to_do(daemons, words):
    said = beside(daemons)
    assert said.startswith(words)
    assert said.endswith("let one of them run")
    assert masked(said) == said, "a report has it as well"
