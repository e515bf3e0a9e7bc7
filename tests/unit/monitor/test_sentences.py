"""What the log says: the numbers, the victim, and nothing that a name could forge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bustd_monitor.conditions.finding import Finding, Seen
from bustd_monitor.conditions.stalled_seconds import Second, Stalls
from bustd_monitor.conditions.table import BY_NAME, demands
from bustd_monitor.conditions.trends import Trends
from bustd_monitor.deciding.actions import (
    Ask,
    Basis,
    CannotKill,
    Escalate,
    Flight,
    NothingGrows,
    NoVictim,
    Scarce,
    ShortageIsOver,
    ShortSoon,
)
from bustd_monitor.deciding.worth_killing import Relief
from bustd_monitor.ranking.family import Family
from bustd_monitor.ranking.order import Candidate
from bustd_monitor.ranking.what_may_die import Shield, Spared
from bustd_monitor.reporting import sentences
from bustd_monitor.sensing.kin import Kinship
from bustd_monitor.sensing.reading import Refaults
from bustd_protocol.messages import Exited, Fate, Reason, Scope, Signal, Verdict, outcome_of
from bustd_shared import __version__
from bustd_shared.kernel.pressure import MemoryPressure
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, candidate, conditions, finding, process, reading, ticks_ago
from tests.unit.monitor.trends import filling_at

CONDITIONS = DEFAULTS.conditions
PRESSED = reading(2 * GIB, free=GIB, pressure=MemoryPressure(12.34, 0, 5.67, 0))


def first_choice(
    chosen: Candidate,
    why: Finding,
    *others: Candidate,
    trends: Trends = Trends(),  # noqa: B008
    relief: Relief = Relief.WHOLE,
) -> Ask:
    """The first of a ranking; 512 MiB would end the shortage."""
    return Ask(chosen, why, others, Basis(Seen(PRESSED, trends), relief, 512 * MIB))


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
            "of what was reclaimed refaulted; if that is files, available at most 25 %; "
            "or PSI full growing by 100 ms in each of 30 s, and by 150 on the average of the last 10",
        ),
        (
            "forecast",
            "memory and swap gone within 2 s at the present rate, and available at most 8 % (1311 MiB)",
        ),
        (
            "pressure",
            "free at most 15 % (2458 MiB), PSI some avg10 at least 25 and as much in the last 2 s, while the kernel "
            "reclaims for the machine, available at most 15 %; with more than 5 %, 5 % of what was reclaimed must be "
            "refaulted",
        ),
        (
            "emergency",
            "PSI full growing by 300 ms a second over 10 s, 20 % of what was reclaimed refaulted, available at most "
            "35 % (5734 MiB)",
        ),
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
    assert sentences.decision(first_choice(chosen, finding(), chosen), CONDITIONS, 5).isprintable()
    assert sentences.news(NoVictim(PRESSED, chosen)).isprintable()


def test_a_nasty_name_is_escaped_and_not_left_out():
    told = sentences.victim(process(comm=b"x\n\x1b[31m\xff", unit="a\nb.service", command="c\rd"))
    assert r"(x\n\x1b[31m\xff)" in told
    assert r"unit a\nb.service" in told
    assert r"command c\rd" in told


def test_a_decision_is_told_with_the_condition_the_numbers_the_victim_the_runners_up_and_the_time():
    others = (candidate(102, comm=b"b"), candidate(103, comm=b"c\n"))
    first = candidate(101, start_ticks=ticks_ago(5))
    ask = first_choice(first, finding("stall", signal=Signal.KILL), *others)
    assert sentences.decision(ask, CONDITIONS, 417) == (
        f"stall fires: {sentences.readings(PRESSED)}; SIGKILL for 101 (leak) of uid 1000, unit user@1000.service, "
        "holding 1024 MiB, 5 s old, holds 1024 MiB; after it 102 (b, 1024 MiB), 103 (c\\n, 1024 MiB); "
        "decided in 417 us"
    )


@pytest.mark.parametrize(
    ("relief", "words"),
    [
        (Relief.WHOLE, ""),
        (Relief.PART, "; its death alone does not end the shortage: that takes 512 MiB"),
        (Relief.MANY_HANDS, "; memory is in many hands, and to end the shortage takes 512 MiB"),
    ],
)
def test_what_a_death_does_not_bring_comes_after_the_choice(relief, words):
    ask = first_choice(candidate(101), finding(), relief=relief)
    assert sentences.choice(ask, CONDITIONS).endswith(f"; after it none{words}")


def test_what_a_condition_rests_on_comes_after_the_choice_and_before_what_the_death_does_not_bring():
    back = Refaults(50 * MIB, 20 * MIB, 100 * MIB)
    stalls = Stalls(0, refaults=back, seconds=(Second(1, 2), Second(400, 700, back), Second(500, 800, back)))
    ask = first_choice(candidate(101), finding("stall"), trends=Trends(stalls), relief=Relief.PART)
    assert sentences.choice(ask, CONDITIONS).endswith(
        "; after it none; PSI full 400, 500 and some 700, 800 ms in the last seconds, "
        "refaulted of what was reclaimed: 70 % (files 20 %); "
        "its death alone does not end the shortage: that takes 512 MiB"
    )


def test_a_kill_that_the_rate_of_filling_hastens_says_how_fast_and_how_soon():
    ask = first_choice(candidate(101), finding(), trends=Trends(filling=filling_at(4 * GIB)))
    assert sentences.choice(ask, CONDITIONS).endswith(
        "; after it none; memory and swap fill at 4096 MiB a second (over the last 0.6 s) and would be gone in 0.5 s"
    )


def test_a_family_among_the_runners_up_is_named_as_one():
    family = Family(Kinship(123, b"leak"), ((102, 5), (103, 5)), 0, b"make")
    herd = candidate(101, comm=b"leak")._replace(scope=Scope.GROUP, held_bytes=480 * MIB, known=3, family=family)
    told = sentences.choice(first_choice(candidate(), finding("floor"), herd), CONDITIONS)
    assert told.endswith("; after it 3 processes named leak of make (PID 123), 480 MiB together")


def test_the_line_of_a_decision_names_three_that_would_be_next_however_many_are_known():
    others = (candidate(pid) for pid in range(102, 112))
    told = sentences.choice(first_choice(candidate(101), finding("floor"), *others), CONDITIONS)
    assert told.endswith("; after it 102 (leak, 1024 MiB), 103 (leak, 1024 MiB), 104 (leak, 1024 MiB)")


def test_a_warning_is_told_with_the_numbers_and_with_the_first_that_would_die():
    floor = BY_NAME["floor"]
    soon = ShortSoon(PRESSED, floor, 800 * MIB, 19_900, 40 * MIB, (candidate(101), candidate(102)))
    assert sentences.news(soon) == (
        f"memory will be short in 19 s: it fills up at 40 MiB a second, {sentences.readings(PRESSED)}; "
        "floor fires when 800 MiB more are taken; the first to die would be 101 (leak, 1024 MiB)"
    )
    assert sentences.news(Scarce(PRESSED, floor, 800 * MIB, 19_900)) == (
        f"memory is scarce: {sentences.readings(PRESSED)}; floor fires when 800 MiB more are taken"
    )


def test_a_decision_without_runners_up_says_so():
    assert "after it none;" in sentences.decision(first_choice(candidate(), finding()), CONDITIONS, 1)


def test_where_no_death_would_help_it_is_said_where_memory_is_instead():
    filled_tmpfs = reading(GIB, total=1.5 * GIB)._replace(
        ram=16 * GIB, available=100 * MIB, shared=13 * GIB, hugetlb=GIB
    )
    largest = candidate(102, held_bytes=30 * MIB)
    assert sentences.news(NoVictim(filled_tmpfs, largest)) == (
        "memory is short and there is NOBODY WORTH KILLING: the largest that may be is 102 (leak) with 30 MiB; of "
        "16.0 GiB, tmpfs and shared memory hold 13.0 GiB, huge pages 1024 MiB, all programs 1436 MiB"
    )
    assert "there is NOBODY TO KILL; of 16.0 GiB, " in sentences.news(NoVictim(filled_tmpfs, None))


def test_whatever_else_a_decision_comes_to_is_said():
    assert sentences.news(CannotKill(Reason.EPERM)) == "CANNOT PROTECT THIS MACHINE: the killer says eperm"
    assert "no process is killed" in sentences.news(ShortageIsOver())
    assert "no process worth killing grows" in sentences.news(NothingGrows())


def test_the_next_is_named_and_that_it_is_asked_for_alone_if_it_is():
    told = sentences.asking_for_the_next(Ask(candidate(101), finding(), ()))
    assert told.startswith("asking for the next: 101 (leak) of uid 1000") and told.endswith(" s old alone")
    whole = Ask(candidate(101)._replace(scope=Scope.CGROUP), finding(), ())
    assert not sentences.asking_for_the_next(whole).endswith("alone")


def test_an_escalation_names_what_is_in_flight():
    action = Escalate(Flight(101, 5, Signal.TERM), finding(signal=Signal.KILL))
    assert sentences.urgent(action) == "floor is urgent now: SIGKILL for 101, which is in flight"


def test_two_control_groups_that_differ_are_told_and_that_they_agree_is_not():
    assert sentences.watching_apart("/a", "/a") == ""
    assert sentences.watching_apart("/a", "").startswith('cgroup is "/a" in bustd.toml and "" in killer.toml')


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


def test_the_first_line_has_the_version_and_what_each_condition_that_is_switched_on_demands():
    told = sentences.in_force(PRESSED, conditions(stall={"enabled": False}))
    head, _, rest = told.partition(" acts when one of these is true: ")
    assert head == f"bustd {__version__}"
    demanded = dict(demand.split(": ", 1) for demand in rest.split(" | "))
    assert list(demanded) == ["floor", "forecast", "pressure", "emergency"]
    assert demanded["pressure"].startswith("free at most 15 %")


def test_where_memory_can_not_be_read_the_first_line_names_the_conditions():
    assert sentences.in_force(None, DEFAULTS.conditions) == (
        f"bustd {__version__} acts by floor, forecast, stall, pressure, emergency; memory can't be read just now"
    )


def test_processes_that_a_rule_could_not_be_judged_for_are_told_with_the_largest_of_them():
    why = "is longer than 128 KiB"
    some = (
        Spared(process(1, comm=b"a\n", held_bytes=MIB), Shield.UNJUDGED, "can't be read"),
        Spared(process(2, comm=b"java", held_bytes=2 * GIB), Shield.UNJUDGED, why),
    )
    reason = f"never could not be judged: its command line {why}"
    assert sentences.unjudged(some) == f"spared: 2 (java) with 2048 MiB, and 1 more: {reason}"
    assert sentences.unjudged(some[1:]) == f"spared: 2 (java) with 2048 MiB: {reason}"
    assert sentences.unjudged(some[:1]).isprintable()
