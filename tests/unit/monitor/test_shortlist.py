"""The few that matter, from the whole table: on trees made for the test, and on real processes."""

import os

import pytest

from bustd_common.protection import Protection
from bustd_monitor.ranking.order import Terms
from bustd_monitor.ranking.shortlist import Shortlist
from bustd_monitor.sensing import processes
from tests.fakes.procfs import PF_KTHREAD, FakeProc
from tests.support import victims as real
from tests.unit.monitor.making import MIB, matchers, victims

PLAIN = Terms(victims(), Protection(), 16 * MIB)


@pytest.fixture
def proc(tmp_path):
    return FakeProc(tmp_path)


@pytest.fixture
def looked_at(monkeypatch):
    """The PIDs that were looked at closely, in order."""
    pids, reading = [], processes.read_process
    monkeypatch.setattr(processes, "read_process", lambda pid, *rest: pids.append(pid) or reading(pid, *rest))
    return pids


def order(proc: FakeProc, terms: Terms = PLAIN, **how) -> list[int]:
    ranking = Shortlist(proc.path).rank(terms, **how)
    return [chosen.process.pid for chosen in ranking.candidates]


def crowd(proc: FakeProc) -> None:
    """A hundred of one score that are all too small to help."""
    for pid in range(1000, 1100):
        proc.process(pid, oom_score=667, anonymous_kib=100, resident_pages=20)


def preferring(**patterns) -> Terms:
    return PLAIN._replace(victims=victims(prefer=matchers(**patterns)))


def test_the_highest_score_comes_first_and_equal_scores_by_what_they_hold(proc):
    proc.process(101, oom_score=700, anonymous_kib=20_000)
    proc.process(102, oom_score=900, anonymous_kib=20_000)
    proc.process(103, oom_score=700, anonymous_kib=40_000)
    assert order(proc) == [102, 103, 101]


def test_what_can_not_die_or_does_not_help_is_not_a_candidate(proc):
    proc.process(101, oom_score=0)
    proc.process(102, flags=PF_KTHREAD)
    proc.process(103, state=b"Z")
    proc.process(104, oom_score_adj=-1000)
    proc.process(105, anonymous_kib=1000)
    proc.process(106)
    assert order(proc) == [106]


def test_bustds_own_processes_are_not_even_looked_at(proc, looked_at):
    for pid in (os.getpid(), os.getppid(), 4_000_000):
        proc.process(pid)
    assert order(proc) == [4_000_000]
    assert looked_at == [4_000_000]


def test_who_vanishes_while_he_is_looked_at_is_left_out(proc):
    proc.process(101, oom_score=900)
    proc.process(102)
    proc.remove("101/status")
    assert order(proc) == [102]


def test_who_was_refused_is_left_out_until_his_pid_is_anothers(proc):
    proc.process(101, start_ticks=5)
    proc.process(102, start_ticks=6)
    assert order(proc, refused=frozenset({(101, 5)})) == [102]
    assert sorted(order(proc, refused=frozenset({(101, 6), (102, 5)}))) == [101, 102]


def test_the_spared_are_told_with_the_reason(proc):
    proc.process(101, cgroup=b"0::/system.slice/sshd.service\n")
    proc.process(102, oom_score_adj=-1000)
    ranking = Shortlist(proc.path).rank(PLAIN._replace(advice=Protection(units=("sshd.service",))))
    assert {spared.process.pid: spared.why for spared in ranking.spared} == {
        101: "protected by killer.toml: unit sshd.service",
        102: "oom_score_adj -1000",
    }


def test_of_many_only_the_first_are_looked_at_closely(proc, looked_at):
    for pid in range(1000, 1100):
        proc.process(pid, oom_score=pid)
    assert order(proc)[:3] == [1099, 1098, 1097]
    assert len(looked_at) == 16


def test_the_spared_do_not_use_up_the_places_of_candidates(proc):
    for pid in range(1000, 1040):
        proc.process(pid, oom_score=pid, uid=0 if pid >= 1020 else 1000)
    found = order(proc, PLAIN._replace(advice=Protection(uids=(0,))))
    assert found == list(range(1019, 1003, -1))


def test_with_a_candidate_in_hand_nobody_looks_through_a_crowd_that_is_too_small_to_help(proc, looked_at):
    crowd(proc)
    proc.process(1100, oom_score=900)
    assert order(proc) == [1100]
    assert len(looked_at) == 48


def test_among_equals_of_which_one_helps_nobody_stops_before_the_one_that_holds_more_in_swap(proc):
    crowd(proc)
    proc.process(1100, oom_score=667, anonymous_kib=20_000, resident_pages=5000)
    proc.process(1101, oom_score=667, anonymous_kib=40_000, resident_pages=1)
    assert order(proc) == [1101, 1100]


def test_without_a_candidate_the_search_goes_on_through_that_crowd(proc, looked_at):
    crowd(proc)
    proc.process(1100, oom_score=600)
    assert order(proc) == [1100]
    assert len(looked_at) == 101


def test_with_a_preference_those_further_down_are_looked_at_too(proc, looked_at):
    for pid in range(1000, 1100):
        proc.process(pid, b"precious" if pid == 1000 else b"leak", oom_score=700 if pid != 1000 else 500)
    assert order(proc, preferring(names=(b"precious",)))[0] == 1000
    assert len(looked_at) == 100


def test_with_an_avoidance_those_further_down_are_looked_at_too(proc):
    for pid in range(1000, 1100):
        proc.process(pid, uid=26 if pid >= 1010 else 1000, oom_score=pid)
    found = order(proc, PLAIN._replace(victims=victims(avoid=matchers(uids=(26,)))))
    assert found[:10] == list(range(1009, 999, -1))


def test_however_many_there_are_no_more_than_some_hundreds_are_looked_at(proc, looked_at):
    for pid in range(1000, 1400):
        proc.process(pid, oom_score=pid - 500)
    order(proc, preferring(names=(b"nobody",)))
    assert len(looked_at) == 256
    assert min(looked_at) == 1400 - 256


def test_among_hundreds_of_equals_the_largest_are_the_ones_that_are_looked_at(proc, looked_at):
    for pid in range(1000, 1300):
        proc.process(pid, oom_score=666, resident_pages=10_000 + (pid * 7919) % 1000)
    proc.process(1300, oom_score=700, resident_pages=1)
    order(proc)
    largest = sorted(range(1000, 1300), key=lambda pid: (pid * 7919) % 1000, reverse=True)
    assert looked_at == [1300, *largest[:15]]


def test_where_proc_shows_nobody_there_is_nobody(proc):
    assert order(proc) == []


def test_only_descendants_of_the_given_process_are_looked_at_where_there_is_one(proc):
    proc.process(10, parent=1)
    proc.process(20, parent=10)
    proc.process(30, parent=20)
    proc.process(40, parent=1)
    ranking = Shortlist(proc.path, only_descendants_of=10).rank(PLAIN)
    assert sorted(chosen.process.pid for chosen in ranking.candidates) == [20, 30]


# Command lines


NEVER = victims(never=matchers(commands=("*--precious*",)))


def test_command_lines_are_remembered_from_before_the_crisis_and_not_read_in_it(proc):
    proc.process(101, command=b"db\0--precious\0")
    shortlist, terms = Shortlist(proc.path), PLAIN._replace(victims=NEVER)
    assert len(shortlist.rank(terms).candidates) == 1, "not known yet"
    shortlist.remember_commands(NEVER)
    proc.remove("101/cmdline")
    ranking = shortlist.rank(terms)
    assert ranking.candidates == ()
    assert ranking.spared[0].why == "never: command *--precious*"
    assert ranking.spared[0].process.command == "db --precious"


def test_the_command_line_of_a_process_is_not_that_of_its_successor_with_the_same_pid(proc):
    proc.process(101, command=b"db\0--precious\0", start_ticks=5)
    shortlist = Shortlist(proc.path)
    shortlist.remember_commands(NEVER)
    proc.process(101, command=b"leak\0", start_ticks=6)
    assert len(shortlist.rank(PLAIN._replace(victims=NEVER)).candidates) == 1


def test_the_command_lines_of_kernel_threads_and_the_dead_are_not_read(proc, monkeypatch):
    monkeypatch.setattr(processes, "read_command", lambda *_: pytest.fail("nobody has one"))
    proc.process(101, flags=PF_KTHREAD)
    proc.process(102, state=b"Z")
    Shortlist(proc.path).remember_commands(NEVER)


def test_a_command_line_is_read_once_and_forgotten_with_its_process(proc, monkeypatch):
    reads, reading = [], processes.read_command
    monkeypatch.setattr(processes, "read_command", lambda pid, *rest: reads.append(pid) or reading(pid, *rest))
    proc.process(101)
    proc.process(102)
    shortlist = Shortlist(proc.path)
    for _ in range(3):
        shortlist.remember_commands(NEVER)
    assert sorted(reads) == [101, 102]
    proc.remove("101")
    shortlist.remember_commands(NEVER)
    proc.process(101)
    shortlist.remember_commands(NEVER)
    assert sorted(reads) == [101, 101, 102]


@pytest.mark.parametrize(
    ("rules", "count"), [(victims(), 16), (NEVER, 100), (preferring(commands=("x",)).victims, 100)]
)
def test_where_no_rule_asks_for_command_lines_only_those_of_the_likely_victims_are_read(
    proc, monkeypatch, rules, count
):
    reads = []
    monkeypatch.setattr(processes, "read_command", lambda pid, *_: reads.append(pid) or "")
    for pid in range(1000, 1100):
        proc.process(pid, oom_score=pid)
    Shortlist(proc.path).remember_commands(rules)
    assert len(reads) == count
    assert max(reads) == 1099


# Real processes


def test_of_real_processes_the_largest_comes_first_and_is_known_by_its_command_line():
    with real.victim(24, name=b"small", adj=500), real.victim(96, name=b"large) Z (", adj=500) as large:
        shortlist = Shortlist(only_descendants_of=os.getpid())
        shortlist.remember_commands(victims())
        candidates = [one for one in shortlist.rank(PLAIN).candidates if one.process.comm in (b"small", b"large) Z (")]
    assert [chosen.process.comm for chosen in candidates] == [b"large) Z (", b"small"]
    first = candidates[0].process
    assert (first.pid, first.oom_score_adj) == (large.pid, 500)
    assert first.held_bytes >= 96 * MIB
    assert "kept = bytes([1])" in first.command


def test_a_real_process_that_a_rule_names_is_spared():
    with real.victim(24, name=b"precious"):
        rules = victims(never=matchers(names=(b"precious",)))
        ranking = Shortlist(only_descendants_of=os.getpid()).rank(PLAIN._replace(victims=rules))
    assert "never: name precious" in [spared.why for spared in ranking.spared]
    assert b"precious" not in [chosen.process.comm for chosen in ranking.candidates]
