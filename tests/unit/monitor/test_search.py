"""The few processes that matter, found in the whole table: on trees made for the test, and on real processes."""

import os

import pytest

from bustd_monitor.ranking import order
from bustd_monitor.ranking.order import Terms
from bustd_monitor.ranking.search import CandidateSearch
from bustd_monitor.ranking.what_may_die import Shield
from bustd_monitor.sensing import processes
from bustd_monitor.sensing.command_lines import MOST_LONG_BYTES, CommandLines
from bustd_monitor.sensing.last_pid import LastPid
from bustd_monitor.sensing.process_table import ProcessTable
from bustd_protocol.messages import Scope
from bustd_shared.kernel.cgroups import MOST_MEMBERS
from bustd_shared.rules.protection import Protection
from tests.fakes.procfs import PF_KTHREAD, FakeProc
from tests.support import victims as real
from tests.unit.monitor.making import GIB, MIB, matchers, ticks_ago, victims

PLAIN = Terms(victims(), Protection(), 16 * MIB, total_bytes=16 * GIB, room_bytes=GIB)
NONE_REFUSED = frozenset()
LEAK_KIB = 102_400


def at_once(function, arguments) -> None:
    """Instead of starting a thread."""
    function(*arguments)


class Scene:
    """A tree of processes, a search in it, and a clock. `looked_at` are the PIDs that were read closely, in order."""

    def __init__(self, proc: FakeProc, monkeypatch) -> None:
        self.proc, self.now_ms, self.looked_at, self.commands = proc, 1_000_000, [], []
        self.table = ProcessTable(proc.path, commands=CommandLines(proc.path, start=at_once))
        self.search = CandidateSearch(self.table)
        look, command = processes.read_process, processes.read_command
        monkeypatch.setattr(
            processes, "read_process", lambda pid, *rest: self.looked_at.append(pid) or look(pid, *rest)
        )
        monkeypatch.setattr(
            processes, "read_command", lambda pid, *rest: self.commands.append(pid) or command(pid, *rest)
        )

    def watch(self, count: int = 1, terms: Terms = PLAIN, *, apart_ms: int = 1000, is_due: bool = False) -> None:
        """Watch `count` times, a second apart; after each the caller `is_due` at once, or not before all is done."""
        for _ in range(count):
            self.now_ms += apart_ms
            self.search.watch(terms, self.now_ms, lambda: is_due)

    def show_last_pid(self) -> None:
        """From here on /proc/loadavg is there, which was not at the start."""
        self.table._last_pid = LastPid(self.proc.path)

    def rank(self, terms: Terms = PLAIN, refused: frozenset = NONE_REFUSED) -> list[int]:
        return [chosen.process.pid for chosen in self.search.rank(terms, refused, self.now_ms).candidates]

    def crowd(self, count: int, *, score: int = 667, first: int = 1000) -> None:
        """This many of one score, all too small to help."""
        for pid in range(first, first + count):
            self.proc.process(pid, oom_score=score, anonymous_kib=100, resident_pages=20)


@pytest.fixture
def scene(tmp_path, monkeypatch):
    it = Scene(FakeProc(tmp_path), monkeypatch)
    yield it
    it.table.close()


def preferring(**patterns) -> Terms:
    return PLAIN._replace(victims=victims(prefer=matchers(**patterns)))


# What one decision reads


def test_a_decision_reads_no_process_twice_and_the_next_reads_each_again(scene):
    for pid in range(101, 141):
        scene.proc.process(pid, b"leak", anonymous_kib=20_000, resident_pages=5_000, parent=100, group=100)
    scene.proc.process(100, b"make", anonymous_kib=20_000, group=100)
    needed = PLAIN._replace(needed_bytes=600 * MIB)
    for _ in range(2):
        scene.now_ms += 20_000
        scene.looked_at.clear()
        assert scene.rank(needed)
        assert sorted(scene.looked_at) == [*range(100, 141)]
    scene.looked_at.clear()
    scene.watch(2)
    assert scene.looked_at, "nor is what a decision has read kept for the next watch"


# Without any watch before


def test_the_process_that_holds_most_comes_first_of_all(scene):
    scene.proc.process(101, oom_score=700, anonymous_kib=20_000)
    scene.proc.process(102, oom_score=900, anonymous_kib=60_000)
    scene.proc.process(103, oom_score=700, anonymous_kib=40_000)
    assert scene.rank() == [102, 103, 101]


def test_what_can_not_die_or_does_not_help_is_not_a_candidate(scene):
    scene.proc.process(101, oom_score=0, resident_pages=0)
    scene.proc.process(102, flags=PF_KTHREAD)
    scene.proc.process(103, state=b"Z")
    scene.proc.process(104, oom_score_adj=-1000)
    scene.proc.process(105, anonymous_kib=1000)
    scene.proc.process(106)
    assert scene.rank() == [106]


def test_a_score_that_was_rounded_down_to_0_hides_no_process(scene):
    for pid in range(101, 104):
        scene.proc.process(pid, oom_score=0, anonymous_kib=pid * 1000)
    assert scene.rank() == [103, 102, 101]


def test_a_process_that_exits_while_it_is_read_is_left_out(scene):
    scene.proc.process(101, oom_score=900)
    scene.proc.process(102)
    scene.proc.remove("101/status")
    assert scene.rank() == [102]


def test_a_refused_process_is_left_out_and_a_later_one_with_its_pid_is_not(scene):
    scene.proc.process(101, start_ticks=5)
    scene.proc.process(102, start_ticks=6)
    assert scene.rank(refused=frozenset({(101, 5)})) == [102]
    assert sorted(scene.rank(refused=frozenset({(101, 6), (102, 5)}))) == [101, 102]


def test_each_spared_process_is_listed_once_and_with_the_reason(scene):
    scene.proc.process(101, cgroup=b"0::/system.slice/sshd.service\n")
    scene.proc.process(102, oom_score_adj=-1000)
    scene.proc.process(103, anonymous_kib=1000)
    terms = PLAIN._replace(advice=Protection(units=("sshd.service",)))
    scene.watch(3, terms)
    spared = scene.search.rank(terms, NONE_REFUSED, scene.now_ms).spared
    assert sorted((one.process.pid, one.shield.name, one.rule) for one in spared) == [
        (101, "KILLER_TOML", "unit sshd.service"),
        (102, "OOM_SCORE_ADJ", ""),
        (103, "TOO_SMALL", ""),
    ]


def test_a_process_that_is_offered_twice_in_one_round_is_listed_once(scene):
    scene.proc.last_pid(100)
    scene.show_last_pid()
    scene.watch()
    scene.proc.process(101, oom_score_adj=-1000)
    scene.proc.last_pid(101)
    scene.watch()
    assert len(scene.search.rank(PLAIN, NONE_REFUSED, scene.now_ms).spared) == 1


def test_of_hundreds_of_spared_processes_the_largest_are_listed(scene):
    for pid in range(1000, 1100):
        scene.proc.process(pid, anonymous_kib=pid, oom_score_adj=-1000)
    spared = scene.search.rank(PLAIN, NONE_REFUSED, scene.now_ms).spared
    assert [one.process.pid for one in spared] == list(range(1099, 1083, -1))


def test_the_protected_do_not_take_the_places_of_candidates(scene):
    for pid in range(1000, 1400):
        scene.proc.process(pid, oom_score=pid, uid=0 if pid >= 1020 else 1000)
    found = scene.rank(PLAIN._replace(advice=Protection(uids=(0,))))
    assert sorted(found) == list(range(1000, 1020))


def test_where_proc_shows_no_process_there_is_no_candidate(scene):
    assert scene.rank() == []


# The walk, a piece at a time


def test_a_watch_walks_through_many_in_pieces_and_still_finds_the_largest(scene):
    scene.crowd(1000)
    scene.proc.process(5000, oom_score=900)
    scene.watch()
    assert len(scene.looked_at) < 400, "one second's worth"
    scene.watch(5)
    scene.looked_at.clear()
    assert scene.rank() == [5000]
    assert scene.looked_at == [5000], "the round was finished: only the process whose death helps is read again"


def test_what_a_decision_looks_at_does_not_grow_with_the_number_of_processes(scene):
    for pid in range(1000, 2000):
        scene.proc.process(pid, oom_score=pid, anonymous_kib=LEAK_KIB + pid)
    scene.watch(5)
    scene.looked_at.clear()
    assert scene.rank()[:3] == [1999, 1998, 1997]
    assert sorted(scene.looked_at) == list(range(1996, 2000))


def test_a_decision_before_the_round_is_finished_finishes_it(scene):
    scene.crowd(1000)
    for pid in (500, 1500, 2500):
        scene.proc.process(pid, oom_score=900, anonymous_kib=LEAK_KIB + pid)
    assert scene.rank()[0] == 2500


def walked(scene, monkeypatch) -> list[int]:
    """From here on, every PID that a walk lists."""
    pids, walk = [], scene.table.walk
    monkeypatch.setattr(scene.table, "walk", lambda count: pids.extend(found := walk(count)) or found)
    return pids


def test_a_decision_amid_the_first_round_looks_only_at_what_is_left_of_it(scene, monkeypatch):
    scene.crowd(1000)
    for pid in (500, 1500, 2500):
        scene.proc.process(pid, oom_score=900, anonymous_kib=LEAK_KIB + pid)
    pids = walked(scene, monkeypatch)
    scene.watch()
    seen = len(pids)
    assert 0 < seen < 1002
    assert scene.rank()[0] == 2500
    assert len(pids) == 1002
    assert scene.search.has_finished_a_round


def amid_the_first_walk(scene, monkeypatch) -> tuple[list[int], int]:
    """The PIDs that the round has listed, and one of them that has grown since and is not tracked."""
    scene.crowd(1000)
    scene.proc.process(5000, oom_score=900)
    pids = walked(scene, monkeypatch)
    scene.watch()
    scene.proc.process(pids[100], oom_score=950, anonymous_kib=4 * LEAK_KIB)
    return pids, pids[100]


def test_memory_that_is_missing_even_after_that_is_looked_for_in_a_whole_round(scene, monkeypatch):
    pids, grown = amid_the_first_walk(scene, monkeypatch)
    assert scene.rank(PLAIN._replace(room_bytes=GIB - 400 * MIB)) == [grown, 5000]
    assert len(pids) == 2 * 1001


def test_a_later_round_that_is_under_way_may_explain_what_is_missing(scene, monkeypatch):
    scene.crowd(1000)
    scene.proc.process(5000, oom_score=900)
    pids, short = walked(scene, monkeypatch), PLAIN._replace(room_bytes=GIB - 400 * MIB)
    while len(pids) <= 1001:  # until the second round is under way
        scene.watch(1)
    while len(pids) <= 2 * 1001:
        scene.watch(1, short)
    assert len(pids) < 3 * 1001
    assert scene.rank(short) == [5000]
    assert len(pids) == 3 * 1001, "nothing was lost since the third round began"


def test_a_round_that_a_calm_interrupted_is_not_merely_finished(scene, monkeypatch):
    _, grown = amid_the_first_walk(scene, monkeypatch)
    scene.now_ms += 60_000
    assert scene.rank() == [grown, 5000]


def test_many_that_gained_a_little_each_do_not_make_the_rest_of_a_round_a_whole_one(scene, monkeypatch):
    scene.crowd(1000, score=10)
    for pid in range(500, 516):
        scene.proc.process(pid, oom_score=700, anonymous_kib=40_960, resident_pages=10_240)
    monkeypatch.setattr(scene.table, "_listed", lambda: (pid for pid in [*range(500, 516), *range(1000, 2000)]))
    pids = walked(scene, monkeypatch)
    scene.watch()
    for pid in range(500, 516):
        scene.proc.process(pid, oom_score=700, anonymous_kib=40_960 + 3072, resident_pages=10_240 + 768)
    assert len(scene.rank(PLAIN._replace(room_bytes=GIB - 48 * MIB))) == 16
    assert len(pids) == 1016


def test_what_a_death_gives_back_does_not_hide_what_is_lost_after_it(scene):
    """Memory is as short as at the last round, but meanwhile much came back, and went again."""
    short = PLAIN._replace(room_bytes=GIB // 10, total_bytes=GIB)
    scene.crowd(1000)
    scene.proc.process(101, oom_score=900, anonymous_kib=2 * LEAK_KIB)
    scene.watch(12, short)
    scene.watch(1, short._replace(room_bytes=GIB // 2), apart_ms=100, is_due=True)
    scene.proc.process(1500, oom_score=950, anonymous_kib=4 * LEAK_KIB)
    assert scene.rank(short)[0] == 1500


def test_of_equals_the_largest_are_tracked(scene):
    for pid in range(1000, 1300):
        scene.proc.process(
            pid,
            oom_score=666,
            anonymous_kib=4 * (10_000 + pid * 7919 % 1000),
            resident_pages=10_000 + pid * 7919 % 1000,
        )
    scene.watch(3)
    largest = sorted(range(1000, 1300), key=lambda pid: pid * 7919 % 1000, reverse=True)
    assert scene.rank() == largest[:32]


def test_a_crowd_of_small_ones_with_high_scores_does_not_hide_the_leak(scene):
    for pid in range(1000, 1060):
        scene.proc.process(pid, oom_score=1300, oom_score_adj=1000, anonymous_kib=100, resident_pages=100)
    scene.proc.process(2000, oom_score=900, anonymous_kib=4 * LEAK_KIB, resident_pages=LEAK_KIB)
    scene.watch(2)
    assert scene.rank() == [2000]


def test_a_process_that_is_all_in_swap_is_tracked_for_its_score(scene):
    for pid in range(1000, 1060):
        scene.proc.process(pid, oom_score=667, anonymous_kib=20_000, resident_pages=5000 + pid)
    scene.proc.process(2000, oom_score=900, anonymous_kib=100, swap_kib=4 * LEAK_KIB, resident_pages=1)
    scene.watch(2)
    assert scene.rank()[0] == 2000


def test_a_process_that_has_shrunk_makes_room_for_a_larger_one(scene):
    for pid in range(1000, 1032):
        scene.proc.process(pid, oom_score=700, resident_pages=30_000)
    scene.watch(2)
    scene.proc.process(1000, oom_score=10, anonymous_kib=20_000, resident_pages=10)
    scene.proc.process(2000, oom_score=20, anonymous_kib=30_000, resident_pages=20)
    scene.watch(2)
    assert 2000 in scene.rank()
    assert 1000 not in scene.rank()


def test_with_a_preference_or_a_rule_on_command_lines_more_are_tracked(scene):
    for pid in range(1000, 1400):
        scene.proc.process(pid, b"precious" if pid == 1300 else b"leak", oom_score=pid - 500)
    assert scene.rank(preferring(names=(b"precious",)))[0] == 1300
    for terms in (preferring(names=(b"another",)), PLAIN._replace(victims=NEVER)):
        assert 128 <= len(scene.rank(terms)) <= 256, "the first by score, and the first by size"


def test_when_the_next_reading_is_due_the_rest_of_the_watch_is_left_for_after_it(scene, monkeypatch):
    for pid in range(101, 104):
        scene.proc.process(pid, oom_score=700, anonymous_kib=LEAK_KIB + pid)
    scene.crowd(100)
    scene.watch(5)
    walked, walk = [], scene.table.walk
    monkeypatch.setattr(scene.table, "walk", lambda count: walked.append(count) or walk(count))
    scene.looked_at.clear()
    terms = PLAIN._replace(room_bytes=GIB - 300 * MIB)
    for looks in range(1, 4):
        scene.watch(1, terms, is_due=True)
        assert len(scene.looked_at) == looks
        assert walked == [16] * looks, "a little of everything is always done"


def test_each_tracked_process_has_its_turn_however_little_time_there_is(scene):
    scene.crowd(20)
    scene.watch(5)
    scene.looked_at.clear()
    scene.watch(20, is_due=True)
    assert sorted(scene.looked_at) == list(range(1000, 1020))


def test_a_tracked_process_is_read_once_a_second_however_often_there_is_a_reading(scene):
    scene.crowd(20)
    scene.watch(5)
    scene.looked_at.clear()
    scene.watch(50, apart_ms=20)
    assert sorted(scene.looked_at) == list(range(1000, 1020))


def test_without_any_watch_only_the_first_are_looked_at_closely(scene):
    for pid in range(1000, 1500):
        scene.proc.process(pid, oom_score=pid, anonymous_kib=LEAK_KIB + pid, resident_pages=LEAK_KIB - pid)
    assert scene.rank()[0] == 1499
    assert sorted(set(scene.looked_at)) == [*range(1000, 1032), *range(1468, 1500)], "the first by size, and by score"


# What dies together


SCOPE = b"0::/user.slice/user-1000.slice/user@1000.service/app.slice/leak.scope\n"
TOGETHER = victims(scope="cgroup", never=matchers(names=(b"precious",)))


def test_a_unit_with_a_protected_process_that_is_too_small_to_be_tracked_does_not_die_whole(tmp_path):
    proc = FakeProc(tmp_path)
    path = SCOPE[3:-1].decode()
    proc.process(101, cgroup=SCOPE)
    proc.process(102, b"precious", cgroup=SCOPE, oom_score=1, anonymous_kib=10, resident_pages=1)
    for pid in range(1000, 1100):
        proc.process(pid, oom_score=700, cgroup=b"0::/\n", anonymous_kib=20_000, resident_pages=5000)
    for members, scope in ((b"101\n", Scope.CGROUP), (b"101\n102\n", Scope.PROCESS)):
        proc.write(f"../cgroup{path}/cgroup.procs", members)
        table = ProcessTable(proc.path, hierarchy=str(tmp_path / "cgroup"))
        ranking = CandidateSearch(table).rank(PLAIN._replace(victims=TOGETHER), NONE_REFUSED, 1000)
        table.close()
        first = ranking.candidates[0]
        assert (first.process.pid, first.scope) == (101, scope)


def test_a_unit_with_more_members_than_can_die_in_a_minute_is_no_exception(scene):
    whole = SCOPE[3:-1].decode()
    scene.proc.process(101, cgroup=SCOPE)
    scene.table._hierarchy = str(scene.proc.directory.parent / "cgroup")
    listed = range(5000, 5001 + MOST_MEMBERS)
    scene.proc.write(f"../cgroup{whole}/cgroup.procs", b"".join(b"%d\n" % pid for pid in listed))
    (candidate,) = scene.search.rank(PLAIN._replace(victims=TOGETHER), NONE_REFUSED, scene.now_ms).candidates
    assert candidate.scope is Scope.CGROUP
    scene.proc.process(5000 + MOST_MEMBERS, oom_score_adj=-1000, cgroup=SCOPE)
    (candidate,) = scene.search.rank(PLAIN._replace(victims=TOGETHER), NONE_REFUSED, scene.now_ms).candidates
    assert candidate.scope is Scope.PROCESS, "the last of them is protected"


# What changes meanwhile


def crowd_of_large_ones(scene, count: int) -> None:
    """This many that hold 100 MiB and more, 10 MiB apart."""
    for pid in range(1000, 1000 + count):
        held_kib = LEAK_KIB + (pid - 1000) * 10_240
        scene.proc.process(pid, oom_score=700, anonymous_kib=held_kib, resident_pages=held_kib // 4)


def test_a_process_that_was_small_a_moment_ago_is_read_again_whatever_its_place_was(scene):
    crowd_of_large_ones(scene, 12)
    scene.proc.process(500, oom_score=690, anonymous_kib=40_960, resident_pages=10_240)
    scene.watch(12)
    scene.proc.process(500, oom_score=690, anonymous_kib=1024 * 1024, resident_pages=256 * 1024)
    scene.now_ms += 500
    assert scene.rank(PLAIN._replace(room_bytes=0))[0] == 500


def test_a_process_that_went_to_swap_a_moment_ago_is_known_by_its_score(scene):
    crowd_of_large_ones(scene, 12)
    scene.proc.process(500, oom_score=690, anonymous_kib=40_960, resident_pages=10_240)
    scene.watch(12)
    scene.proc.process(500, oom_score=720, anonymous_kib=40_960, resident_pages=10_240, swap_kib=1024 * 1024)
    assert scene.rank()[0] == 500


def test_where_nothing_is_in_swap_no_score_is_asked_for_of_what_has_not_moved(scene, monkeypatch):
    crowd_of_large_ones(scene, 12)
    scene.watch(12)
    asked, score = [], processes.oom_score
    monkeypatch.setattr(processes, "oom_score", lambda pid, *rest: asked.append(pid) or score(pid, *rest))
    dry = PLAIN._replace(anonymous_bytes=GIB, in_use_bytes=GIB)
    scene.proc.process(1003, oom_score=700, anonymous_kib=40_960, resident_pages=10_240)
    scene.search.rank(dry, NONE_REFUSED, scene.now_ms)
    assert sorted(asked) == [1003, *range(1008, 1012)], "what has moved, and the first four"


def test_a_look_that_tells_nothing_new_is_followed_by_no_second_ranking(scene, monkeypatch):
    crowd_of_large_ones(scene, 12)
    scene.watch(12)
    ranked, rank = [], order.rank
    monkeypatch.setattr(order, "rank", lambda *given: ranked.append(given) or rank(*given))
    scene.looked_at.clear()
    first = scene.rank()[0]
    assert sorted(scene.looked_at) == [*range(1008, 1012)]
    assert (first, len(ranked)) == (1011, 1)
    scene.proc.process(1011, oom_score=700, anonymous_kib=40_960, resident_pages=(LEAK_KIB + 11 * 10_240) // 4)
    assert (scene.rank()[0], len(ranked)) == (1010, 3), "what it holds has moved, and its place has not"


def test_a_process_that_shrank_a_moment_ago_is_read_again_whatever_its_place_is(scene):
    crowd_of_large_ones(scene, 12)
    for pid in range(2000, 2009):
        scene.proc.process(pid, oom_score=900, oom_score_adj=300, anonymous_kib=LEAK_KIB)
    scene.watch(3)
    scene.proc.process(1011, oom_score=700, anonymous_kib=20_480, resident_pages=5120)
    ranking = scene.search.rank(PLAIN, NONE_REFUSED, scene.now_ms)
    (shrunk,) = [one for one in ranking.candidates if one.process.pid == 1011]
    assert shrunk.held_bytes == 20 * MIB


def test_a_process_that_was_sampled_at_its_largest_is_known_to_have_shrunk_since(scene):
    scene.proc.last_pid(5000)
    scene.show_last_pid()
    for pid in range(2000, 2009):
        scene.proc.process(pid, oom_score=900, oom_score_adj=300, anonymous_kib=LEAK_KIB)
    scene.proc.process(101, oom_score=700, anonymous_kib=20_480, resident_pages=5120)
    scene.watch(3)
    scene.proc.process(101, oom_score=700, anonymous_kib=204_800, resident_pages=51_200)
    scene.watch(1)
    scene.proc.process(101, oom_score=700, anonymous_kib=20_480, resident_pages=5120)
    ranking = scene.search.rank(PLAIN, NONE_REFUSED, scene.now_ms)
    assert [one.held_bytes for one in ranking.candidates if one.process.pid == 101] == [20 * MIB]


def test_many_that_gained_a_little_each_do_not_make_a_walk_of_the_decision(scene, monkeypatch):
    scene.crowd(100, score=10)
    for pid in range(500, 516):
        scene.proc.process(pid, oom_score=700, anonymous_kib=40_960, resident_pages=10_240)
    scene.watch(12)
    for pid in range(500, 516):
        scene.proc.process(pid, oom_score=700, anonymous_kib=40_960 + 3072, resident_pages=10_240 + 768)
    monkeypatch.setattr(scene.table, "walk", lambda _count: pytest.fail("the table is walked"))
    assert len(scene.rank(PLAIN._replace(room_bytes=GIB - 48 * MIB))) == 16


def test_what_a_process_held_before_the_round_that_finds_it_explains_no_loss_since(scene, monkeypatch):
    scene.crowd(1000)
    scene.proc.process(3000, oom_score=900, start_ticks=ticks_ago(8), anonymous_kib=4 * LEAK_KIB)
    monkeypatch.setattr(scene.table, "_listed", lambda: (pid for pid in [*range(1000, 2000), 3000]))
    scene.watch()
    scene.proc.process(1100, oom_score=950, anonymous_kib=4 * LEAK_KIB)  # offered, and not among the largest
    assert sorted(scene.rank(PLAIN._replace(room_bytes=GIB - 400 * MIB))) == [1100, 3000]


def test_what_the_dead_had_gained_explains_no_loss(scene):
    scene.proc.process(101, oom_score=700, anonymous_kib=40_960)
    scene.proc.last_pid(199)
    scene.show_last_pid()
    scene.watch(3)
    for pid in range(200, 206):
        scene.proc.last_pid(pid)
        scene.proc.process(pid, start_ticks=ticks_ago(0), anonymous_kib=200 * 1024, resident_pages=51_200)
        scene.watch(2)
        scene.proc.remove(str(pid))
        scene.watch(1)
    assert scene.search._tracked.gained_bytes == 0


def test_after_a_calm_every_process_is_read_again(scene):
    scene.crowd(20)
    scene.watch(5)
    scene.watch(is_due=True)
    scene.now_ms += 3_600_000
    scene.looked_at.clear()
    scene.watch(1)
    assert sorted(set(scene.looked_at)) == list(range(1000, 1020))


def test_a_process_that_is_no_longer_tracked_is_no_longer_sampled(scene):
    scene.proc.last_pid(1100)
    scene.show_last_pid()
    scene.crowd(32)
    scene.watch(3)
    scene.watch(is_due=True)
    for pid in range(1101, 1133):
        scene.proc.process(pid, oom_score=900)
    scene.proc.last_pid(1132)
    assert sorted(scene.rank()) == list(range(1101, 1133))
    scene.looked_at.clear()
    scene.watch()
    assert not set(scene.looked_at) & set(range(1000, 1032))


def test_newcomers_too_are_left_for_after_the_next_reading(scene):
    scene.proc.last_pid(100)
    scene.show_last_pid()
    scene.watch()
    for pid in range(101, 106):
        scene.proc.process(pid, anonymous_kib=200 * 1024)
    scene.proc.last_pid(105)
    scene.looked_at.clear()
    scene.watch(apart_ms=0, is_due=True)
    assert len(scene.looked_at) == 1
    assert len(scene.rank()) == 5, "at the decision all of them are offered"


def test_too_many_newcomers_are_left_to_the_next_round(scene, monkeypatch):
    scene.proc.process(50, anonymous_kib=LEAK_KIB)
    scene.proc.last_pid(100)
    scene.show_last_pid()
    scene.watch()
    for last in (400, 700):
        scene.crowd(300, first=last - 299)
        scene.proc.last_pid(last)
        scene.watch(is_due=True)
    asked, score = [], scene.table.score
    monkeypatch.setattr(scene.table, "score", lambda pid: asked.append(pid) or score(pid))
    assert scene.rank() == [50]
    assert len(asked) < 100, "two times 300 are more than are looked up one by one"


def test_what_newcomers_cost_is_taken_from_the_walk(scene, monkeypatch):
    scene.proc.last_pid(100)
    scene.show_last_pid()
    scene.crowd(100)
    scene.watch(5)
    walked, walk = [], scene.table.walk
    monkeypatch.setattr(scene.table, "walk", lambda count: walked.append(count) or walk(count))
    scene.watch(1, PLAIN._replace(room_bytes=GIB - 300 * MIB))
    assert walked, "memory has moved: there is a round"
    walked.clear()
    for pid in range(101, 601):
        scene.proc.process(pid, oom_score=700, resident_pages=100_000 - pid)
    scene.proc.last_pid(600)
    scene.watch(1, PLAIN._replace(room_bytes=GIB - 600 * MIB))
    assert not walked


def test_after_a_calm_the_first_watch_walks_however_many_newcomers_there_are(scene, monkeypatch):
    scene.proc.last_pid(100)
    scene.show_last_pid()
    scene.crowd(100)
    scene.watch(1)
    for pid in range(101, 601):
        scene.proc.process(pid, oom_score=700, resident_pages=100_000 - pid)
    scene.proc.last_pid(600)
    walked, walk = [], scene.table.walk
    monkeypatch.setattr(scene.table, "walk", lambda count: walked.append(count) or walk(count))
    scene.watch(1, apart_ms=20_000)
    assert len(walked) > 10


def test_a_tracked_process_that_grows_comes_before_a_larger_one(scene):
    scene.proc.process(101, anonymous_kib=600 * 1024)
    scene.proc.process(102, anonymous_kib=300 * 1024)
    scene.watch()
    scene.proc.process(102, anonymous_kib=400 * 1024)
    scene.watch()
    assert scene.rank() == [102, 101]


def test_a_process_that_gains_less_than_half_of_what_was_lost_meanwhile_does_not_run_away(scene):
    scene.proc.process(101, anonymous_kib=600 * 1024)
    scene.proc.process(102, anonymous_kib=300 * 1024)
    scene.watch(2)
    scene.proc.process(102, anonymous_kib=400 * 1024)
    scene.watch(1, PLAIN._replace(room_bytes=GIB - 199 * MIB))
    assert scene.rank(PLAIN._replace(room_bytes=GIB - 199 * MIB)) == [102, 101]
    assert scene.rank(PLAIN._replace(room_bytes=GIB - 201 * MIB)) == [101, 102], "a tmpfs takes the rest, perhaps"


def test_what_was_gained_before_a_long_calm_is_forgotten(scene):
    scene.proc.process(101, anonymous_kib=600 * 1024)
    scene.proc.process(102, anonymous_kib=300 * 1024)
    scene.watch()
    scene.proc.process(102, anonymous_kib=400 * 1024)
    scene.now_ms += 60_000
    assert scene.rank() == [101, 102]


def test_what_each_candidate_holds_is_read_again_at_the_decision(scene):
    scene.proc.process(101, anonymous_kib=300 * 1024)
    scene.proc.process(102, anonymous_kib=200 * 1024)
    scene.watch()
    scene.proc.process(101, anonymous_kib=100 * 1024)
    assert scene.rank() == [102, 101]


def test_a_flood_of_newcomers_does_not_stop_the_walk_for_long(scene):
    scene.proc.last_pid(100)
    scene.show_last_pid()
    for _ in range(20):
        scene.proc.last_pid(scene.table._last_seen + 500)
        scene.watch()
    assert scene.search._allowance >= -1200


def test_a_newcomer_is_known_at_the_decision_without_a_walk(scene):
    scene.crowd(200)
    scene.proc.last_pid(1200)
    scene.show_last_pid()
    scene.watch(3)
    scene.proc.process(1203, oom_score=900)
    scene.proc.last_pid(1204)
    scene.looked_at.clear()
    assert scene.rank() == [1203]
    assert len(scene.looked_at) <= 2


def test_a_process_that_grew_unseen_since_the_walk_is_found_by_the_memory_that_is_missing(scene):
    scene.crowd(1000)
    scene.proc.process(5000, oom_score=900)
    scene.watch(6)
    scene.proc.process(1500, oom_score=950, anonymous_kib=4 * LEAK_KIB)
    assert scene.rank() == [5000], "no memory is missing: what one gained another lost"
    assert scene.rank(PLAIN._replace(room_bytes=GIB - 400 * MIB)) == [1500, 5000]


def test_what_tracked_processes_gained_is_not_missing(scene):
    scene.crowd(1000)
    scene.proc.process(5000, oom_score=900)
    scene.watch(6)
    scene.proc.process(5000, oom_score=950, anonymous_kib=4 * LEAK_KIB)
    scene.looked_at.clear()
    assert scene.rank(PLAIN._replace(room_bytes=GIB - 300 * MIB)) == [5000]
    assert len(scene.looked_at) == 1


def test_after_five_minutes_without_a_whole_round_there_is_one(scene):
    scene.proc.process(60)
    scene.watch(3)
    scene.proc.process(50, oom_score=900, anonymous_kib=2 * LEAK_KIB)
    assert scene.rank() == [60]
    scene.now_ms += 301_000
    assert scene.rank() == [50, 60]


def test_without_a_candidate_among_the_tracked_every_process_is_looked_at(scene):
    scene.crowd(100)
    scene.watch(3)
    scene.proc.process(50, oom_score=900)
    assert scene.rank() == [50]


def test_between_two_rounds_there_is_a_rest_while_memory_does_not_move(scene, monkeypatch):
    scene.proc.last_pid(100)
    scene.show_last_pid()
    scene.crowd(100)
    scene.watch(2)
    walked, walk = [], scene.table.walk
    monkeypatch.setattr(scene.table, "walk", lambda count: walked.append(scene.now_ms) or walk(count))
    scene.watch(5)
    assert walked == []
    scene.watch(1, PLAIN._replace(room_bytes=GIB - 300 * MIB))
    assert walked


def test_a_round_in_which_proc_could_not_be_listed_counts_for_nothing(scene, monkeypatch):
    scene.proc.process(60)
    with monkeypatch.context() as patched:
        patched.setattr(scene.table, "walk", lambda _count: None)
        scene.watch(3)
        assert scene.rank() == []
    assert not scene.search.has_finished_a_round
    assert scene.rank() == [60]


def test_a_round_that_a_calm_interrupted_begins_again(scene):
    scene.crowd(1000)
    scene.watch()
    for pid in range(1000, 1100):
        scene.proc.process(pid, oom_score=900)
    scene.now_ms += 60_000
    scene.watch(6)
    assert len(scene.rank()) == 32


def test_a_process_that_is_gone_is_no_longer_tracked_and_its_pid_may_be_anothers(scene):
    for pid in (101, 102):
        scene.proc.process(pid, anonymous_kib=300 * 1024, start_ticks=5)
    scene.watch()
    scene.proc.remove("101")
    scene.proc.process(102, anonymous_kib=200 * 1024, start_ticks=6)
    scene.watch()
    assert scene.rank() == [102]
    (candidate,) = scene.search.rank(PLAIN, NONE_REFUSED, scene.now_ms).candidates
    assert candidate.process.start_ticks == 6


# Command lines

NEVER = victims(never=matchers(commands=("*--precious*",)))


def test_command_lines_are_remembered_from_before_the_crisis_and_not_read_in_it(scene):
    scene.proc.process(101, command=b"db\0--precious\0")
    terms = PLAIN._replace(victims=NEVER)
    scene.watch(1, terms)
    scene.proc.remove("101/cmdline")
    ranking = scene.search.rank(terms, NONE_REFUSED, scene.now_ms)
    assert ranking.candidates == ()
    assert ranking.spared[0][1:] == (Shield.NEVER, "command *--precious*")
    assert ranking.spared[0].process.command == "db --precious"


def test_where_a_rule_needs_them_they_are_read_even_in_a_crisis_that_comes_without_a_watch(scene):
    scene.proc.process(101, command=b"db\0--precious\0")
    assert scene.rank(PLAIN._replace(victims=NEVER)) == []
    assert scene.commands == [101]


def test_the_command_line_of_a_process_is_not_that_of_its_successor_with_the_same_pid(scene):
    scene.proc.process(101, command=b"db\0--precious\0", start_ticks=5)
    terms = PLAIN._replace(victims=NEVER)
    scene.watch(2, terms)
    scene.proc.process(101, command=b"leak\0", start_ticks=6)
    scene.watch(2, terms)
    assert scene.rank(terms) == [101]


def test_a_process_that_executes_another_program_is_known_by_the_command_line_of_that(scene):
    terms = PLAIN._replace(victims=NEVER)
    scene.proc.process(101, b"sh", command=b"sh\0")
    scene.watch(2, terms)
    scene.proc.process(101, b"db", command=b"db\0--precious\0")
    scene.watch(2, terms)
    assert scene.rank(terms) == []


LONG = b"java\0-cp\0" + b":".join(b"/opt/app/lib/dependency-%03d-1.2.3.jar" % number for number in range(200))


def test_a_rule_finds_the_main_class_behind_a_long_class_path(scene):
    scene.proc.process(101, command=LONG + b"\0org.example.DataNode\0", anonymous_kib=150_000)
    scene.proc.process(102, command=b"java\0-cp\0short.jar\0org.example.NameNode\0", anonymous_kib=140_000)
    assert scene.rank(PLAIN._replace(victims=victims(never=matchers(commands=("*org.example.DataNode",))))) == [102]


def known(scene, pid: int):
    (process,) = (one for one in scene.search._tracked.processes() if one.pid == pid)
    return process


def test_why_a_command_line_is_not_known_whole_is_known_of_each_process(scene):
    scene.proc.process(101, command=b"x" * 200_000)
    scene.proc.process(102)
    scene.proc.remove("102/cmdline")
    (scene.proc.directory / "102/cmdline").mkdir()
    scene.proc.process(103, command=b"ok")
    scene.watch()
    assert known(scene, 101).command_trouble == "has not been read yet"
    scene.watch()
    troubles = [known(scene, pid).command_trouble for pid in (101, 102, 103)]
    assert troubles == ["is longer than 128 KiB", "can't be read: Is a directory", ""]


def test_a_command_line_that_could_not_be_read_is_read_as_soon_as_it_can_be(scene):
    scene.proc.process(101)
    scene.proc.remove("101/cmdline")
    (scene.proc.directory / "101/cmdline").mkdir()
    scene.watch(2)
    (scene.proc.directory / "101/cmdline").rmdir()
    scene.proc.write("101/cmdline", b"db\0--precious\0")
    scene.watch(2)
    assert (known(scene, 101).command, known(scene, 101).command_trouble) == ("db --precious", "")


def test_one_that_is_longer_than_is_ever_read_is_read_once(scene):
    scene.proc.process(101, command=b"x" * 200_000)
    scene.watch(4)
    assert scene.commands == [101]


def test_many_long_command_lines_take_no_more_than_so_much_together_and_others_follow_when_they_are_gone(scene):
    pids = range(1000, 1024)
    for pid in pids:
        scene.proc.process(pid, command=b"x" * 100_000)
    scene.watch(6)
    whole = [pid for pid in pids if not known(scene, pid).command_trouble]
    assert len(whole) == MOST_LONG_BYTES // 100_000
    assert sum(len(known(scene, pid).command) for pid in pids) <= MOST_LONG_BYTES + len(pids) * 4096
    for pid in whole:
        scene.proc.remove(str(pid))
    scene.watch(3)
    left = [pid for pid in pids if pid not in whole]
    assert sum(not known(scene, pid).command_trouble for pid in left) == len(whole)


def test_a_process_whose_command_line_is_not_there_in_time_is_spared_where_a_never_needs_it(scene):
    scene.table._commands = CommandLines(scene.proc.path, start=lambda *_: None)  # a thread that never comes to it
    scene.proc.process(101, anonymous_kib=200_000)
    ranking = scene.search.rank(PLAIN._replace(victims=NEVER), NONE_REFUSED, scene.now_ms)
    assert [spared[1:] for spared in ranking.spared] == [(Shield.UNJUDGED, "has not been read yet")]
    assert scene.rank() == [101]


def test_with_a_rule_on_command_lines_in_only_they_are_read_before_it_is_judged(scene):
    scene.proc.process(101, command=b"build\0x\0")
    scene.proc.process(102, command=b"other\0")
    for pid in range(1000, 1100):
        scene.proc.process(pid, command=b"other\0", oom_score=900)
    only = PLAIN._replace(victims=victims(only=matchers(commands=("build *",))))
    assert scene.rank(only) == [101]


def test_those_that_only_does_not_match_take_no_place_among_the_tracked(scene):
    for pid in range(1000, 1200):
        scene.proc.process(pid, oom_score=900)
    scene.proc.process(101, b"build", oom_score=700)
    assert scene.rank(PLAIN._replace(victims=victims(only=matchers(names=(b"build",))))) == [101]


@pytest.mark.parametrize("only", [matchers(names=(b"leak",)), matchers(commands=("leak*",))])
def test_a_unit_in_which_only_does_not_match_every_process_does_not_die_whole(tmp_path, only):
    proc = FakeProc(tmp_path)
    path = SCOPE[3:-1].decode()
    proc.process(101, b"leak", cgroup=SCOPE, command=b"leak")
    proc.process(102, b"small", cgroup=SCOPE, oom_score=1, anonymous_kib=10, resident_pages=1, command=b"small")
    for pid in range(1000, 1200):
        proc.process(
            pid, b"leak", oom_score=700, cgroup=b"0::/\n", anonymous_kib=20_000, resident_pages=5000, command=b"leak"
        )
    together = PLAIN._replace(victims=victims(scope="cgroup", only=only))
    proc.write(f"../cgroup{path}/cgroup.procs", b"101\n102\n")
    table = ProcessTable(proc.path, hierarchy=str(tmp_path / "cgroup"), commands=CommandLines(proc.path, start=at_once))
    first = CandidateSearch(table).rank(together, NONE_REFUSED, 1000).candidates[0]
    table.close()
    assert (first.process.pid, first.scope) == (101, Scope.PROCESS)


def test_the_command_lines_of_kernel_threads_and_the_dead_are_not_read(scene):
    scene.proc.process(101, flags=PF_KTHREAD)
    scene.proc.process(102, state=b"Z")
    scene.watch(2)
    assert scene.commands == []


def test_a_command_line_is_read_once_and_forgotten_with_its_process(scene):
    scene.proc.process(101)
    scene.proc.process(102)
    scene.watch(3)
    assert sorted(scene.commands) == [101, 102]
    scene.proc.remove("101")
    scene.watch(2)
    scene.proc.process(101)
    scene.watch(2)
    assert sorted(scene.commands) == [101, 101, 102]


# Real processes


@pytest.fixture
def own():
    """A search among this process's children."""
    table = ProcessTable(only_descendants_of=os.getpid(), commands=CommandLines(start=at_once))
    yield CandidateSearch(table)
    table.close()


def test_of_real_processes_the_largest_comes_first_and_is_known_by_its_command_line(own):
    with real.victim(24, name=b"small", adj=500), real.victim(96, name=b"large) Z (", adj=500) as large:
        own.watch(PLAIN, 1000)
        own.watch(PLAIN, 2000)
        ranking = own.rank(PLAIN, NONE_REFUSED, 2000)
        candidates = [one for one in ranking.candidates if one.process.comm in (b"small", b"large) Z (")]
    assert [chosen.process.comm for chosen in candidates] == [b"large) Z (", b"small"]
    first = candidates[0].process
    assert (first.pid, first.oom_score_adj) == (large.pid, 500)
    assert first.held_bytes >= 96 * MIB
    assert first.gained_bytes == 0, "for a second it was seen to gain nothing"
    assert "kept = bytes([1])" in first.command


def test_a_real_process_that_a_rule_names_is_spared(own):
    with real.victim(24, name=b"precious"):
        rules = victims(never=matchers(names=(b"precious",)))
        ranking = own.rank(PLAIN._replace(victims=rules), NONE_REFUSED, 1000)
    assert (Shield.NEVER, "name precious") in [spared[1:] for spared in ranking.spared]
    assert b"precious" not in [chosen.process.comm for chosen in ranking.candidates]


# What is known without a look


def test_what_a_warning_names_is_known_from_the_last_watch_and_nothing_is_read_for_it(scene):
    scene.proc.process(101, oom_score=700, anonymous_kib=60_000)
    scene.proc.process(102, oom_score=700, anonymous_kib=40_000)
    scene.proc.process(103, oom_score=700, anonymous_kib=100)
    scene.watch(2)
    scene.proc.process(104, oom_score=700, anonymous_kib=90_000)
    scene.looked_at.clear()
    known = scene.search.known(PLAIN, frozenset({(102, 0)}), scene.now_ms)
    assert [one.process.pid for one in known] == [101, 102], "only a process with that start time was refused"
    (start_ticks,) = {one.process.start_ticks for one in known if one.process.pid == 101}
    known = scene.search.known(PLAIN, frozenset({(101, start_ticks)}), scene.now_ms)
    assert [one.process.pid for one in known] == [102]
    assert scene.looked_at == []


def test_what_was_known_before_a_calm_is_not_known_any_more(scene):
    scene.proc.process(101, oom_score=700, anonymous_kib=60_000)
    scene.watch(2)
    assert scene.search.known(PLAIN, NONE_REFUSED, scene.now_ms + 10_000)
    assert scene.search.known(PLAIN, NONE_REFUSED, scene.now_ms + 10_001) == ()
