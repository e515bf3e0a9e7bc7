"""What fills memory and is held by no process, and that a second death for it is dearer than the first."""

import pytest

from bustd_monitor.conditions.filled import NOTHING, Filled, advanced, grown
from bustd_monitor.deciding import states
from bustd_monitor.deciding.actions import Ask, Asked, KernelKilled, NoVictim, SwapWent
from bustd_monitor.deciding.events import Event, NotProtected
from bustd_monitor.deciding.states import State
from bustd_monitor.deciding.worth_killing import Choice, Relief, worth_a_second
from bustd_monitor.reporting import sentences, unheld
from bustd_monitor.reporting.repeated import Repeated
from bustd_protocol.messages import Exited, Fate, Signal
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, candidate, reading, verdict

CONDITIONS = DEFAULTS.conditions


def machine(**amounts: float):
    """16 GiB, of which programs hold 4; what is not named is available."""
    taken = sum(amounts.values())
    available = 12 * GIB - taken
    found = reading(available, total=16 * GIB - taken)._replace(ram=16 * GIB)
    return found._replace(**{name: int(amount) for name, amount in amounts.items() if name != "other"})


@pytest.mark.parametrize(
    ("amounts", "what"),
    [
        ({"shared": GIB}, Filled(shared=GIB)),
        ({"hugetlb": GIB}, Filled(hugetlb=GIB)),
        ({"kernel": GIB}, Filled(kernel=GIB)),
        ({"other": GIB}, Filled(other=GIB)),
        ({"page_tables": GIB}, NOTHING),
        ({"compressed": GIB}, NOTHING),
    ],
)
def test_each_kind_of_memory_that_no_process_holds_is_told_apart(amounts, what):
    fillers = advanced((), machine(), 0)
    assert grown(fillers, machine(**amounts)) == what


def test_ram_and_swap_that_went_away_are_told():
    fillers = advanced((), machine()._replace(swap_total=8 * GIB), 0)
    assert grown(fillers, machine()._replace(ram=15 * GIB, total=16 * GIB)) == Filled(ram_lost=GIB, swap_lost=8 * GIB)


def test_what_a_program_takes_is_none_of_it():
    fillers = advanced((), machine(), 0)
    assert grown(fillers, reading(2 * GIB)) == NOTHING


def test_only_the_last_minute_counts_and_a_sample_in_five_seconds_is_kept():
    fillers = ()
    for second in range(200):
        fillers = advanced(fillers, machine(shared=second * 10 * MIB), second * 1000)
    assert len(fillers) <= 16
    assert 600 * MIB <= grown(fillers, machine(shared=2000 * MIB)).shared <= 800 * MIB
    assert grown((), machine()) == NOTHING


def test_what_a_calm_monitor_read_seventy_seconds_ago_is_compared_with():
    fillers = advanced(advanced((), machine(hugetlb=0), 0), machine(hugetlb=GIB), 70_000)
    assert grown(fillers, machine(hugetlb=GIB)).hugetlb == GIB


def test_it_is_named_the_most_first_and_small_change_is_not():
    said = unheld.grew(Filled(shared=100 * MIB, kernel=GIB, other=MIB))
    assert said == (
        "no process grows: in the last minute the kernel took 1024 MiB, tmpfs and shared memory took 100 MiB"
    )
    assert unheld.grew(NOTHING) == ""


# The second death


@pytest.mark.parametrize(("filled_mib", "left"), [(0, [102]), (24, [102]), (25, []), (4096, [])])
def test_a_second_death_for_nothing_that_grows_must_bring_half_of_what_is_missing_and_not_be_for_a_tmpfs(
    filled_mib, left
):
    small, large = candidate(101, held_bytes=49 * MIB), candidate(102, held_bytes=50 * MIB)
    choice = worth_a_second(Choice((small, large), Relief.PART, 100 * MIB), filled_mib * MIB)
    assert [one.process.pid for one in choice.candidates] == left
    assert choice.relief is (Relief.PART if left else Relief.NONE)


def after_a_death(gained_bytes: int) -> State:
    """A process of 300 MiB has died for a floor, and memory is as short as before."""
    victim = candidate(101, held_bytes=300 * MIB, gained_bytes=gained_bytes)
    state = State()
    for now_ms in (0, 100):
        state, _ = states.on_reading(state, filling_tmpfs(now_ms), now_ms, CONDITIONS)
    state, (ask,) = states.on_ranking(state, (victim,), filling_tmpfs(100), 100, CONDITIONS)
    assert isinstance(ask, Ask)
    state, _ = states.on_verdict(state, Asked(ask.candidate, Signal.TERM), verdict(), 110)
    return states.on_exited(state, Exited(1, Fate.GONE, 40), 150)


def filling_tmpfs(now_ms: int):
    return reading(GIB)._replace(shared=int((4 + now_ms / 1000) * GIB))


def second_choice(state: State, now_ms: int, *candidates, conditions=CONDITIONS):
    state, _ = states.on_reading(state, filling_tmpfs(now_ms), now_ms, conditions)
    return states.on_ranking(state, candidates, filling_tmpfs(now_ms), now_ms, conditions)[1][0]


def test_one_innocent_program_after_another_does_not_die_for_a_tmpfs():
    still, leak = candidate(102, held_bytes=300 * MIB), candidate(103, held_bytes=300 * MIB, gained_bytes=200 * MIB)
    state = after_a_death(gained_bytes=0)
    said = second_choice(state, 5000, still)
    assert isinstance(said, NoVictim)
    assert (said.is_second, said.filled.shared > GIB) == (True, True)
    assert "no process grows: in the last minute tmpfs and shared memory took" in sentences.news(said)
    assert "within the last minute and did not grow either" in sentences.news(said)
    assert isinstance(second_choice(state, 5000, still, leak), Ask), "one that grows is another matter"
    assert isinstance(second_choice(state, 61_000, still), Ask), "a minute later"


def test_where_any_death_counts_as_help_a_second_one_does_too():
    still = candidate(102, held_bytes=300 * MIB)
    anything = CONDITIONS._replace(floor=CONDITIONS.floor._replace(relief_percent=0))
    assert isinstance(second_choice(after_a_death(gained_bytes=0), 5000, still, conditions=anything), Ask)


def test_after_a_leak_that_grew_the_next_death_costs_no_more_than_the_first():
    still = candidate(102, held_bytes=300 * MIB)
    assert isinstance(second_choice(after_a_death(gained_bytes=200 * MIB), 5000, still), Ask)


# What others did


def test_swap_that_is_switched_off_is_said_once_also_where_only_sysinfo_was_read():
    with_swap, without = reading(swap=(8 * GIB, GIB)), reading()
    calm = with_swap._replace(is_whole=False, swap_free=0, swap_usable=0)
    state, actions = State(), ()
    for now_ms, one in enumerate((calm, calm, without._replace(is_whole=False), without, without)):
        state, now = states.on_reading(state, one, now_ms * 1000, CONDITIONS)
        actions += now
    assert actions == (SwapWent(8 * GIB, 0),)
    assert sentences.news(actions[0]) == (
        "swap went away (swapoff): all 8192 MiB of it are gone, and what was in it must be in memory now"
    )


def test_a_kill_of_the_kernel_is_said_and_those_before_the_start_are_not():
    state, actions = State(), ()
    for now_ms, kills in enumerate((7, 7, 9, 9)):
        state, now = states.on_reading(state, reading()._replace(oom_kills=kills), now_ms * 1000, CONDITIONS)
        actions += now
    assert actions == (KernelKilled(2),)
    assert sentences.news(actions[0]).startswith("THE KERNEL HAS KILLED 2 processes for want of memory before bustd")


def test_the_same_is_said_again_with_growing_pauses_until_it_is_over():
    said: list[Event] = []
    repeated = Repeated(said.append)
    times = []
    for now_ms in range(0, 20_000, 100):
        repeated.tell(NotProtected(f"no connection ({now_ms})"), now_ms, "no connection")
        if len(said) > len(times):
            times.append(now_ms)
    assert times == [0, 1000, 3000, 7000, 15_000]
    repeated.forget()
    repeated.tell(NotProtected("no connection"), 20_000, "no connection")
    assert len(said) == len(times) + 1
