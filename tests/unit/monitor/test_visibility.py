"""Whether /proc shows what has to be ranked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bustd_monitor.sensing.visibility import hidden_processes, narrow_view, unreadable_processes
from tests.fakes.procfs import FakeProc
from tests.support import pid_namespace
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


needs_the_first_pid_namespace = pytest.mark.skipif(
    Path("/proc/self/ns/pid").stat().st_ino != 0xEFFFFFFC, reason="the tests run in a PID namespace of their own"
)


def container(tmp_path, *, cgroup_of_1: bytes) -> FakeProc:
    """A /proc of the machine, with the kernel's own file in place of ns/pid, whose inode number can't be chosen."""
    proc = FakeProc(tmp_path)
    proc.process(1)
    (proc.directory / "1/cgroup").write_bytes(cgroup_of_1)
    (proc.directory / "self/ns").mkdir(parents=True)
    (proc.directory / "self/ns/pid").symlink_to("/proc/self/ns/pid")
    return proc


@pytest.mark.root
def test_in_a_pid_namespace_of_its_own_it_says_that_the_machines_processes_are_out_of_sight():
    missing = pid_namespace.what_is_missing()
    if missing:
        pytest.skip(missing)
    code = "from bustd_monitor.sensing.visibility import narrow_view; print(narrow_view())"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "only the processes in this container can be seen" in said
    assert "--pid=host" in said


@needs_the_first_pid_namespace
@pytest.mark.parametrize("path", [b"/../../init.scope", b"/../init.scope", b"/.."])
def test_in_a_cgroup_namespace_of_its_own_it_says_that_the_machines_groups_are(tmp_path, path):
    (said,) = narrow_view(str(container(tmp_path, cgroup_of_1=b"1:name=systemd:/\n0::" + path + b"\n").path))
    assert "the machine's control groups can't be read" in said
    assert "--cgroupns=host" in said


@needs_the_first_pid_namespace
@pytest.mark.parametrize("found", [b"0::/init.scope\n", b"0::/\n", b"0::/..a\n", b"1:name=systemd:/..\n", b""])
def test_where_both_are_the_machines_nothing_is_said(tmp_path, found):
    assert narrow_view(str(container(tmp_path, cgroup_of_1=found).path)) == []


def test_a_kernel_without_pid_namespaces_is_no_container(tmp_path):
    assert narrow_view(str(FakeProc(tmp_path).path)) == []
