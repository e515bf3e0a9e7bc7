"""NUMA nodes that are full while the machine is not: from trees of files, as no machine here has two nodes."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from bustd_monitor.deciding import states
from bustd_monitor.deciding.actions import NodeIsFull
from bustd_monitor.deciding.states import State
from bustd_monitor.ranking.search import CandidateSearch
from bustd_monitor.sensing.nodes import Node, Nodes, allowed_nodes, parse_allowed, parse_node
from bustd_monitor.sensing.process_table import ProcessTable
from bustd_monitor.sensing.sensor import Sensor
from bustd_monitor.sensing.watermarks import Kept
from tests.fakes.procfs import FakeProc
from tests.unit.monitor.making import GIB, conditions, reading

KIB = 1024
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // KIB


def meminfo(number: int, free_kib: int, file_kib: int = 0, total_kib: int = 10_000) -> bytes:
    lines = {
        "MemTotal": total_kib,
        "MemFree": free_kib,
        "Active": 7,
        "Active(file)": file_kib,
        "Inactive(file)": file_kib,
        "FilePages": 9_999,
        "SReclaimable": 1,
    }
    return b"".join(b"Node %d %s: %8d kB\n" % (number, name.encode(), kib) for name, kib in lines.items())


def zoneinfo(*nodes: tuple[int, int]) -> bytes:
    """/proc/zoneinfo with one zone for each of these nodes: low and high watermark in KiB."""
    zones = [(node, low // PAGE_KIB, high // PAGE_KIB) for node, (low, high) in enumerate(nodes)]
    lines = "Node %d, zone   Normal\n  pages free     9\n        min      1\n        low      %d\n        high     %d\n"
    rest = "        managed  2500\n        protection: (0, 0)\n"
    return "".join([lines % zone + rest for zone in zones]).encode()


class Tree:
    """/sys with these nodes."""

    def __init__(self, folder) -> None:
        self.path = str(folder)
        self.nodes = folder / "devices/system/node"
        self.nodes.mkdir(parents=True)

    def has(self, numbers: str, **of_node: bytes) -> None:
        (self.nodes / "has_memory").write_text(f"{numbers}\n")
        for name, data in of_node.items():
            (self.nodes / name).mkdir(exist_ok=True)
            (self.nodes / name / "meminfo").write_bytes(data)


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "sys")


@pytest.fixture
def proc(tmp_path):
    return FakeProc(tmp_path)


@pytest.fixture
def full(tree, proc):
    """What is full, time after time."""
    opened = []

    def ask() -> int:
        if not opened:
            opened.append(Nodes(tree.path, proc.path))
        opened[0].read_watermarks()
        return opened[0].full()

    yield ask
    for nodes in opened:
        nodes.close()


def test_a_node_has_what_is_free_and_what_can_be_reclaimed():
    node = parse_node(meminfo(3, 500, 100))
    assert node == Node(3, 10_000 * KIB, 500 * KIB, 200 * KIB, KIB), "shared memory (FilePages) can't be reclaimed"


@pytest.mark.parametrize(
    ("kept", "available"),
    [
        (Kept(0, 0), 500 + 200 + 80),
        (Kept(120, 30), 500 - 120 + (200 - 30) + (80 - 30)),
        (Kept(120, 100), 500 - 120 + 200 // 2 + 80 // 2),
        (Kept(600, 30), 500 - 600 + 170 + 50),
        (Kept(900, 30), 0),
    ],
)
def test_what_is_available_on_a_node_is_worked_out_as_the_kernel_does_for_the_machine(kept, available):
    assert Node(0, 10_000, 500, 200, 80).available(kept) == available


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"Node x MemTotal: 5 kB", b"Node 0 MemFree: 5 kB", meminfo(0, 5, 5, 0)]
)
def test_a_node_that_makes_no_sense_or_has_no_memory_is_none(data):
    assert parse_node(data) is None


def test_the_fullest_node_is_full_at_two_percent_and_until_it_has_five(tree, full):
    for free, is_full in [
        (3000, False),
        (200, False),
        (199, True),
        (400, True),
        (499, True),
        (500, False),
        (400, False),
    ]:
        tree.has("0-1", node0=meminfo(0, 5000), node1=meminfo(1, free))
        assert full() == (1 if is_full else -1), free


def test_of_two_full_nodes_that_take_turns_the_first_stays_the_full_one(tree, full):
    for first, second in [(100, 150), (150, 100), (100, 150), (490, 50)]:
        tree.has("0-1", node0=meminfo(0, first), node1=meminfo(1, second))
        assert full() == 0
    tree.has("0-1", node0=meminfo(0, 500), node1=meminfo(1, 50))
    assert full() == 1


def test_of_two_the_fuller_one_is_named(tree, full):
    tree.has("0,2", node0=meminfo(0, 100), node2=meminfo(2, 50))
    assert full() == 2


@pytest.mark.parametrize("numbers", ["0", "", "garbage", "0-", "1-0"])
def test_where_there_is_one_node_none_is_asked(tree, full, numbers):
    tree.has(numbers, node0=meminfo(0, 0))
    assert full() == -1


def test_a_node_that_goes_away_is_not_full(tree, full):
    tree.has("0-1", node0=meminfo(0, 5000), node1=meminfo(1, 0))
    assert full() == 1
    tree.has("0-1", node1=b"")
    assert full() == -1


def test_a_node_is_full_when_all_that_is_free_is_below_its_high_watermark(tree, proc, full):
    proc.write("zoneinfo", zoneinfo((40, 60), (400, 600)))
    tree.has("0-1", node0=meminfo(0, 700), node1=meminfo(1, 900))
    assert full() == -1, "300 KiB above the watermark"
    tree.has("0-1", node1=meminfo(1, 600))
    assert full() == 1, "6 % of it are free, and no program gets them"
    tree.has("0-1", node1=meminfo(1, 600, file_kib=500))
    assert full() == -1, "kswapd takes it from the files"


def test_watermarks_that_are_moved_are_read_again(tree, proc, full):
    tree.has("0-1", node0=meminfo(0, 5000), node1=meminfo(1, 600))
    assert full() == -1, "not known"
    proc.write("zoneinfo", zoneinfo((40, 60), (400, 600)))
    assert full() == 1
    proc.remove("zoneinfo")
    assert full() == 1, "they are those that were read last"
    proc.write("zoneinfo", zoneinfo((40, 60), (40, 60)))
    assert full() == -1


def opened(proc, tree, now_ms: list[int]) -> Sensor:
    proc.meminfo(total_kib=16_000, free_kib=8000, available_kib=8000, anonymous_kib=100)
    return Sensor(proc.path, tree.path, lambda: now_ms[0] * 1_000_000)


def test_a_reading_has_it_once_a_second(tree, proc):
    now_ms = [0]
    tree.has("0-1", node0=meminfo(0, 5000), node1=meminfo(1, 0))
    sensor = opened(proc, tree, now_ms)
    assert sensor.read().full_node == 1
    tree.has("0-1", node1=meminfo(1, 5000))
    now_ms[0] = 999
    assert sensor.read().full_node == 1
    now_ms[0] = 1000
    assert sensor.read().full_node == -1
    sensor.close()


@pytest.mark.parametrize(("nodes", "is_full_ms"), [("0-1", 1000), ("0", None)])
def test_where_there_are_several_nodes_a_calm_machine_looks_at_them_once_a_second(
    tree, proc, monkeypatch, nodes, is_full_ms
):
    now_ms = [0]
    tree.has(nodes, node0=meminfo(0, 5000), node1=meminfo(1, 5000))
    sensor = opened(proc, tree, now_ms)
    plenty = SimpleNamespace(total=16_000 * KIB, free=8000 * KIB, swap_total=0)
    monkeypatch.setattr("bustd_monitor.sensing.sensor.read_sysinfo", lambda: plenty)
    sensor.sysinfo_is_usable = True
    assert (sensor.read(20).is_whole, sensor.quick_look is None) == (False, is_full_ms is not None)
    tree.has(nodes, node1=meminfo(1, 0))
    found = [at for at in (500, 1000) if sensor_at(sensor, now_ms, at) == 1]
    assert found == ([is_full_ms] if is_full_ms else [])
    sensor.close()


def sensor_at(sensor: Sensor, now_ms: list[int], at_ms: int) -> int:
    now_ms[0] = at_ms
    return sensor.read(20).full_node


def test_the_watermarks_of_the_nodes_are_read_again_with_those_of_the_machine(tree, proc):
    now_ms = [0]
    tree.has("0-1", node0=meminfo(0, 5000), node1=meminfo(1, 600))
    sensor = opened(proc, tree, now_ms)
    assert sensor.read().full_node == -1
    proc.write("zoneinfo", zoneinfo((40, 60), (400, 600)))
    now_ms[0] = 60_000
    assert sensor.read().full_node == 1
    sensor.close()


# What is bound to a node


@pytest.mark.parametrize(
    ("line", "nodes"),
    [
        (b"Mems_allowed_list:\t0", {0}),
        (b"Mems_allowed_list:\t0-1,4\nvoluntary_ctxt_switches:\t7", {0, 1, 4}),
        (b"Mems_allowed_list:\t\n", None),
        (b"Mems_allowed_list:\tx", None),
        (b"Mems_allowed:\t00000000,00000001", None),
        (b"", None),
    ],
)
def test_which_nodes_a_process_may_use_is_in_its_status(line, nodes):
    assert parse_allowed(b"Name:\tleak\n" + line) == nodes


def test_on_this_machine_every_process_shows_it():
    if b"Mems_allowed_list:" not in Path("/proc/self/status").read_bytes():
        pytest.skip("a kernel without cpusets")
    assert allowed_nodes(os.getpid())
    assert allowed_nodes(2**22) is None


@pytest.fixture
def has(proc):
    """A function that makes a process with these nodes, sizes in MiB."""

    def make(pid: int, nodes: bytes, mib: int, comm: bytes = b"leak", **more: object) -> None:
        proc.process(pid, comm, anonymous_kib=mib * KIB, resident_pages=mib * KIB // PAGE_KIB, **more)
        allowed = b"Mems_allowed_list:\t" + nodes + b"\n" if nodes else b""
        proc.write(f"{pid}/status", (proc.directory / f"{pid}/status").read_bytes() + allowed)

    return make


def bound(proc, node: int) -> list[int] | None:
    table = ProcessTable(proc.path)
    found = CandidateSearch(table).bound_to(node)
    table.close()
    return None if found is None else [process.pid for process in found]


def test_of_what_may_use_the_full_node_alone_the_three_largest_are_named(proc, has):
    for pid, mib in ((301, 100), (302, 400), (303, 200), (304, 300)):
        has(pid, b"1", mib)
    has(305, b"0-1", 900)
    has(306, b"0", 800)
    assert bound(proc, 1) == [302, 304, 303]
    assert bound(proc, 0) == [306]
    assert bound(proc, 2) == []


def test_a_process_that_is_never_killed_is_named_too_and_a_kernel_thread_is_not(proc, has):
    has(301, b"1", 100, b"sshd", oom_score_adj=-1000)
    has(302, b"1", 0, b"kswapd1", flags=0x00200000)
    assert bound(proc, 1) == [301]


def test_no_more_than_the_64_largest_processes_are_asked(proc, has):
    has(300, b"1", 1)
    for pid in range(301, 365):
        has(pid, b"0-1", 2)
    assert bound(proc, 1) == []
    proc.remove("364")
    assert bound(proc, 1) == [300]


def test_where_no_process_shows_its_nodes_it_is_not_said_that_none_is_bound(proc, has):
    assert bound(proc, 1) is None
    has(301, b"", 100)
    assert bound(proc, 1) is None


# What is said


def said(*seen: tuple[int, float]) -> list:
    state, told = State(), []
    for second, (node, available_gib) in enumerate(seen):
        one = reading(available_gib * GIB)._replace(full_node=node)
        state, actions = states.on_reading(state, one, second * 1000, conditions())
        told += [(second, action.node) for action in actions if isinstance(action, NodeIsFull)]
    return told


def test_it_is_said_once_and_again_after_it_was_not_full():
    assert said((-1, 8), (1, 8), (1, 8), (-1, 8), (1, 8), (0, 8)) == [(1, 1), (4, 1), (5, 0)]


def test_where_the_machine_itself_is_short_nothing_is_said_of_its_nodes():
    assert said((1, 1.59)) == []
    assert said((1, 1.61)) == [(0, 1)]
