"""What memory.min of the top-level groups adds to the limit of check 9: on trees of files."""

import pytest

from bustd_killer.stage1.memory_min import agreed_percent
from tests.fakes.procfs import FakeProc

MIB = 2**20


@pytest.fixture
def machine(tmp_path):
    """Memory of 1000 MiB, and a function that makes a group with this memory.min."""
    proc = FakeProc(tmp_path)
    proc.meminfo(total_kib=1000 * 1024, available_kib=500 * 1024)
    root = tmp_path / "cgroup"

    def protect(path: str, least: str) -> None:
        (root / path).mkdir(parents=True, exist_ok=True)
        (root / path / "memory.min").write_text(f"{least}\n")

    root.mkdir()
    return protect, lambda percent=40: agreed_percent(percent, str(root), proc.path)


def test_where_nothing_is_held_back_the_limit_is_roots_own(machine):
    protect, agreed = machine
    assert agreed() == 40
    protect("system.slice", "0")
    assert agreed() == 40


@pytest.mark.parametrize(
    ("groups", "percent"),
    [
        ({"system.slice": 300 * MIB}, 70),
        ({"system.slice": 300 * MIB, "user.slice": 100 * MIB}, 80),
        ({"system.slice": 900 * MIB}, 95),
        ({"system.slice": "max"}, 95),
        ({"system.slice/a.service": 300 * MIB, "system.slice": 0}, 40),
        ({"bustd.slice": 300 * MIB}, 40),
        ({"system.slice": "many"}, 40),
    ],
)
def test_it_rises_by_what_the_top_level_groups_hold_back(machine, groups, percent):
    protect, agreed = machine
    for path, least in groups.items():
        protect(path, str(least))
    assert agreed() == percent


def test_a_limit_that_is_higher_already_is_never_lowered(machine):
    protect, agreed = machine
    protect("system.slice", str(100 * MIB))
    assert agreed(97) == 97


def test_without_control_groups_or_meminfo_the_limit_is_roots_own(machine, tmp_path):
    assert agreed_percent(40, "", str(tmp_path / "proc")) == 40
    protect, _ = machine
    protect("system.slice", str(300 * MIB))
    assert agreed_percent(40, str(tmp_path / "cgroup"), str(tmp_path / "nothing")) == 40
