"""The generated tree looks like the procfs of a machine full of small processes with one large one among them."""

from bustd_monitor.sensing.process_table import ProcessTable
from tests.bench.procfs_tree import tree


def test_every_process_of_the_tree_is_one_that_the_monitor_reads(tmp_path):
    with tree(tmp_path / "proc", 20) as path:
        table = ProcessTable(path)
        found = {pid: table.read(pid, 0) for pid in table.walk(1000) or ()}
        table.close()
    processes = {pid: process for pid, process in found.items() if process is not None}
    assert processes.keys() >= set(range(10_000, 10_020))
    assert sorted(processes, key=lambda pid: processes[pid].held_bytes)[-1] == 10_010
    assert not (tmp_path / "proc").exists()
