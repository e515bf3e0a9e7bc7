"""NUMA nodes that are full while the machine is not: from trees of files, as no machine here has two nodes."""

import pytest

from bustd_monitor.deciding import states
from bustd_monitor.deciding.actions import NodeIsFull
from bustd_monitor.deciding.states import State
from bustd_monitor.sensing.nodes import Node, Nodes, parse_node
from bustd_monitor.sensing.sensor import Sensor
from tests.fakes.procfs import FakeProc
from tests.unit.monitor.making import GIB, conditions, reading

KIB = 1024


def meminfo(number: int, free_kib: int, file_kib: int = 0, total_kib: int = 10_000) -> bytes:
    lines = {
        "MemTotal": total_kib,
        "MemFree": free_kib,
        "Active": 7,
        "Active(file)": file_kib,
        "Inactive(file)": file_kib,
        "SReclaimable": 1,
    }
    return b"".join(b"Node %d %s: %8d kB\n" % (number, name.encode(), kib) for name, kib in lines.items())


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
def full(tree):
    """What is full, time after time."""
    opened = []

    def ask() -> int:
        if not opened:
            opened.append(Nodes(tree.path))
        return opened[0].full()

    yield ask
    for nodes in opened:
        nodes.close()


def test_a_node_has_what_is_free_and_what_can_be_reclaimed():
    assert parse_node(meminfo(3, 500, 100)) == Node(3, 10_000 * KIB, 701 * KIB)


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


def test_a_reading_has_it_once_a_second_and_in_calm_once_a_minute(tree, tmp_path):
    proc = FakeProc(tmp_path)
    proc.meminfo(total_kib=16_000, free_kib=8000, available_kib=8000, anonymous_kib=100)
    now_ms = [0]
    tree.has("0-1", node0=meminfo(0, 5000), node1=meminfo(1, 0))
    sensor = Sensor(proc.path, tree.path, lambda: now_ms[0] * 1_000_000)
    assert sensor.read().full_node == 1
    tree.has("0-1", node1=meminfo(1, 5000))
    now_ms[0] = 999
    assert sensor.read().full_node == 1
    now_ms[0] = 1000
    assert sensor.read().full_node == -1
    sensor.close()


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
