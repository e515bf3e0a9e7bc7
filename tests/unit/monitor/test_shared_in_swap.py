"""Shared memory that was swapped out: found by what a control group has in swap, and counted as growth alone."""

import pytest

from bustd_monitor.ranking.accounting import SharedMemory, accounted
from bustd_monitor.ranking.shared_in_swap import SharedInSwap, swapped_bytes
from tests.unit.monitor.making import GIB, MIB, process

SERVICE, SCOPE = "/system.slice/java.service", "/user.slice/session-2.scope"


def mapping(pid: int, resident: int, in_group: int, *, private: int = 0, cgroup: str = SERVICE, **changed):
    """A process that maps so much, with `private` in swap, in a group that has `in_group` there (MiB)."""
    sizes = {"shared_bytes": resident * MIB, "swapped_bytes": private * MIB, "group_swapped_bytes": in_group * MIB}
    return process(pid, cgroup=cgroup, held_bytes=100 * MIB, **sizes, **changed)


def gains(*seen: list, machine_mib: int = 0) -> dict[int, int]:
    """MiB that each has gained at the last of these looks, which are a second apart."""
    known = SharedInSwap()
    for at, processes in enumerate(seen[:-1]):
        known.note(processes, at * 1000)
    counted = known.with_gains(seen[-1], (len(seen) - 1) * 1000)
    shared = SharedMemory(8 * GIB, machine_mib * MIB)
    return {one.pid: one.gained_bytes // MIB for one in accounted(counted, shared)}


def test_what_a_group_has_in_swap_beside_what_its_processes_show_there_is_shared_memory():
    found = swapped_bytes([mapping(1, 500, 300, private=80), process(2, cgroup=SERVICE, swapped_bytes=20 * MIB)])
    assert found == {1: 200 * MIB}


def test_copies_may_show_more_than_there_is_which_says_nothing():
    assert swapped_bytes([mapping(1, 500, 300, private=200), mapping(2, 500, 300, private=200)]) == {1: 0, 2: 0}


def test_what_it_mapped_before_anything_was_swapped_out_counts_from_then_on():
    assert gains([mapping(1, 100, 0)], [mapping(1, 400, 0)], [mapping(1, 500, 90)], machine_mib=400) == {1: 490}


def test_a_process_whose_group_is_not_known_is_left_out():
    assert swapped_bytes([process(1, shared_bytes=GIB, swapped_bytes=MIB)]) == {}


def test_a_leak_that_is_swapped_out_as_fast_as_it_grows_has_gained_all_of_it():
    assert gains([mapping(1, 500, 0)], [mapping(1, 500, 100)], [mapping(1, 480, 300)]) == {1: 280}


def test_it_has_gained_no_more_than_it_maps():
    assert gains([mapping(1, 50, 10)], [mapping(1, 50, 400)]) == {1: 50}


def test_what_is_only_moved_to_swap_is_no_gain():
    assert gains([mapping(1, 500, 10)], [mapping(1, 300, 210)]) == {1: 0}
    assert gains([mapping(1, 300, 210)], [mapping(1, 500, 10)], machine_mib=200) == {1: 0}, "nor what is read back"


def test_private_memory_of_others_in_the_group_that_is_swapped_out_is_no_gain():
    before = [mapping(1, 500, 10), process(2, cgroup=SERVICE)]
    now = [mapping(1, 500, 210), process(2, cgroup=SERVICE, swapped_bytes=200 * MIB)]
    assert gains(before, now)[1] == 0


def test_what_another_group_swaps_out_is_none_of_its_own():
    before = [mapping(1, 500, 10), mapping(2, 500, 10, cgroup=SCOPE)]
    assert gains(before, [mapping(1, 500, 10), mapping(2, 500, 410, cgroup=SCOPE)]) == {1: 0, 2: 400}


def test_one_that_maps_more_of_what_others_hold_has_gained_no_more_than_there_is_more_of_it():
    """A worker that touches the buffers of its server: only their growth, in memory and in swap, is new."""
    assert gains([mapping(1, 100, 10)], [mapping(1, 600, 30)], machine_mib=50) == {1: 70}


@pytest.mark.parametrize("looks", [1, 2])
def test_what_is_claimed_for_its_death_is_what_the_killer_can_see(looks):
    known = SharedInSwap()
    for at in range(looks):
        known.note([mapping(1, 500, 100 * at + 1)], at * 1000)
    (one,) = accounted(known.with_gains([mapping(1, 500, 900)], 5000), SharedMemory(8 * GIB, 0))
    assert (one.held_bytes, one.shared_bytes) == (600 * MIB, 0)


def test_of_a_process_that_is_gone_nothing_is_kept():
    known = SharedInSwap()
    known.note([mapping(1, 500, 100)], 0)
    known.note([], 1000)
    (again,) = known.with_gains([mapping(1, 500, 400, shared_gained_bytes=7)], 2000)
    assert again.shared_gained_bytes == 7
