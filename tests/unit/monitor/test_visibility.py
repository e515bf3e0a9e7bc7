"""Whether /proc shows what has to be ranked."""

import os

import pytest

from bustd_monitor.sensing.visibility import hidden_processes, unreadable_processes
from tests.fakes.procfs import FakeProc
from tests.unit.shared.forked import in_child


def test_where_process_1_is_to_be_seen_nothing_is_hidden(tmp_path):
    proc = FakeProc(tmp_path)
    proc.process(1)
    assert hidden_processes(proc.path, own_only=False) == ""
    assert hidden_processes(own_only=False) == "", "this machine's own"


def test_where_it_is_not_the_way_to_mend_it_is_said(tmp_path):
    said = hidden_processes(FakeProc(tmp_path).path, own_only=False)
    assert f"hides other users' processes from uid {os.getuid()}" in said
    assert "hidepid" in said
    assert "SupplementaryGroups=" in said


@pytest.mark.root
def test_a_stat_that_may_not_be_read_is_hidden_too(tmp_path):
    proc = FakeProc(tmp_path)
    proc.process(1)
    (proc.directory / "1/stat").chmod(0)
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)

    def as_nobody():
        os.setuid(65534)
        return hidden_processes(proc.path, own_only=False)

    assert "(Permission denied)" in in_child(as_nobody)


def test_a_user_whose_own_processes_alone_may_be_killed_need_not_see_others(tmp_path):
    assert hidden_processes(FakeProc(tmp_path).path, own_only=True) == ""


def test_a_proc_of_which_everything_can_be_read_is_no_trouble():
    assert unreadable_processes() == ""


def test_a_proc_that_cannot_be_listed_is_found_at_start(tmp_path):
    assert "can't be listed (No such file or directory)" in unreadable_processes(str(tmp_path / "absent"))


@pytest.mark.parametrize("missing", ["stat", "status", "oom_score_adj"])
def test_whatever_of_the_monitor_itself_cannot_be_read_is_found_at_start(tmp_path, missing):
    proc = FakeProc(tmp_path)
    proc.process(os.getpid())
    assert unreadable_processes(str(proc.path)) == ""
    proc.remove(f"{os.getpid()}/{missing}")
    assert "not even by the monitor itself" in unreadable_processes(str(proc.path))
