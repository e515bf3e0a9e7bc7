"""The first look by control group: it finds the victim without a walk, or says that a walk is needed."""

import errno

import pytest

from bustd_monitor.ranking.group_look import least_that_matters
from bustd_monitor.ranking.order import Terms
from bustd_monitor.ranking.search import CandidateSearch
from bustd_monitor.sensing.group_charges import Charged, GroupCharges
from bustd_monitor.sensing.process_table import ProcessTable
from bustd_shared.rules.protection import Protection
from tests.fakes.cgroupfs import FakeHierarchy
from tests.fakes.procfs import FakeProc
from tests.unit.monitor.making import GIB, MIB, matchers, victims

TERMS = Terms(victims(), Protection(), 16 * MIB, total_bytes=16 * GIB, room_bytes=GIB, needed_bytes=500 * MIB)
NONE_REFUSED = frozenset()
SERVICES = "/system.slice"
DELEGATED = "/user.slice/user@1000.service"


class Machine:
    """Processes in control groups. Each group is charged with what its processes hold, unless the test says more.

    `walked`: whether the process table was walked through. `asked`: the files of groups that were read.
    """

    def __init__(self, tmp_path, monkeypatch) -> None:
        self.proc, self.hierarchy = FakeProc(tmp_path), FakeHierarchy(tmp_path)
        self.walked, self.asked = False, []
        self._charged: dict[str, tuple[int, int, int]] = {}
        """In MiB: held by processes, page cache, shared memory."""
        self._unwritten: set[str] = set()
        self._machine_bytes = 0
        self.table = ProcessTable(self.proc.path, hierarchy=self.hierarchy.path)
        self.groups = GroupCharges(self.hierarchy.path, self.proc.path)
        self.search = CandidateSearch(self.table, self.groups)
        self._walk = self.table.walk
        monkeypatch.setattr(self.table, "walk", self._note_walk)
        for name in ("usage", "charged", "pids"):
            monkeypatch.setattr(self.groups, name, self._noted(name, getattr(self.groups, name)))
        monkeypatch.setattr(self.groups, "is_delegated", lambda path: path == DELEGATED)

    def process(self, pid: int, path: str, mib: int, **more) -> None:
        """A process of this size in a group; what it is charged to the test says by `charge`."""
        cgroup = f"0::{path or '/'}\n".encode()
        more = {"cgroup": cgroup, "oom_score": 666 + mib // 16, "resident_pages": mib * 256} | more
        self.proc.process(pid, anonymous_kib=mib * 1024, **more)

    def group(self, path: str, *pids: int, mib: int, cache_mib: int = 0, shared_mib: int = 0) -> None:
        """A group with these processes, and what it is charged with; the groups above are charged with it too."""
        self.hierarchy.group(path, *pids)
        while path:
            before = self._charged.get(path, (0, 0, 0))
            self._charged[path] = before[0] + mib, before[1] + cache_mib, before[2] + shared_mib
            self._unwritten.add(path)
            path = path.rpartition("/")[0]
        self.holds(mib)

    def write(self) -> None:
        """Write what the groups are charged with, where that has changed."""
        for path in self._unwritten:
            held, cache, shared = (mib * MIB for mib in self._charged[path])
            self.hierarchy.memory(path, current=held + cache + shared, anon=held, shmem=shared)
        self._unwritten.clear()
        self.proc.meminfo(anonymous_kib=self._machine_bytes // 1024)

    def service(self, pid: int, mib: int, **more) -> str:
        """A process of this size in a service of its own."""
        path = f"{SERVICES}/{pid}.service"
        self.process(pid, path, mib, **more)
        self.group(path, pid, mib=mib)
        return path

    def holds(self, mib: int) -> None:
        """The machine holds so much more."""
        self._machine_bytes += mib * MIB

    def rank(self, terms: Terms = TERMS) -> list[int]:
        """The PIDs of the candidates."""
        self.write()
        return [one.process.pid for one in self.search.rank(terms, NONE_REFUSED, 1000).candidates]

    def first(self, terms: Terms = TERMS) -> int:
        """The PID of the first candidate."""
        return self.rank(terms)[0]

    def count(self, what: str) -> int:
        return sum(name == what for name, _ in self.asked)

    def _note_walk(self, count: int):
        self.walked = True
        return self._walk(count)

    def _noted(self, name, function):
        return lambda path: self.asked.append((name, path)) or function(path)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    it = Machine(tmp_path, monkeypatch)
    yield it
    it.table.close()


@pytest.fixture
def busy(machine):
    """Thirty services of 20 MiB each."""
    for pid in range(1000, 1030):
        machine.service(pid, 20)
    return machine


def test_the_process_that_holds_most_is_found_by_its_group_without_a_walk(busy):
    busy.service(2000, 4000)
    assert busy.first() == 2000
    assert not busy.walked
    assert busy.count("pids") == 1


def test_the_next_in_the_order_are_read_too_where_they_may_matter(busy):
    busy.service(2000, 4000)
    busy.service(2001, 3000)
    assert busy.rank() == [2000, 2001]
    assert not busy.walked


def test_page_cache_does_not_hide_who_holds_memory_behind_it(busy):
    path = f"{SERVICES}/cache.service"
    busy.process(3000, path, 30)
    busy.group(path, 3000, mib=30, cache_mib=9000)
    busy.service(2000, 4000)
    assert busy.first() == 2000
    assert not busy.walked
    assert ("pids", path) not in busy.asked


def test_without_a_memory_controller_the_table_is_walked(machine):
    machine.process(2000, f"{SERVICES}/a.service", 4000)
    machine.hierarchy.group(f"{SERVICES}/a.service", 2000)
    machine.holds(4000)
    assert machine.first() == 2000
    assert machine.walked


def test_without_a_hierarchy_the_table_is_walked(machine):
    machine.process(2000, "", 4000)
    machine.holds(4000)
    machine.groups._root = ""
    assert machine.first() == 2000
    assert machine.walked


def test_where_groups_are_not_asked_the_table_is_walked(busy):
    busy.service(2000, 4000)
    busy.search = CandidateSearch(busy.table)
    assert busy.first() == 2000
    assert busy.walked


# Groups hide nobody


def test_a_process_that_was_moved_and_left_its_charge_behind_is_found(busy):
    old, new = f"{SERVICES}/old.service", f"{SERVICES}/new.service"
    busy.service(1999, 1500)
    busy.process(2000, new, 4000)
    busy.group(old, mib=4000)
    busy.group(new, 2000, mib=0)
    assert busy.first() == 2000
    assert busy.walked


def test_a_process_whose_old_group_is_gone_is_found(busy):
    """Its charge is that of the group above then."""
    busy.service(1999, 1500)
    busy.process(2000, f"{SERVICES}/new.service", 4000)
    busy.group(SERVICES, mib=4000)
    busy.group(f"{SERVICES}/new.service", 2000, mib=0)
    assert busy.first() == 2000
    assert busy.walked


def test_a_process_in_a_group_that_can_not_be_read_is_found(busy):
    busy.service(1999, 1500)
    path = busy.service(2000, 4000)
    busy.write()
    for name in ("memory.current", "memory.stat", "cgroup.procs"):
        (busy.hierarchy.directory / path[1:] / name).unlink()
    assert busy.first() == 2000
    assert busy.walked


@pytest.mark.parametrize("name", ["memory.stat", "cgroup.procs"])
def test_a_process_in_a_group_of_which_a_part_can_not_be_read_is_found(busy, name):
    busy.service(1999, 1500)
    path = busy.service(2000, 4000)
    busy.write()
    (busy.hierarchy.directory / path[1:] / name).unlink()
    assert busy.first() == 2000
    assert busy.walked


def test_a_process_in_the_root_is_found(busy):
    busy.service(1999, 1500)
    busy.process(2000, "", 4000)
    busy.holds(4000)
    assert busy.first() == 2000
    assert busy.walked


def test_a_process_that_spread_its_charge_over_many_groups_of_its_user_is_found(busy):
    busy.service(1999, 1500)
    for number in range(40):
        busy.group(f"{DELEGATED}/part-{number}.scope", mib=100)
    busy.process(2000, f"{DELEGATED}/hide.scope", 4000)
    busy.group(f"{DELEGATED}/hide.scope", 2000, mib=0)
    assert busy.first() == 2000
    assert busy.walked


def test_a_process_that_left_a_part_of_its_charge_behind_is_bounded_by_both_parts(busy):
    path = f"{SERVICES}/old.service"
    busy.process(1999, path, 1500)
    busy.group(path, 1999, mib=1500 + 250)
    busy.process(2000, f"{SERVICES}/new.service", 550)
    busy.group(f"{SERVICES}/new.service", 2000, mib=300)
    assert 2000 in busy.rank()
    assert busy.walked


def test_small_programs_in_many_groups_of_one_user_do_not_need_a_walk(busy):
    for number in range(40):
        path = f"{DELEGATED}/app-{number}.scope"
        busy.process(3000 + number, path, 100)
        busy.group(path, 3000 + number, mib=100)
    busy.process(2000, f"{DELEGATED}/leak.scope", 4000)
    busy.group(f"{DELEGATED}/leak.scope", 2000, mib=4000)
    assert busy.first() == 2000
    assert not busy.walked


def test_copies_do_not_explain_what_a_process_that_moved_away_left_behind(busy):
    busy.service(1999, 1500)
    path = f"{SERVICES}/server.service"
    for pid in range(3000, 3050):
        busy.process(pid, path, 100)
    busy.group(path, *range(3000, 3050), mib=4100)
    busy.process(2000, f"{SERVICES}/new.service", 4000)
    busy.group(f"{SERVICES}/new.service", 2000, mib=0)
    assert busy.first() == 2000
    assert busy.walked


def test_shared_memory_that_no_process_was_seen_to_map_needs_a_walk(busy):
    busy.service(1999, 1500)
    busy.process(2000, f"{SERVICES}/new.service", 10, memory={"shared_kib": 4000 * 1024}, oom_score=900)
    busy.group(f"{SERVICES}/new.service", 2000, mib=10)
    busy.group(SERVICES, mib=0, shared_mib=4000)
    assert busy.first(TERMS._replace(shared_bytes=4000 * MIB)) == 2000
    assert busy.walked


def test_a_process_of_shared_memory_is_found_by_its_group(busy):
    busy.service(1999, 1500)
    path = f"{SERVICES}/new.service"
    busy.process(2000, path, 10, memory={"shared_kib": 4000 * 1024}, oom_score=900)
    busy.group(path, 2000, mib=10, shared_mib=4000)
    assert busy.first(TERMS._replace(shared_bytes=4000 * MIB)) == 2000
    assert not busy.walked


def test_a_group_whose_groups_have_no_controller_is_read_with_all_below_it(busy):
    busy.process(2000, f"{DELEGATED}/app/leak.scope", 4000)
    busy.group(DELEGATED, mib=4000)
    busy.hierarchy.group(f"{DELEGATED}/app/leak.scope", 2000)
    assert busy.first() == 2000
    assert not busy.walked


# What groups are not enough for


def test_where_no_process_ends_the_shortage_alone_the_table_is_walked(busy):
    busy.service(2000, 400)
    assert busy.first() == 2000
    assert busy.walked


def test_where_a_rule_prefers_others_or_it_is_not_known_what_is_needed_the_table_is_walked(busy):
    busy.service(2000, 4000)
    for terms in (TERMS._replace(victims=victims(prefer=matchers(names=(b"x",)))), TERMS._replace(needed_bytes=0)):
        busy.walked, busy.search = False, CandidateSearch(busy.table, busy.groups)
        busy.first(terms)
        assert busy.walked


def test_where_the_largest_is_avoided_the_table_is_walked(busy):
    busy.service(2000, 4000, comm=b"precious")
    busy.first(TERMS._replace(victims=victims(avoid=matchers(names=(b"precious",)))))
    assert busy.walked


def test_memory_that_was_lost_and_that_nothing_explains_is_looked_for_in_the_table(busy):
    busy.service(2000, 4000)
    busy.search._accounts.note(TERMS._replace(room_bytes=8 * GIB), list, 500)
    busy.first(TERMS._replace(room_bytes=2 * GIB))
    assert busy.walked


def test_where_many_groups_matter_equally_only_so_many_are_opened(machine):
    for pid in range(1000, 1100):
        machine.service(pid, 600)
    machine.first()
    assert machine.count("pids") <= 65
    assert machine.walked


def test_where_a_group_has_too_many_processes_the_table_is_walked(machine):
    path = f"{SERVICES}/crowd.service"
    machine.process(2000, path, 4000)
    machine.group(path, 2000, *range(3000, 5100), mib=4000)
    assert machine.first() == 2000
    assert machine.walked


def test_without_a_descriptor_to_list_them_the_table_is_walked(busy, monkeypatch):
    def below(_path):
        raise OSError(errno.EMFILE, "none left")

    busy.service(2000, 4000)
    monkeypatch.setattr(busy.groups, "below", below)
    assert busy.first() == 2000
    assert busy.walked


def test_a_search_that_was_prepared_asks_no_group(busy):
    busy.service(2000, 4000)
    for second in range(1, 8):
        busy.search.watch(TERMS, second * 1000)
    busy.write()
    busy.search.rank(TERMS, NONE_REFUSED, 8000)
    assert busy.asked == []


def test_the_decision_after_it_walks(busy):
    busy.service(2000, 4000)
    assert busy.first() == 2000
    assert not busy.walked
    assert busy.first() == 2000
    assert busy.walked
    assert busy.search.has_finished_a_round


def test_right_after_it_the_whole_table_is_walked_however_many_processes_there_are(busy):
    for pid in range(10_000, 10_800):
        busy.process(pid, f"{SERVICES}/1000.service", 0)
    busy.service(2000, 4000)
    busy.first()
    busy.search.watch(TERMS, 1010, lambda: True)
    assert not busy.search.has_finished_a_round, "when the next reading is due the rest waits"
    busy.search.watch(TERMS, 1020)
    assert busy.search.has_finished_a_round
    assert busy.first() == 2000


def test_after_five_minutes_it_is_a_first_look_again(busy):
    busy.service(2000, 4000)
    busy.write()
    for now_ms, walked in ((1000, False), (400_000, False), (500_000, True)):
        busy.walked = False
        busy.search.rank(TERMS, NONE_REFUSED, now_ms)
        assert busy.walked is walked


def test_protected_processes_explain_what_their_group_is_charged_with(busy):
    busy.service(2000, 4000)
    busy.service(3000, 5000, uid=7)
    assert busy.first(TERMS._replace(advice=Protection(uids=(7,)))) == 2000
    assert not busy.walked


def test_the_first_process_explains_what_its_group_is_charged_with_and_is_no_candidate(busy):
    busy.service(2000, 4000)
    busy.service(1, 5000)
    assert busy.rank() == [2000]
    assert not busy.walked


# What is read of a group


def test_of_hundreds_of_small_groups_only_their_use_is_read(machine):
    for pid in range(1000, 1300):
        machine.service(pid, 2)
    machine.service(2000, 4000)
    assert machine.first() == 2000
    assert not machine.walked
    assert machine.count("charged") <= 5


def test_a_group_is_charged_with_anonymous_memory_page_tables_swap_and_shared_memory(machine):
    machine.hierarchy.memory("/a", current=90, swap_current=7, anon=50, pagetables=3, shmem=20)
    machine.proc.meminfo(swap_total_kib=10, swap_free_kib=5, anonymous_kib=1)
    assert machine.groups.of_machine() == Charged(1024 + 5 * 1024, 0)
    assert machine.groups.charged("/a") == Charged(60, 20)
    assert machine.groups.usage("/a") == 97
    assert machine.groups.charged("/b") is None
    assert machine.groups.usage("/b") is None


def test_where_nothing_is_swapped_out_no_group_is_asked_for_swap(machine):
    machine.hierarchy.memory("/a", current=90, swap_current=7, anon=50)
    machine.proc.meminfo(swap_total_kib=10, swap_free_kib=10)
    machine.groups.of_machine()
    assert machine.groups.usage("/a") == 90


def test_a_machine_that_does_not_show_its_anonymous_memory_is_unknown(machine):
    machine.proc.write("meminfo", b"MemTotal: 100 kB\n")
    assert machine.groups.of_machine() is None


def test_a_group_belongs_to_root_or_is_delegated(machine, monkeypatch):
    monkeypatch.undo()
    groups = GroupCharges("")
    assert not groups.is_delegated("/proc/1")
    assert groups.is_delegated("/nowhere")


def test_a_process_matters_from_what_ends_the_shortage_or_is_a_third_of_the_largest():
    assert least_that_matters(900 * MIB, TERMS) == 300 * MIB
    assert least_that_matters(9 * GIB, TERMS) == 500 * MIB
    assert least_that_matters(0, TERMS) == 16 * MIB
