"""What fills memory and is held by no process, and what others did."""

import pytest

from bustd_monitor.conditions import filled
from bustd_monitor.conditions.filled import NOTHING, UNKNOWN, Filled, Unheld, advanced, grown
from bustd_monitor.deciding import states
from bustd_monitor.deciding.actions import KernelKilled, SwapWent
from bustd_monitor.deciding.events import Event, NotProtected
from bustd_monitor.deciding.states import State
from bustd_monitor.reporting import sentences, unheld
from bustd_monitor.reporting.repeated import Repeated
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, reading

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
    grew = Filled(shared=100 * MIB, kernel=GIB, other=MIB)
    said = unheld.grew(Unheld(grew, Filled(kernel=GIB), 16 * GIB))
    assert said == (
        "no process grows: in the last minute the kernel took 1024 MiB, tmpfs and shared memory took 100 MiB"
    )
    assert unheld.grew(UNKNOWN) == unheld.grew(Unheld(NOTHING, NOTHING, GIB)) == ""


@pytest.mark.parametrize(("ram_mib", "least_mib"), [(128, 2), (512, 8), (1024, 16), (4096, 64), (2**20, 64)])
def test_on_a_small_machine_less_is_named(ram_mib, least_mib):
    for less, is_named in ((0, True), (1, False)):
        found = Unheld(Filled(shared=least_mib * MIB - less), Filled(shared=GIB, kernel=GIB), ram_mib * MIB)
        assert bool(unheld.grew(found)) is is_named


def test_what_holds_an_eighth_of_ram_is_named_however_slowly_it_came_to_that():
    fillers = advanced((), machine(shared=2 * GIB, kernel=2 * GIB - 1), 0)
    found = filled.unheld(fillers, machine(shared=2 * GIB, kernel=2 * GIB - 1))
    assert unheld.fills(found) == "no process grows: tmpfs and shared memory hold 2048 MiB of RAM"
    assert unheld.fills(filled.unheld(fillers, machine(shared=3 * GIB, kernel=3 * GIB))) == (
        "no process grows: in the last minute the kernel took 1024 MiB, tmpfs and shared memory took 1024 MiB; "
        "tmpfs and shared memory hold 3072 MiB, the kernel holds 3072 MiB of RAM"
    )
    assert unheld.fills(filled.unheld((), machine())) == unheld.fills(UNKNOWN) == ""


def test_where_the_kernels_own_memory_was_not_read_it_may_be_the_kernel_and_how_much_drivers_hold_is_not_known():
    found = filled.unheld(advanced((), machine(), 0), machine(other=8 * GIB))
    assert unheld.fills(found) == "no process grows: in the last minute the kernel, drivers or a balloon took 8192 MiB"
    known = filled.unheld(advanced((), machine(kernel=GIB), 0), machine(kernel=GIB, other=8 * GIB))
    assert "drivers or a balloon took 8192 MiB; drivers or a balloon hold 8192 MiB of RAM" in unheld.fills(known)


def test_what_is_free_and_not_available_is_held_by_no_driver():
    now = machine(kernel=GIB, other=3 * GIB)
    assert filled.unheld((), now._replace(free=now.available + 2 * GIB)).held.other == GIB


def test_what_of_a_tmpfs_is_in_swap_is_not_said_to_be_in_ram():
    now = machine(shared=2 * GIB)._replace(tmpfs_held=12 * GIB)
    assert filled.unheld((), now).held.shared == 2 * GIB


def test_what_of_a_tmpfs_is_in_swap_counts_as_well():
    fillers = advanced((), machine(shared=GIB), 0)
    assert grown(fillers, machine(shared=GIB)._replace(tmpfs_held=3 * GIB)) == Filled(shared=2 * GIB)


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
