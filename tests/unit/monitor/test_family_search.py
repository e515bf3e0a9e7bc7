"""A family that runs away, found in the process table: on trees made for the test."""

import pytest

from bustd_monitor.ranking.books import Shortfall
from bustd_monitor.ranking.order import Cause, Terms
from bustd_monitor.ranking.search import CandidateSearch
from bustd_monitor.sensing.kin import Kinship
from bustd_monitor.sensing.process_table import ProcessTable
from bustd_protocol.messages import Scope
from bustd_shared.rules.protection import Protection
from tests.fakes.cgroupfs import FakeHierarchy
from tests.fakes.procfs import FakeProc
from tests.unit.monitor.making import GIB, MIB, matchers, ticks_ago, victims

TERMS = Terms(victims(), Protection(), 16 * MIB, total_bytes=GIB, room_bytes=800 * MIB, needed_bytes=60 * MIB)
UNIT = "/user.slice/user-1000.slice/user@1000.service/app.slice/app.scope"
SESSION = b"0::/user.slice/user-1000.slice/session-1.scope\n"
PARENT, FIRST, OLDER, EDITOR = 50, 100, 20, 30
HERD = range(FIRST, FIRST + 30)


class Scene:
    """A tree of processes, a search in it, and a clock."""

    def __init__(self, tmp_path) -> None:
        self.proc, self.hierarchy = FakeProc(tmp_path), FakeHierarchy(tmp_path)
        self.table = ProcessTable(self.proc.path, hierarchy=self.hierarchy.path)
        self.search = CandidateSearch(self.table)
        self.now_ms = 100_000
        self.room = 800 * MIB

    def holds(self, pid: int, mib: float, comm: bytes = b"leak", *, age_s: float = 3600, **how) -> None:
        kib = int(mib * 1024)
        how = {"cgroup": SESSION, "group": 5, "parent": PARENT, "start_ticks": ticks_ago(age_s)} | how
        self.proc.process(pid, comm, anonymous_kib=kib, resident_pages=kib // 4, oom_score=670, **how)

    def herd(self, mib: float = 12, pids: range = HERD, **how) -> None:
        for pid in pids:
            self.holds(pid, mib, **how)

    def watch(self, seconds: int = 1, *, lost: int = 0, terms: Terms = TERMS) -> None:
        """A second passes, in which so many MiB are lost."""
        for _ in range(seconds):
            self.now_ms += 1000
            self.room -= lost * MIB
            self.search.watch(terms._replace(room_bytes=self.room), self.now_ms)

    def rank(self, terms: Terms = TERMS, refused: frozenset = frozenset()):
        return self.search.rank(terms._replace(room_bytes=self.room), refused, self.now_ms).candidates


@pytest.fixture
def scene(tmp_path):
    it = Scene(tmp_path)
    it.holds(OLDER, 250, b"older", parent=1, group=OLDER)
    it.holds(PARENT, 2, b"make", parent=1)
    yield it
    it.table.close()


def grown(scene, **how) -> None:
    """The herd has come to 12 MiB each, a little every second."""
    for mib in range(1, 13):
        scene.herd(mib, **how)
        scene.watch(lost=30)


def dying(candidate) -> list[int]:
    return sorted([candidate.process.pid, *(pid for pid, _ in candidate.family.others)])


def test_a_herd_that_grows_dies_in_one_batch_before_the_older_program_that_is_larger_than_any_of_them(scene):
    grown(scene)
    first, *others = scene.rank()
    assert dying(first) == [*HERD]
    assert [one.process.pid for one in others] == [OLDER]
    assert (first.scope, first.held_bytes, first.known) == (Scope.GROUP, 360 * MIB, 30)
    assert first.moves[0].cause is Cause.RUNS_AWAY
    assert (first.family.kinship, first.family.parent_comm) == (Kinship(PARENT, b"leak"), b"make")
    assert first.family.claimed_bytes == 360 * MIB


def test_so_does_one_of_processes_that_come_one_after_the_other(scene):
    scene.watch(2)
    for pid in HERD:
        scene.holds(pid, 12, age_s=0)
        scene.watch(lost=12)
    assert [*HERD][-10:] == dying(scene.rank()[0])[-10:], "the last at least"
    assert OLDER not in dying(scene.rank()[0])


def test_before_anything_was_seen_to_grow_what_was_started_just_now_has_gained(scene):
    scene.herd(age_s=4)
    assert dying(scene.rank()[0]) == [*HERD]


def test_a_herd_that_does_not_grow_is_left_alone_where_another_death_helps(scene):
    scene.herd()
    scene.watch(12)
    assert scene.rank()[0].process.pid == OLDER


def test_and_dies_where_no_other_death_would(scene):
    scene.herd()
    scene.holds(OLDER, 29, b"older", parent=1, group=OLDER)
    scene.watch(12)
    assert dying(scene.rank()[0]) == [*HERD]


def test_a_server_whose_forked_child_keeps_what_it_holds_is_no_other_death(scene):
    scene.herd()
    scene.holds(OLDER, 90, b"server", parent=1, group=OLDER)
    scene.holds(EDITOR, 90, b"server", parent=OLDER, group=OLDER)
    scene.watch(12)
    assert dying(scene.rank()[0]) == [*HERD]


def test_processes_that_hold_next_to_nothing_do_not_die_although_they_are_many(scene):
    scene.herd(0.9, range(100, 400))
    scene.holds(OLDER, 29, b"older", parent=1, group=OLDER)
    scene.watch(12)
    assert scene.rank()[0].process.pid == OLDER
    scene.herd(1.1, range(100, 400))
    scene.watch(12)
    assert dying(scene.rank()[0]) == [*range(100, 400)]


def test_without_a_family_one_that_runs_away_dies_alone(scene):
    scene.herd()
    for mib in range(20, 320, 20):
        scene.holds(EDITOR, mib, b"editor")
        scene.watch(lost=20)
    (first, *_) = scene.rank()
    assert (first.process.pid, first.scope, first.family) == (EDITOR, Scope.PROCESS, None)


def test_as_long_as_nothing_is_known_of_what_is_needed_there_is_no_family(scene):
    grown(scene)
    assert not any(one.family for one in scene.rank(TERMS._replace(needed_bytes=0)))


def test_those_of_one_name_are_a_family_too(scene):
    grown(scene, parent=1)
    first = scene.rank()[0]
    assert (first.family.kinship, first.family.parent_comm) == (Kinship(0, b"leak"), b"")


def test_what_the_leader_of_a_session_has_started_is_a_family_only_by_its_name(scene):
    grown(scene, group=PARENT)
    assert scene.rank()[0].family.kinship == Kinship(0, b"leak")
    for pid in HERD:
        scene.holds(pid, 12, b"app%d" % pid, group=PARENT)
    assert not any(one.family for one in scene.rank())


def forked_at_once(scene, *, lost: int) -> None:
    """The herd comes, each as large as its parent of the same name, and so much is lost meanwhile."""
    scene.holds(PARENT, 12, b"leak", parent=1)
    scene.watch(12)
    scene.herd(12, age_s=0.1)
    scene.watch(lost=lost)


def test_what_they_have_copied_from_their_parent_does_not_count(scene):
    forked_at_once(scene, lost=20)
    scene.holds(OLDER, 270, b"older", parent=1, group=OLDER)
    assert not any(one.family for one in scene.rank()), "each holds a copy of what the parent holds"


def test_where_nothing_else_explains_what_was_lost_they_have_copied_nothing(scene):
    forked_at_once(scene, lost=350)
    assert dying(scene.rank()[0]) == [*HERD]


@pytest.mark.parametrize(("mib", "is_each_once"), [(0, False), (599, False), (620, True)])
def test_before_anything_was_seen_no_page_is_a_copy_where_the_machine_has_as_many_as_all_processes_hold(
    scene, mib, is_each_once
):
    """Thirty of 12 MiB, their parent of 12 MiB and the older one of 265 MiB: 637 MiB if each page is there once."""
    scene.holds(OLDER, 265, b"older", parent=1, group=OLDER)
    scene.holds(PARENT, 12, b"leak", parent=1)
    scene.herd(12, age_s=3)
    first = scene.rank(TERMS._replace(anonymous_bytes=mib * MIB))[0]
    assert dying(first) == [*HERD] if is_each_once else first.process.pid == OLDER, first


def test_a_newcomer_that_holds_much_does_not_hide_a_family_that_came_with_it(scene):
    scene.holds(OLDER, 265, b"older", parent=1, group=OLDER, age_s=4)
    scene.herd(12, age_s=3)
    assert dying(scene.rank()[0]) == [*HERD]


def test_after_a_calm_the_first_watch_makes_a_round_so_that_growth_is_seen_half_a_second_later(scene):
    scene.herd(6, age_s=60)
    scene.watch(lost=0)
    scene.herd(12, age_s=60)
    scene.room -= 180 * MIB
    scene.now_ms += 500
    assert dying(scene.rank()[0]) == [*HERD]


def test_a_round_from_before_a_calm_is_nothing_to_compare_with(scene):
    """The older program has come since then, too, and holds more than the herd has gained in the last seconds."""
    scene.proc.remove(str(OLDER))
    scene.watch(3)
    scene.now_ms += 60_000
    scene.holds(OLDER, 265, b"older", parent=1, group=OLDER, age_s=12)
    for mib in (3, 5, 7):
        scene.herd(mib, age_s=11)
        scene.watch(lost=60)
    assert dying(scene.rank()[0]) == [*HERD]


def test_what_has_grown_like_its_parent_is_no_copy(scene):
    scene.holds(PARENT, 12, b"leak", parent=1)
    grown(scene)
    assert dying(scene.rank()[0]) == [*HERD]


def test_what_is_avoided_as_shipped_is_none_of_them(scene):
    grown(scene)
    scene.holds(FIRST, 12, b"sway")
    assert dying(scene.rank()[0]) == [*HERD[1:]]


def test_what_has_disappointed_before_counts_by_what_it_was_seen_to_gain(scene):
    grown(scene)
    book = Shortfall(1000, PARENT, b"leak", 12 * MIB, 2 * MIB, scene.now_ms, scene.now_ms + 1000)
    (first, *_), (booked, *_) = scene.rank(), scene.rank(TERMS._replace(books=(book,)))
    assert first.family and booked.family, "what each was seen to gain is its own"
    assert booked.held_bytes == 11 * MIB * len(HERD) < first.held_bytes


def test_what_has_not_grown_lives_also_where_it_has_the_same_name(scene):
    scene.herd(9, range(200, 210))
    grown(scene)
    assert dying(scene.rank()[0]) == [*HERD]


# What may not die with the others


@pytest.mark.parametrize("how", [{"oom_score_adj": -1000}, {"uid": 26}, {"comm": b"precious"}, {"comm": b"avoided"}])
def test_one_that_is_protected_or_avoided_lives_and_the_others_die(scene, how):
    rules = victims(never=matchers(names=(b"precious",)), avoid=matchers(names=(b"avoided",)))
    terms = TERMS._replace(victims=rules, advice=Protection(uids=(26,)))
    grown(scene)
    scene.holds(FIRST, 12, **how)
    assert dying(scene.rank(terms)[0]) == [*HERD[1:]]


def test_one_that_the_killer_has_refused_is_left_out(scene):
    grown(scene)
    refused = scene.rank()[0].process
    assert dying(scene.rank(refused=frozenset({(refused.pid, refused.start_ticks)}))[0]) == [
        pid for pid in HERD if pid != refused.pid
    ]


def test_a_rule_on_the_command_line_protects_a_member(scene):
    grown(scene)
    scene.holds(FIRST, 12, command=b"leak\0--precious\0")
    terms = TERMS._replace(victims=victims(never=matchers(commands=("*--precious*",))))
    for _ in range(50):
        first = scene.rank(terms)[0]
        if first.family is not None:
            break
    assert dying(first) == [*HERD[1:]]


def test_those_of_another_process_group_are_left_out(scene):
    grown(scene)
    for pid in HERD[:5]:
        scene.holds(pid, 12, group=pid)
    assert dying(scene.rank()[0]) == [*HERD[5:]]


# Units


def of_unit(scene, *, editor_mib: float = 1, **how) -> None:
    cgroup = f"0::{UNIT}\n".encode()
    scene.hierarchy.group(UNIT, EDITOR, PARENT, *HERD)
    scene.holds(PARENT, 2, b"make", parent=1, cgroup=cgroup)
    scene.holds(EDITOR, editor_mib, b"editor", parent=1, cgroup=cgroup, **how)
    grown(scene, cgroup=cgroup)


def test_a_unit_of_which_they_hold_three_quarters_dies_whole(scene):
    of_unit(scene)
    first = scene.rank()[0]
    assert (first.scope, first.process.whole, first.family.is_whole) == (Scope.CGROUP, UNIT, True)


def test_of_a_unit_that_holds_an_editor_too_only_the_family_dies(scene):
    of_unit(scene, editor_mib=40)
    first = scene.rank()[0]
    assert (first.scope, first.family.is_whole) == (Scope.CGROUP, False)
    assert dying(first) == [*HERD]


def test_one_that_is_protected_keeps_its_unit_from_dying_whole_but_not_the_family(scene):
    of_unit(scene, oom_score_adj=-1000)
    first = scene.rank()[0]
    assert not first.family.is_whole
    assert dying(first) == [*HERD]


def test_what_the_kernel_would_not_split_dies_whole(scene):
    scene.hierarchy.group(UNIT, EDITOR, PARENT, *HERD)
    (scene.hierarchy.directory / UNIT[1:] / "memory.oom.group").write_text("1\n")
    of_unit(scene, editor_mib=40)
    first = scene.rank()[0]
    assert first.family is None or first.family.is_whole
    assert first.scope is Scope.CGROUP


def test_a_service_that_dies_whole_gets_the_signal_of_a_service(scene, monkeypatch):
    service = "/system.slice/workers.service"
    monkeypatch.setattr("tests.unit.monitor.test_family_search.UNIT", service)
    of_unit(scene)
    first = scene.rank()[0]
    assert (first.family.is_whole, first.service, first.is_killed_at_once) == (True, "workers.service", True)


# A parent that keeps forking


def forked_again(scene, **how):
    """The family has died, and here is the next one."""
    grown(scene, **how)
    chosen = scene.rank()[0]
    for pid in HERD:
        scene.proc.remove(str(pid))
    scene.room += 360 * MIB
    scene.watch(2)
    again = range(300, 330)
    for mib in range(2, 14, 4):
        scene.now_ms += 60
        scene.herd(mib, again, age_s=0)
        scene.watch(lost=120)
    return chosen, again, scene.rank()[0]


def test_a_parent_that_forks_them_again_dies_with_the_next_family(scene):
    chosen, again, first = forked_again(scene)
    assert PARENT not in dying(chosen)
    assert dying(first) == [PARENT, *again]
    assert (first.known, first.held_bytes) == (30, 300 * MIB)


def test_but_not_one_that_may_not_die_with_them(scene):
    scene.holds(PARENT, 2, b"make", parent=1, oom_score_adj=-1000)
    _, again, first = forked_again(scene)
    assert dying(first) == [*again]


def test_nor_one_that_leads_the_session(scene):
    scene.holds(PARENT, 2, b"make", parent=1, group=PARENT)
    _, again, first = forked_again(scene)
    assert dying(first) == [*again]
