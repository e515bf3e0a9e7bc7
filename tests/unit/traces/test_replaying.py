"""A trace decided over again: what happens when, and that nothing is made up."""

import pytest

from bustd_monitor.config import config_of
from bustd_monitor.sensing.process_table import ProcessTable
from bustd_monitor.traces.format import Listed
from bustd_monitor.traces.recorded_table import RecordedTable
from bustd_monitor.traces.records import RecordedProcess
from bustd_monitor.traces.replaying import Kill, KillerRules, Replay
from bustd_protocol.messages import Scope, Signal
from bustd_shared.rules.protection import Protection
from tests.support.traces import GIB, HEADER, MIB, decoded, process, reading, trace

FLOOR = {"conditions": {name: {"enabled": False} for name in ("pressure", "stall", "forecast")}}
"""Only `floor`: at 10 % of 2 GiB a SIGTERM, at half of that a SIGKILL."""
RULES = KillerRules(Protection(), 16 * MIB, 2000, 5000)
OLDER, LEAK = process(100, 300 * MIB, b"older"), process(200, 900 * MIB, b"leak", age_s=12.5)
LOW = 150 * MIB


def replayed(data, *, values=FLOOR, rules=RULES):
    """The replay at its end, and what it said: [(milliseconds, sentence)]."""
    said = []
    header, frames = decoded(data)
    run = Replay(header, config_of(values), rules, lambda at_ms, sentence: said.append((at_ms, sentence)))
    for frame in frames:
        run.feed(frame)
    return run, said


def decision_in(said) -> str:
    """The first line of a decision."""
    return next(sentence for _, sentence in said if " fires: " in sentence)


def low_from(start_ms, end_ms=10**9, *, low=LOW, swap=(0, 0)):
    """Plenty is available but between these."""
    return lambda at_ms: reading(low if start_ms <= at_ms < end_ms else GIB, swap=swap)


def test_a_process_is_taken_at_the_moment_its_condition_fires_and_is_gone_when_the_trace_says_so():
    data = trace(20, low_from(5000, 8000), lambda at_ms: [OLDER] if at_ms >= 8000 else [OLDER, LEAK])
    run, said = replayed(data)
    assert run.kills == [Kill(5000, "floor", Signal.TERM, LEAK.pid, LEAK.start_ticks, b"leak")]
    assert [at_ms for at_ms, _ in said] == [5000, 8000]
    assert said[0][1].startswith("floor fires: 150 MiB of 2048 MiB available (7.3 %), 150 MiB free, no swap")
    assert "SIGTERM for 200 (leak) of uid 1000, unit user@1000.service, holding 900 MiB, 18 s old, " in said[0][1]
    assert decision_in(said).endswith("after it 100 (older, 300 MiB)")
    assert said[1][1] == "200 is gone in the trace, 3000 ms after that"


def test_after_the_victim_is_gone_and_nothing_came_back_the_next_may_be_taken():
    data = trace(12, low_from(5000), lambda at_ms: [OLDER] if at_ms >= 8000 else [OLDER, LEAK])
    run, _ = replayed(data)
    assert [(kill.at_ms, kill.pid) for kill in run.kills] == [(5000, LEAK.pid), (9000, OLDER.pid)], "a second later"
    assert run.in_flight == run.kills[1]


def test_of_a_full_node_no_process_is_named_because_cpusets_are_not_recorded():
    data = trace(3, lambda at_ms: reading(GIB)._replace(full_node=1 if at_ms >= 1000 else -1), lambda _: [LEAK])
    _, said = replayed(data)
    assert [at_ms for at_ms, _ in said] == [1000]
    assert "NUMA node 1 is full" in said[0][1] and "(cpuset.mems, numactl). bustd judges" in said[0][1]


def test_what_the_kernel_killed_before_the_trace_began_is_not_said_when_memory_becomes_short():
    data = trace(8, lambda at_ms: reading(LOW if at_ms >= 5000 else GIB)._replace(oom_kills=57), lambda _: [LEAK])
    _, said = replayed(data)
    assert said and not [sentence for _, sentence in said if "THE KERNEL HAS KILLED" in sentence]


def test_another_process_with_the_victims_pid_is_not_the_victim():
    successor = LEAK._replace(start_ticks=LEAK.start_ticks + 5000, held_bytes=MIB)
    data = trace(20, low_from(5000, 9000), lambda at_ms: [OLDER, successor if at_ms >= 8000 else LEAK])
    _, said = replayed(data)
    assert said[1] == (8000, "200 is gone in the trace, 3000 ms after that")


@pytest.mark.parametrize(("signal", "low", "patience_ms"), [("TERM", LOW, 7000), ("KILL", 50 * MIB, 5000)])
def test_a_victim_that_lives_on_is_set_aside_when_the_killer_would_give_up_and_that_is_said(signal, low, patience_ms):
    run, said = replayed(trace(20, low_from(5000, low=low), lambda _: [OLDER, LEAK]))
    given_up_ms = 5000 + patience_ms
    assert [(kill.at_ms, kill.pid, kill.signal.name) for kill in run.kills][:2] == [
        (5000, LEAK.pid, signal),
        (given_up_ms, OLDER.pid, signal),
    ]
    (sentence,) = [sentence for at_ms, sentence in said if at_ms == given_up_ms and "lives on" in sentence]
    assert sentence.startswith(f"200 lives on in the trace after {patience_ms} ms: from here on this is what the")
    assert sentence.endswith("PSI some 0.0 % full 0.0 %")


def test_a_victim_who_is_only_no_longer_followed_is_not_gone():
    said = []
    header, frames = decoded(trace(9, low_from(5000), lambda at_ms: [OLDER, LEAK]))
    run = Replay(header, config_of(FLOOR), RULES, lambda at_ms, sentence: said.append(sentence))
    for frame in frames:
        run.feed(frame)
    run.feed(Listed(9000, (RecordedProcess(OLDER),), frozenset({LEAK.pid})))
    assert run.in_flight is not None
    run.feed(Listed(10_000, (RecordedProcess(OLDER),), frozenset()))
    assert run.in_flight is None


def test_when_it_gets_urgent_the_one_in_flight_gets_a_sigkill_and_so_much_less_time():
    data = trace(
        20, lambda at_ms: reading(GIB if at_ms < 5000 else LOW if at_ms < 6000 else 50 * MIB), lambda _: [LEAK]
    )
    run, said = replayed(data)
    assert [(kill.at_ms, kill.pid) for kill in run.kills] == [(5000, LEAK.pid)]
    assert run.escalations == [Kill(6000, "floor", Signal.KILL, LEAK.pid, LEAK.start_ticks, b"leak")]
    assert (6000, "floor is urgent now: SIGKILL for 200, which is in flight") in said
    assert [at_ms for at_ms, sentence in said if "lives on" in sentence] == [11_000]


def test_nobody_is_taken_who_is_protected_or_too_small():
    small = process(300, 10 * MIB, b"small")
    data = trace(8, low_from(5000), lambda _: [LEAK, small])
    run, said = replayed(data, rules=RULES._replace(protection=Protection(names=(b"le*",))))
    assert run.kills == []
    assert any("NOBODY TO KILL" in sentence for _, sentence in said)


def test_what_a_configuration_says_of_victims_counts():
    never = {**FLOOR, "victims": {"never": {"names": [b"leak"]}}}
    run, _ = replayed(trace(8, low_from(5000), lambda _: [OLDER, LEAK]), values=never)
    assert [kill.pid for kill in run.kills] == [OLDER.pid]


def test_command_lines_are_told_where_they_were_recorded_and_the_machine_was_watched_before():
    leak = LEAK._replace(command="leak --much\n")
    scarce_before = {"conditions": {**FLOOR["conditions"], "stall": {"enabled": True}}}
    data = trace(8, lambda at_ms: reading(LOW if at_ms >= 5000 else 210 * MIB), lambda _: [leak])
    _, said = replayed(data, values=scarce_before)
    assert "command leak --much" in decision_in(said)


def test_without_processes_a_decision_says_that_somebody_would_have_been_ranked_and_holds_for_ten_seconds():
    run, said = replayed(trace(24, low_from(5000), None))
    assert run.kills == [Kill(5000, "floor", Signal.TERM), Kill(15_000, "floor", Signal.TERM)]
    assert said[0][1].endswith("; SIGTERM for the process that would have been ranked first")
    assert str(run.kills[0]) == "floor, SIGTERM for the first of a ranking"


def test_with_verbose_the_states_are_told_too():
    data = trace(8, lambda at_ms: reading(GIB if at_ms < 2000 else LOW), lambda _: [LEAK])
    _, quiet = replayed(data)
    _, verbose = replayed(data, values={**FLOOR, "verbose": True})
    assert [sentence.partition(":")[0] for _, sentence in verbose if sentence not in {said for _, said in quiet}] == [
        "calm -> act"
    ]


def test_while_it_is_calm_and_enough_is_free_it_sees_no_more_than_the_monitor_would():
    """Stalls count from the first look at PSI: live, that comes only when free memory does not rule trouble out."""
    stall = {"conditions": {name: {"enabled": False} for name in ("pressure", "floor", "forecast")}}

    def stalling(at_ms):
        return reading(GIB if at_ms < 10_000 else LOW, some=50, full_ms=at_ms)

    seen, _ = replayed(trace(24, stalling, lambda _: [LEAK]), values=stall)
    blind = HEADER._replace(reserve=-1)  # where sysinfo is of no use PSI is looked at every time
    always_seen, _ = replayed(trace(24, stalling, lambda _: [LEAK], blind), values=stall)
    assert always_seen.kills[0].at_ms == 10_000
    assert seen.kills[0].at_ms >= 18_000


def test_the_recorded_table_answers_every_question_that_the_live_one_does():
    questions = {name for name in vars(ProcessTable) if not name.startswith("_")}
    assert questions - {"close"} <= {name for name in vars(RecordedTable) if not name.startswith("_")}


# Many hands

SMALL = HEADER._replace(ram=GIB)


def herd_beside_an_older(at_ms):
    """40 processes of 12 MiB come one after the other, 30 MiB in a second, beside a program of 250 MiB."""
    fresh = [
        process(300 + number, 12 * MIB, b"leak", age_s=-number * 0.4, parent=7, group=7, session=5)
        for number in range(min(at_ms // 400, 40))
    ]
    return [process(100, 250 * MIB, b"older", parent=1, group=100, session=100), *fresh]


def test_a_herd_dies_as_one_and_the_older_program_that_is_larger_than_any_of_it_lives():
    def low_at(at_ms):
        return reading(500 * MIB - 30 * MIB * at_ms // 1000)._replace(ram=GIB, total=900 * MIB)

    run, said = replayed(trace(16, low_at, herd_beside_an_older, SMALL))
    first, *_ = run.kills
    assert (first.comm, first.scope) == (b"leak", Scope.GROUP)
    assert all(kill.comm == b"leak" for kill in run.kills)
    assert f"one of {first.kin + 1} processes named leak of a parent (PID 7), " in decision_in(said)
    assert decision_in(said).endswith("after it 100 (older, 250 MiB)")
    assert str(first) == f"floor, SIGTERM for {first.pid} (leak) and {first.kin} of its kin"
    needed = 45 * MIB * 3
    assert (first.kin + 1) * 12 * MIB > needed, "one decision is enough"
