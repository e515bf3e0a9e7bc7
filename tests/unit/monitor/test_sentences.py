"""What the log says: the numbers, the victim, and nothing that a name could forge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bustd_monitor.conditions.table import BY_NAME, demands
from bustd_monitor.deciding.states import Ask
from bustd_monitor.reporting import sentences
from bustd_protocol.messages import Exited, Fate, Reason, Signal, Verdict, outcome_of
from bustd_shared.kernel.procfs import Pressure
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, candidate, conditions, finding, process, reading, ticks_ago

PRESSED = reading(2 * GIB, free=GIB, pressure=Pressure(12.34, 0, 5.67, 0))


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (0, "0 KiB"),
        (1023 * 1024, "1023 KiB"),
        (MIB, "1 MiB"),
        (812.4 * MIB, "812 MiB"),
        (10 * GIB - MIB, "10239 MiB"),
        (10 * GIB, "10.0 GiB"),
        (23.06 * GIB, "23.1 GiB"),
    ],
)
def test_sizes_are_for_people(amount, words):
    assert sentences.size(amount) == words


def test_a_reading_is_told_with_everything_that_the_conditions_look_at():
    assert sentences.readings(PRESSED) == (
        "2048 MiB of 16.0 GiB available (12.5 %), 1024 MiB free, no swap, PSI some 12.3 % full 5.7 %"
    )


def test_swap_and_the_lack_of_psi_are_told():
    told = sentences.readings(reading(2 * GIB, swap=(4 * GIB, GIB), pressure=None))
    assert told.endswith("1024 MiB of 4096 MiB swap free, no PSI")


def test_swap_that_is_no_relief_is_told_apart_from_what_is_free():
    told = sentences.readings(reading(2 * GIB, swap=(4 * GIB, GIB))._replace(swap_usable=100 * MIB))
    assert "1024 MiB of 4096 MiB swap free (100 MiB usable), " in told


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("floor", "available at most 1024 MiB; SIGKILL at 50 % of that"),
        (
            "stall",
            "available at most 15 % (2458 MiB), PSI full growing by 150 ms or some by 900 ms in each of 2 s, and 20 % "
            "of what was reclaimed wanted back; if that is files, available at most 25 %; "
            "or PSI full growing by 100 ms in each of 30 s",
        ),
        (
            "forecast",
            "memory and swap gone within 2 s at the present rate, and available at most 20 % (3277 MiB)",
        ),
        ("pressure", "free at most 15 % (2458 MiB), PSI some avg10 at least 25, available at most 40 %"),
    ],
)
def test_what_a_condition_demands_is_told_in_this_machines_own_numbers(name, words):
    assert demands(BY_NAME[name], PRESSED, DEFAULTS.conditions) == words


def test_what_floor_demands_of_swap_is_told_where_there_is_any():
    told = demands(BY_NAME["floor"], reading(swap=(10 * GIB, GIB)), conditions())
    assert told == "available at most 1024 MiB and usable swap at most 1024 MiB; SIGKILL at 50 % of that"


def test_a_victim_is_told_as_the_ranking_knew_it():
    told = sentences.victim(process(start_ticks=ticks_ago(42.2), held_bytes=3 * GIB, command="eat --all"))
    assert told == ("4711 (leak) of uid 1000, unit user@1000.service, holding 3072 MiB, 42 s old, command eat --all")


def test_a_victim_without_unit_and_command_line_and_from_the_future_is_told_all_the_same():
    told = sentences.victim(process(start_ticks=ticks_ago(-100), unit=""))
    assert told == "4711 (leak) of uid 1000, unit none, holding 1024 MiB, 0 s old"


@given(st.binary(max_size=16), st.text(max_size=20), st.text(max_size=20))
def test_no_name_unit_or_command_line_forges_a_line_or_disturbs_a_terminal(comm, unit, command):
    odd = process(comm=comm, unit=unit, command=command)
    assert sentences.victim(odd).isprintable()
    chosen = candidate(comm=comm, unit=unit, command=command)
    assert sentences.decision(Ask(chosen, finding(), (chosen,)), PRESSED, 5).isprintable()


def test_a_nasty_name_is_escaped_and_not_left_out():
    told = sentences.victim(process(comm=b"x\n\x1b[31m\xff", unit="a\nb.service", command="c\rd"))
    assert r"(x\n\x1b[31m\xff)" in told
    assert r"unit a\nb.service" in told
    assert r"command c\rd" in told


def test_a_decision_is_told_with_the_condition_the_numbers_the_victim_the_runners_up_and_the_time():
    others = (candidate(102, comm=b"b"), candidate(103, comm=b"c\n"))
    ask = Ask(candidate(101, start_ticks=ticks_ago(5)), finding("stall", signal=Signal.KILL), others)
    assert sentences.decision(ask, PRESSED, 417) == (
        f"stall fires: {sentences.readings(PRESSED)}; SIGKILL for 101 (leak) of uid 1000, unit user@1000.service, "
        "holding 1024 MiB, 5 s old, holds 1 GiB; after it 102 (b, 1024 MiB), 103 (c\\n, 1024 MiB); decided in 417 us"
    )


def test_what_else_there_is_to_say_of_a_choice_comes_after_it():
    ask = Ask(candidate(101), finding(), (), "memory is in many hands")
    assert sentences.choice(ask, PRESSED).endswith("; after it nobody; memory is in many hands")


def test_a_decision_without_runners_up_says_so():
    assert "after it nobody;" in sentences.decision(Ask(candidate(), finding(), ()), PRESSED, 1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"signalled_count": 1, "latency_us": 97}, "the killer: signalled 1 in 97 us"),
        ({"signalled_count": 3, "differs": 1}, "the killer: signalled 3 in 0 us, its uid had changed"),
        ({"differs": 2}, "the killer: signalled 0 in 0 us, its name had changed"),
        ({"differs": 3}, "the killer: signalled 0 in 0 us, its uid and name had changed"),
    ],
)
def test_a_kill_is_told_with_its_time_and_with_what_differed(fields, words):
    answer = Verdict(1, outcome_of(Reason.NONE), Reason.NONE, **fields)
    assert sentences.verdict(answer) == words


@pytest.mark.parametrize(
    ("reason", "retry_after_ms", "words"),
    [
        (Reason.PROTECTED, 0, "the killer: refused, protected"),
        (Reason.RATE, 400, "the killer: refused, rate, again in 400 ms"),
        (Reason.GONE, 0, "the killer: gone, gone"),
        (Reason.EPERM, 0, "the killer: failed, eperm"),
    ],
)
def test_a_refusal_is_told_with_its_reason(reason, retry_after_ms, words):
    assert sentences.verdict(Verdict(1, outcome_of(reason), reason, retry_after_ms=retry_after_ms)) == words


def test_an_exit_is_told_with_what_it_brought():
    told = sentences.exited(Exited(1, Fate.GONE, 43), PRESSED)
    assert told == f"the victim is gone after 43 ms; now {sentences.readings(PRESSED)}"
    assert sentences.exited(Exited(1, Fate.GONE, 43), None) == "the victim is gone after 43 ms"


def test_a_victim_that_is_stuck_is_told_loudly():
    told = sentences.exited(Exited(1, Fate.STUCK, 7000), None)
    assert told == (
        "the victim is STUCK: it has not ended 7000 ms after its signal, though its memory may be back already; "
        "it is set aside for as long as it lives"
    )
