"""What each process is charged with: shared memory once per family, and one memory once, however many have it."""

import pytest

from bustd_monitor.ranking import order
from bustd_monitor.ranking.accounting import SharedMemory, accounted
from bustd_monitor.ranking.order import Cause
from bustd_monitor.ranking.terms import Terms
from bustd_monitor.reporting import reasons
from bustd_protocol.messages import Scope
from bustd_shared.rules.protection import Protection
from tests.unit.monitor.making import GIB, MIB, process, victims

PYTHON, POSTGRES = 2800 * 1024, 8000 * 1024


def held(processes, there_is: int = 8 * GIB, gained: int = 0) -> dict[int, int]:
    """What counts for each, in MiB."""
    return {one.pid: one.held_bytes // MIB for one in accounted(processes, SharedMemory(there_is, gained))}


def sharing(pid: int, private: int, shared: int, **changed):
    """A process that holds this many MiB and maps this many."""
    return process(
        pid, **{"held_bytes": private * MIB, "shared_bytes": shared * MIB, "program_bytes": PYTHON, **changed}
    )


def server(*mapped: int, parents: int = 100) -> list:
    """A server whose parent maps 100 MiB and whose workers map these MiB, each with 20 MiB of its own."""
    workers = [sharing(200 + at, 20, mib, parent=100, program_bytes=POSTGRES) for at, mib in enumerate(mapped)]
    return [sharing(100, 10, parents, parent=1, program_bytes=POSTGRES), *workers]


# Shared memory


def test_what_files_explain_counts_for_no_process():
    assert held([sharing(1, 60, 900)], there_is=0) == {1: 60}


def test_the_process_that_alone_maps_it_is_charged_with_all_of_it_that_there_is():
    assert held([sharing(1, 60, 900), process(2, held_bytes=150 * MIB)]) == {1: 960, 2: 150}
    assert held([sharing(1, 60, 900)], there_is=500 * MIB) == {1: 560}


def test_what_is_held_and_shared_is_together_what_the_killer_counts():
    (one,) = accounted([sharing(1, 60, 900)], SharedMemory(500 * MIB, 0))
    assert one.held_bytes + one.shared_bytes == 960 * MIB


def test_the_buffers_of_a_server_are_charged_to_its_parent_once():
    counted = held(server(3000, 2500, 400), there_is=4 * GIB)
    assert counted == {100: 3010, 200: 20, 201: 20, 202: 20}


def test_they_are_charged_once_also_where_all_together_map_less_than_there_is():
    assert held(server(300, 300, parents=20), there_is=8 * GIB) == {100: 310, 200: 20, 201: 20}


def test_a_parent_that_only_starts_programs_is_charged_with_nothing():
    assert held(server(3000, 400, parents=2), there_is=3 * GIB) == {100: 10, 200: 3020, 201: 20}


def test_grandchildren_belong_to_the_family():
    grandchild = sharing(300, 40, 2000, parent=200, program_bytes=POSTGRES)
    assert held([*server(1000), grandchild], there_is=3 * GIB)[100] == 10
    assert sum(held([*server(1000), grandchild], there_is=3 * GIB).values()) == 10 + 20 + 40 + 2000


def test_another_program_that_a_process_has_started_maps_memory_of_its_own():
    desktop = sharing(100, 300, 90, parent=1, program_bytes=POSTGRES)
    java = sharing(200, 300, 9000, parent=100)
    assert held([desktop, java], there_is=9100 * MIB) == {100: 390, 200: 9300}


def test_children_that_were_started_side_by_side_count_each_while_all_map_no_more_than_there_is():
    several = [sharing(1, 10, 900, parent=50), sharing(2, 20, 300, parent=50)]
    assert held(several, there_is=1200 * MIB) == {1: 910, 2: 320}
    assert held(several, there_is=1100 * MIB) == {1: 910, 2: 20}, "they must have something in common"


def test_services_which_all_descend_from_init_are_no_family():
    services = [sharing(11, 10, 900, parent=1), sharing(12, 20, 300, parent=1)]
    assert held(services, there_is=1000 * MIB) == {11: 910, 12: 320}


def test_the_same_program_in_another_control_group_is_no_family():
    apart = [sharing(pid, 10, 400, parent=50, cgroup=f"/app-{pid}.scope") for pid in (1, 2)]
    assert held(apart, there_is=500 * MIB) == {1: 410, 2: 410}


def test_it_has_gained_what_it_mapped_recently_as_far_as_there_is_more_shared_memory_than_before():
    leak = sharing(1, 60, 900, gained_bytes=5 * MIB, shared_gained_bytes=400 * MIB)
    for machine, gained in ((GIB, 405), (100 * MIB, 105), (0, 5)):
        (one,) = accounted([leak], SharedMemory(2 * GIB, machine))
        assert one.gained_bytes == gained * MIB


def test_parents_in_a_circle_of_reused_pids_do_no_harm():
    assert held([sharing(11, 0, 50, parent=12), sharing(12, 0, 40, parent=11)], there_is=60 * MIB)[11] == 50


# One memory


def twin(pid: int, parent: int, **changed):
    return process(pid, parent=parent, memory_print=77, held_bytes=100 * MIB, **changed)


def test_two_processes_with_one_memory_are_charged_once_and_the_elder_is():
    pair = [twin(20, 10, start_ticks=500), twin(10, 5, start_ticks=400)]
    assert held(pair) == {20: 0, 10: 100}


def test_children_of_one_parent_may_have_one_memory_too():
    assert held([twin(20, 10, start_ticks=500), twin(30, 10, start_ticks=600)]) == {20: 100, 30: 0}


def test_more_than_two_siblings_that_look_alike_count_each_as_a_herd_of_forks_does():
    assert held([twin(pid, 10, start_ticks=pid) for pid in (20, 30, 40)]) == {20: 100, 30: 100, 40: 100}
    eldest = twin(10, 5, start_ticks=1)
    assert held([eldest, *(twin(pid, 10, start_ticks=pid) for pid in (20, 30))]) == {10: 100, 20: 0, 30: 0}


def test_processes_that_only_look_alike_are_not_related_and_count_each():
    assert held([twin(20, 10), twin(30, 11)]) == {20: 100, 30: 100}


def test_two_services_that_do_the_same_work_are_no_pair_though_init_is_the_parent_of_both():
    services = [twin(pid, 1, start_ticks=pid, cgroup=f"/system.slice/worker-{pid}.service") for pid in (20, 30)]
    assert held(services) == {20: 100, 30: 100}


def test_a_process_of_which_no_such_thing_is_known_is_like_no_other():
    unknown = [process(pid, parent=5, held_bytes=100 * MIB) for pid in (10, 20)]
    assert held(unknown) == {10: 100, 20: 100}


# Copies


def forked(child_mib: int, **changed):
    """A server of 400 MiB, and a child of it that holds this much."""
    parent = process(10, parent=5, start_ticks=400, held_bytes=400 * MIB, program_bytes=PYTHON)
    made = {"start_ticks": 500, "program_bytes": PYTHON, "held_bytes": child_mib * MIB, **changed}
    return [parent, process(20, parent=10, **made)]


def copied(processes) -> dict[int, int]:
    """What stays when each dies, in MiB."""
    return {one.pid: one.copied_bytes // MIB for one in accounted(processes, SharedMemory())}


def test_a_child_that_holds_as_much_as_its_parent_is_a_copy_and_counts_as_what_it_holds_beyond():
    assert (held(forked(400)), copied(forked(400))) == ({10: 400, 20: 0}, {10: 400, 20: 0})
    assert (held(forked(390)), copied(forked(390))) == ({10: 400, 20: 0}, {10: 390, 20: 0})
    assert (held(forked(420)), copied(forked(420))) == ({10: 400, 20: 20}, {10: 400, 20: 0})


@pytest.mark.parametrize(
    "changed",
    [{"held_bytes": 430 * MIB}, {"held_bytes": 370 * MIB}, {"program_bytes": POSTGRES}, {"start_ticks": 300}],
    ids=["holds more", "holds less", "another program", "older than its parent"],
)
def test_a_child_that_is_no_copy_counts_whole(changed):
    processes = forked(400, **changed)
    assert held(processes) == {10: 400, 20: processes[1].held_bytes // MIB}
    assert copied(processes) == {10: 0, 20: 0}


def test_after_the_death_of_its_parent_a_copy_counts_whole():
    assert held(forked(400)[1:]) == {20: 400}


def test_one_of_which_a_copy_lives_dies_after_a_smaller_one_and_is_still_known_to_hold_it():
    leak = process(30, held_bytes=160 * MIB)
    counted = accounted([*forked(400), leak], SharedMemory())
    first, second = order.rank(counted, Terms(victims(), Protection(), 16 * MIB)).candidates
    assert (first.process.pid, second.process.pid, second.held_bytes) == (30, 10, 400 * MIB)
    assert [move.cause for move in second.moves] == [Cause.COPIED]


def test_of_many_with_one_memory_all_die_with_the_eldest():
    family = [twin(10, 5, start_ticks=1), *(twin(pid, 10, start_ticks=pid) for pid in (20, 30))]
    counted = accounted(family, SharedMemory())
    (first,) = order.rank(counted, Terms(victims(), Protection(), 16 * MIB)).candidates
    assert (first.process.pid, first.process.twins) == (10, ((20, 20), (30, 30)))
    assert reasons.place(first) == "holds 100 MiB together with 20 and 1 more that have the same memory"


def test_the_elder_of_two_with_one_memory_dies_with_the_other():
    counted = accounted([twin(20, 10, start_ticks=500), twin(10, 5, start_ticks=400)], SharedMemory())
    (first,) = order.rank(counted, Terms(victims(), Protection(), 16 * MIB)).candidates
    assert (first.process.pid, first.process.twins) == (10, ((20, 500),))
    assert (first.scope, first.held_bytes) == (Scope.GROUP, 100 * MIB)
