"""Deaths for which no process grew: what one more must be worth while a tmpfs, the kernel or a balloon fills memory."""

import pytest

from bustd_monitor.conditions.filled import Filled
from bustd_monitor.deciding import states, still_deaths
from bustd_monitor.deciding.actions import Ask, Asked, Escalate, NoVictim
from bustd_monitor.deciding.states import State
from bustd_monitor.deciding.still_deaths import NONE, Again, StillDeaths
from bustd_monitor.deciding.worth_killing import Choice, Relief, worth_a_second
from bustd_monitor.reporting import sentences
from bustd_protocol.messages import Exited, Fate, Reason, Signal
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, candidate, reading, verdict

CONDITIONS = DEFAULTS.conditions
HOUR_MS = 3_600_000


def short(tmpfs_gib: float, *, available: float = GIB):
    """16 GiB of RAM, at the floor or below, of which a tmpfs has so much. Where it is, is known."""
    held = int(tmpfs_gib * GIB)
    return reading(available)._replace(shared=held, tmpfs=held, kernel=GIB // 4, fullest_tmpfs=b"/dev/shm")


def seen(state: State, *times: tuple) -> State:
    for now_ms, one in times:
        state, _ = states.on_reading(state, one, now_ms, CONDITIONS)
    return state


def killed(state: State, now_ms: int, one, *candidates) -> State:
    """The first of them dies for this reading."""
    state = seen(state, (now_ms, one), (now_ms + 100, one))
    state, actions = states.on_ranking(state, candidates, one, now_ms + 100, CONDITIONS)
    assert isinstance(actions[0], Ask)
    state, _ = states.on_verdict(state, Asked(actions[0].candidate, Signal.TERM), verdict(), now_ms + 110)
    state = states.on_exited(state, Exited(1, Fate.GONE, 40), now_ms + 150)
    back = one._replace(available=one.available + actions[0].candidate.brings_bytes)
    return seen(state, (now_ms + 200, back))


def choice_at(state: State, now_ms: int, one, *candidates, conditions=CONDITIONS):
    """What a ranking comes to."""
    state = seen(state, (now_ms, one))
    return states.on_ranking(state, candidates, one, now_ms, conditions)[1][0]


def still(mib: int = 900, pid: int = 102):
    return candidate(pid, held_bytes=mib * MIB)


NEARLY_NOTHING = 300 * MIB
"""Below half of the floor: SIGKILL."""


def test_after_an_hour_no_second_program_dies_for_a_tmpfs_that_still_fills():
    state = killed(State(), 0, short(4), still(pid=101))
    said = choice_at(state, HOUR_MS, short(5), still())
    assert isinstance(said, NoVictim)
    assert said.again is not None
    assert (said.again.deaths, said.again.is_filled, said.again.filled) == (1, True, Filled(shared=GIB))
    assert sentences.news(said) == (
        "memory is short and there is NOBODY WORTH KILLING: the largest that may be is 102 (leak) with 900 MiB; "
        "a process that did not grow died for this, the last 59 min ago, and tmpfs and shared memory took 1024 MiB "
        "since: no more are killed for it, unless memory is all but gone, and one holds half of what is missing, which "
        "would last for 30 s (what the largest holds: 52 min); delete files of a tmpfs (df -t tmpfs): the fullest is "
        "/dev/shm; of 16.0 GiB, tmpfs and shared memory hold 5120 MiB, huge pages 0 KiB, the kernel 256 MiB, all "
        "programs 15.0 GiB"
    )


def test_at_the_last_moment_one_more_dies_whose_memory_lasts_and_the_third_must_last_ten_times_as_long():
    state = killed(State(), 0, short(4), still(pid=101))
    assert isinstance(choice_at(state, 60_000, short(5, available=NEARLY_NOTHING), still()), Ask), "53 s at this rate"
    state = killed(state, 60_000, short(5, available=NEARLY_NOTHING), still())
    fast, slow = (choice_at(state, at, short(6, available=NEARLY_NOTHING), still()) for at in (360_000, 500_000))
    assert isinstance(fast, NoVictim)
    assert fast.again is not None
    assert (fast.again.deaths, fast.again.must_last_ms) == (2, 300_000)
    assert isinstance(slow, Ask)


def test_one_that_lasts_too_short_is_spared_also_at_the_last_moment():
    state = killed(State(), 0, short(4), still(pid=101))
    assert isinstance(choice_at(state, 20_000, short(5, available=NEARLY_NOTHING), still()), NoVictim)


def test_what_fills_memory_has_given_back_half_of_what_it_took_and_all_is_as_at_first():
    state = killed(State(), 0, short(4), still(pid=101))
    state = seen(state, (70_000, short(6, available=3 * GIB)), (80_000, short(4.9, available=4 * GIB)))
    assert state.still.number == 1, "within ten minutes it may come and go"
    state = seen(state, (610_000, short(4.9, available=4 * GIB)))
    assert state.still == NONE
    assert isinstance(choice_at(state, HOUR_MS, short(6), still()), Ask)


def test_a_file_that_is_deleted_while_others_come_is_no_relief():
    state = killed(State(), 0, short(4), still(pid=101))
    state = seen(state, (70_000, short(6, available=3 * GIB)), (700_000, short(5.5, available=3 * GIB)))
    assert state.still.number == 1
    assert still_deaths.advanced(StillDeaths(), short(4), 80_000) == NONE


def test_what_comes_and_goes_right_after_a_death_is_no_relief():
    state = killed(State(), 0, short(4), still(pid=101))
    state = seen(state, (40_000, short(4.4, available=2 * GIB)), (50_000, short(4, available=2 * GIB)))
    assert state.still.number == 1


def test_a_process_that_grows_may_die_whatever_fills_memory_beside_it():
    state = killed(State(), 0, short(4), still(pid=101))
    leak = candidate(103, held_bytes=900 * MIB, gained_bytes=500 * MIB)
    assert isinstance(choice_at(state, HOUR_MS, short(5), leak), Ask)
    assert killed(state, HOUR_MS, short(5), leak).still.number == 1, "its death says nothing about the tmpfs"


def test_a_small_program_that_breathes_does_not_let_the_large_idle_ones_die():
    breathes = candidate(103, held_bytes=300 * MIB, gained_bytes=30 * MIB)
    state = killed(State(), 0, short(4), still(pid=101), breathes)
    state = seen(state, (300_000, short(5)))
    said = choice_at(state, 360_000, short(5.5), still())
    assert isinstance(said, NoVictim)
    said = choice_at(state, 360_000, short(5.5), still(), breathes)
    assert isinstance(said, Ask)
    assert said.candidate.process.pid == 103
    assert "tmpfs and shared memory took" in sentences.decision(said, CONDITIONS, 1)


def test_a_slow_leak_is_not_taken_for_what_a_tmpfs_did():
    """A process that gains too little in ten seconds to be seen took more than the tmpfs did."""
    state = killed(State(), 0, short(4), still(2000, pid=101))
    assert isinstance(choice_at(state, HOUR_MS, short(4.5), still()), Ask)


def test_within_a_minute_one_must_bring_half_of_what_is_missing_whatever_fills_memory():
    state = killed(State(), 0, short(4), still(pid=101))
    assert isinstance(choice_at(state, 50_000, short(4), still(255)), NoVictim)
    assert isinstance(choice_at(state, 50_000, short(4), still(256)), Ask)
    assert isinstance(choice_at(state, 61_000, short(4), still(255)), Ask)
    said = choice_at(state, 50_000, short(4), still(255))
    assert "a process died for this within the last minute and did not grow either" in sentences.news(said)


def test_after_a_leak_that_grew_the_next_death_costs_no_more_than_the_first():
    state = killed(State(), 0, short(4), candidate(101, held_bytes=900 * MIB, gained_bytes=500 * MIB))
    assert isinstance(choice_at(state, 5000, short(4), still(200)), Ask)


def test_where_any_death_counts_as_help_a_second_one_does_too():
    anything = CONDITIONS._replace(floor=CONDITIONS.floor._replace(relief_percent=0))
    state = killed(State(), 0, short(4), still(pid=101))
    assert isinstance(choice_at(state, HOUR_MS, short(5), still(), conditions=anything), Ask)


@pytest.mark.parametrize(
    ("in_files", "advice"), [(5.0, "the fullest is /dev/shm"), (0.1, "in no file of a tmpfs: a graphics driver")]
)
def test_files_are_to_be_deleted_only_where_they_hold_most_of_it(in_files, advice):
    state = killed(State(), 0, short(4), still(pid=101))
    filled_up = short(5)._replace(tmpfs=int(in_files * GIB))
    assert advice in sentences.news(choice_at(state, HOUR_MS, filled_up, still()))


@pytest.mark.parametrize(("is_urgent", "left"), [(False, []), (True, [102])])
def test_one_that_lasts_must_also_hold_half_of_what_is_missing(is_urgent, left):
    small, large = candidate(101, held_bytes=49 * MIB), candidate(102, held_bytes=50 * MIB)
    again = Again(1, HOUR_MS, Filled(shared=GIB), MIB // 2, is_filled=True, must_last_ms=30_000)
    choice = worth_a_second(Choice((small, large), Relief.PART, 100 * MIB), again, 16 * GIB, is_urgent=is_urgent)
    assert [one.process.pid for one in choice.candidates] == left
    assert choice.relief is (Relief.PART if left else Relief.NONE)


# Every line of a decision names what fills memory

FILLS = "no process grows: tmpfs and shared memory hold 4096 MiB of RAM"


def test_the_choice_the_next_and_the_escalation_name_it_too():
    one = short(4)
    state = seen(State(), (0, one), (100, one))
    state, (ask,) = states.on_ranking(state, (still(pid=101), still()), one, 100, CONDITIONS)
    assert isinstance(ask, Ask)
    assert f"; {FILLS}" in sentences.decision(ask, CONDITIONS, 1)
    state, (following,) = states.on_verdict(state, Asked(ask.candidate, Signal.TERM), verdict(Reason.PROTECTED), 110)
    assert isinstance(following, Ask)
    assert sentences.asking_for_the_next(following).endswith(f"; {FILLS}")
    state, _ = states.on_verdict(state, Asked(following.candidate, Signal.TERM), verdict(), 120)
    state, (faster,) = states.on_reading(state, short(4, available=NEARLY_NOTHING), 200, CONDITIONS)
    assert isinstance(faster, Escalate)
    assert sentences.urgent(faster).endswith(f"; {FILLS}")
