"""Checks 3 and 5 to 9: facts and a request in, a ruling out."""

import pytest

from bustd_killer import checks
from bustd_killer.checks import FlightKey, Own
from bustd_protocol.messages import Reason, Scope, Signal
from bustd_shared.kernel.procfs import PF_KTHREAD
from bustd_shared.rules.protection import Protection
from tests.unit.killer.making import DEFAULTS, GIB, KILLER, MIB, MONITOR, PARENT, config, facts, machine, request

OWN = Own(KILLER, PARENT, MONITOR)


# Check 3: an escalation


@pytest.mark.parametrize(
    ("flight", "changed", "expected"),
    [
        (FlightKey(4711, 90125), {"signal": Signal.KILL}, True),
        (FlightKey(4711, 90125), {"signal": Signal.KILL, "scope": Scope.GROUP}, True),
        (FlightKey(4711, 90125), {"signal": Signal.TERM}, False),
        (FlightKey(4711, 90124), {"signal": Signal.KILL}, False),
        (FlightKey(4712, 90125), {"signal": Signal.KILL}, False),
        (None, {"signal": Signal.KILL}, False),
    ],
)
def test_only_sigkill_for_the_very_process_in_flight_is_an_escalation(flight, changed, expected):
    assert checks.is_escalation(flight, request(**changed)) is expected


# Check 5: what it is


@pytest.mark.parametrize(
    ("pid", "reason"),
    [
        (1, Reason.PID1),
        (KILLER, Reason.SELF),
        (PARENT, Reason.PARENT),
        (MONITOR, Reason.MONITOR),
        (4711, Reason.NONE),
    ],
)
def test_bustds_own_processes_and_the_first_of_all_must_never_die(pid, reason):
    assert checks.judge_kind(pid, facts(), OWN).reason is reason


def test_pid_1_is_called_so_even_where_it_is_the_killers_parent():
    assert checks.judge_kind(1, facts(), Own(KILLER, 1, 0)).reason is Reason.PID1


def test_a_kernel_thread_is_refused_by_its_flag():
    ruling = checks.judge_kind(4711, facts(flags=PF_KTHREAD | 0x8040), OWN)
    assert ruling.reason is Reason.KERNEL_THREAD


@pytest.mark.parametrize(
    ("state", "threads", "reason"),
    [
        (b"Z", 1, Reason.GONE),
        (b"X", 1, Reason.GONE),
        (b"Z", 3, Reason.NONE),
        (b"D", 1, Reason.NONE),
        (b"T", 1, Reason.NONE),
    ],
)
def test_the_dead_are_gone_but_a_zombie_leader_with_living_threads_is_alive(state, threads, reason):
    assert checks.judge_kind(4711, facts(state=state, threads=threads), OWN).reason is reason


# Check 6: who it is


@pytest.mark.parametrize("other", [90124, 90126, 0])
def test_another_start_time_is_another_process(other):
    ruling = checks.judge_identity(facts(start_ticks=other), request())
    assert ruling.reason is Reason.START_TIME
    assert ruling.why == f"started at {other}, not 90125"


def test_a_process_that_has_changed_its_name_and_its_user_is_still_the_same():
    changed = facts(uid=0, comm=b"innocent")
    assert checks.judge_identity(changed, request()) == checks.PASSED
    assert checks.differences(changed, request()) == 3


@pytest.mark.parametrize(
    ("changed", "differs"), [({}, 0), ({"uid": 5}, 1), ({"comm": b"leak "}, 2), ({"uid": 5, "comm": b""}, 3)]
)
def test_what_differs_is_reported(changed, differs):
    assert checks.differences(facts(**changed), request()) == differs


# Check 7: who may not die


@pytest.mark.parametrize(("adj", "reason"), [(-1000, Reason.ADJ), (-1001, Reason.ADJ), (-999, Reason.NONE)])
def test_only_oom_score_adj_minus_1000_exempts(adj, reason):
    assert checks.judge_protection(facts(adj=adj), Protection()).reason is reason


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"unit": "sshd.service"}, "unit ssh*.service"),
        ({"uid": 26}, "uid 26"),
        ({"comm": b"Xorg"}, "name Xorg"),
        ({}, ""),
    ],
)
def test_what_a_rule_protects_is_refused_and_the_rule_named(changed, why):
    ruling = checks.judge_protection(facts(**changed), Protection(("ssh*.service",), (26,), (b"Xorg",)))
    assert ruling.reason is (Reason.PROTECTED if why else Reason.NONE)
    assert ruling.why == why


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("hierarchy", ["", "/sys/fs/cgroup"])
def test_a_scope_that_can_not_be_checked_member_by_member_is_refused(scope, hierarchy):
    refused = scope is Scope.CGROUP and not hierarchy
    assert checks.judge_scope(request(scope=scope), hierarchy).reason is (
        Reason.UNSUPPORTED if refused else Reason.NONE
    )


# Check 8: what its death would bring


@pytest.mark.parametrize(
    ("held_bytes", "reason"), [(512 * MIB, Reason.NONE), (512 * MIB - 1, Reason.SHRUNK), (0, Reason.SHRUNK)]
)
def test_it_holds_half_of_what_is_claimed_or_has_shrunk(held_bytes, reason):
    ruling = checks.judge_bytes(facts(held_bytes=held_bytes), request(claimed_bytes=GIB), machine(), DEFAULTS)
    assert ruling.reason is reason


@pytest.mark.parametrize(("held_bytes", "reason"), [(16 * MIB, Reason.NONE), (16 * MIB - 1, Reason.SHRUNK)])
def test_what_is_understated_must_still_be_worth_a_death(held_bytes, reason):
    ruling = checks.judge_bytes(facts(held_bytes=held_bytes), request(claimed_bytes=0), machine(), DEFAULTS)
    assert ruling.reason is reason


def test_on_a_small_machine_one_percent_of_it_is_enough():
    small = machine(total=512 * MIB, of_user_space=256 * MIB)
    least = 512 * MIB // 100
    assert checks.minimum_bytes(512 * MIB, DEFAULTS) == least
    for held_bytes, reason in ((least, Reason.NONE), (least - 1, Reason.SHRUNK)):
        ruling = checks.judge_bytes(facts(held_bytes=held_bytes), request(claimed_bytes=1), small, DEFAULTS)
        assert ruling.reason is reason


def test_root_can_move_what_a_victim_must_hold():
    strict = config(claimed_percent=100, minimum_mib=64, minimum_percent=50)
    assert checks.minimum_bytes(16 * GIB, strict) == 64 * MIB
    ruling = checks.judge_bytes(facts(held_bytes=GIB - 1), request(claimed_bytes=GIB), machine(), strict)
    assert ruling.reason is Reason.SHRUNK
    assert ruling.why == f"holds {(GIB - 1) // 1024} KiB, not {GIB // 1024} KiB"


# Check 9: whether memory is short


@pytest.mark.parametrize(
    ("available_percent", "some_avg10", "reason"),
    [
        (25, 0, Reason.NONE),
        (25.1, 0, Reason.NOT_SHORT),
        (25.1, 9.99, Reason.NOT_SHORT),
        (25.1, 10, Reason.NONE),
        (40, 10, Reason.NONE),
        (40.1, 10, Reason.NOT_SHORT),
        (40.1, 100, Reason.NOT_SHORT),
        (0, 0, Reason.NONE),
        (100, 0, Reason.NOT_SHORT),
        (None, 100, Reason.NOT_SHORT),
    ],
)
def test_nobody_dies_while_memory_is_not_short_whatever_the_pressure(available_percent, some_avg10, reason):
    reading = machine(available_percent, some_avg10=some_avg10)
    assert checks.judge_shortage(reading, DEFAULTS).reason is reason


def test_the_share_is_of_what_user_space_can_have_and_not_of_what_is_built_in():
    filled_tmpfs = machine(24, total=100 * GIB, of_user_space=10 * GIB)  # 2.4 % of what is built in
    assert checks.judge_shortage(filled_tmpfs, config(available_percent=23)).reason is Reason.NOT_SHORT
    assert checks.judge_shortage(filled_tmpfs, config(available_percent=24)).reason is Reason.NONE


def test_a_machine_that_shows_nothing_at_all_is_not_divided_by():
    nothing = machine(0, of_user_space=0)
    assert checks.judge_shortage(nothing, DEFAULTS).reason is Reason.NONE


def test_the_ruling_says_what_was_read():
    ruling = checks.judge_shortage(machine(50, some_avg10=7.25), DEFAULTS)
    assert ruling.why == "50.0 % available, pressure 7.2 %"
