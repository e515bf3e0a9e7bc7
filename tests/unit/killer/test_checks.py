"""Checks 5 to 9: facts and a request in, a ruling out."""

import pytest

from bustd_killer import checks
from bustd_killer.checks import own_pids
from bustd_protocol.messages import Reason
from bustd_shared.kernel.procfs import PF_KTHREAD, Meminfo
from bustd_shared.rules.protection import Protection
from tests.unit.killer.making import (
    DEFAULTS,
    GIB,
    KILLER,
    MIB,
    MONITOR,
    PARENT,
    case,
    entry,
    guard,
    machine,
    request,
)

OWN = own_pids(KILLER, PARENT, MONITOR)


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
    assert checks.judge_kind(case(pid=pid, own=OWN)).reason is reason


def test_pid_1_is_called_so_even_where_it_is_the_killers_parent():
    assert checks.judge_kind(case(pid=1, own=own_pids(KILLER, 1, 0))).reason is Reason.PID1


def test_a_kernel_thread_is_refused_by_its_flag():
    ruling = checks.judge_kind(case(entry(flags=PF_KTHREAD | 0x8040), own=OWN))
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
    assert checks.judge_kind(case(entry(state=state, threads=threads), own=OWN)).reason is reason


# Check 6: who it is


@pytest.mark.parametrize("other", [90124, 90126, 0])
def test_another_start_time_is_another_process(other):
    ruling = checks.judge_identity(case(entry(start_ticks=other)))
    assert ruling.reason is Reason.START_TIME
    assert ruling.why == f"started at {other}, not 90125"


def test_a_process_that_has_changed_its_name_and_its_user_is_still_the_same():
    changed = entry(uid=0, comm=b"innocent")
    assert checks.judge_identity(case(changed)) == checks.PASSED
    assert checks.differences(changed, request()) == 3


@pytest.mark.parametrize(
    ("changed", "differs"), [({}, 0), ({"uid": 5}, 1), ({"comm": b"leak "}, 2), ({"uid": 5, "comm": b""}, 3)]
)
def test_what_differs_is_reported(changed, differs):
    assert checks.differences(entry(**changed), request()) == differs


# Check 7: who may not die


@pytest.mark.parametrize(("adj", "reason"), [(-1000, Reason.ADJ), (-1001, Reason.ADJ), (-999, Reason.NONE)])
def test_only_oom_score_adj_minus_1000_exempts(adj, reason):
    assert checks.judge_protection(case(entry(adj=adj))).reason is reason


def test_what_the_killer_may_not_choose_from_is_outside():
    ruling = checks.judge_protection(case(is_descendant=False, only_descendants_of=500))
    assert ruling == checks.Ruling(Reason.OUTSIDE, "not a descendant of 500")
    watching = case()._replace(guard=guard(group="/box"))
    assert checks.judge_protection(watching) == checks.Ruling(Reason.OUTSIDE, "not in the control group /box")
    inside = watching._replace(victim=watching.victim._replace(entry=entry()._replace(membership=b"0::/box/a\n")))
    assert checks.judge_protection(inside) == checks.PASSED


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"cgroup": "/system.slice/sshd.service"}, "unit ssh*.service"),
        ({"uid": 26}, "uid 26"),
        ({"comm": b"Xorg"}, "name Xorg"),
        ({}, ""),
    ],
)
def test_what_a_rule_protects_is_refused_and_the_rule_named(changed, why):
    protection = Protection(("ssh*.service",), (26,), (b"Xorg",))
    ruling = checks.judge_protection(case(entry(**changed), protection=protection))
    assert ruling.reason is (Reason.PROTECTED if why else Reason.NONE)
    assert ruling.why == why


# Check 8: what its death would bring


@pytest.mark.parametrize(
    ("held_bytes", "reason"), [(512 * MIB, Reason.NONE), (512 * MIB - 1, Reason.SHRUNK), (0, Reason.SHRUNK)]
)
def test_it_holds_half_of_what_is_claimed_or_has_shrunk(held_bytes, reason):
    ruling = checks.judge_bytes(case(entry(held_bytes=held_bytes), request(claimed_bytes=GIB)))
    assert ruling.reason is reason


@pytest.mark.parametrize(
    ("comm", "uid", "reason"),
    [(b"swapoff", 0, Reason.NONE), (b"swapoff", 1000, Reason.SHRUNK), (b"swapof", 0, Reason.SHRUNK)],
)
def test_roots_swapoff_may_hold_nothing(comm, uid, reason):
    ruling = checks.judge_bytes(case(entry(held_bytes=80 * 1024, comm=comm, uid=uid)))
    assert ruling.reason is reason


@pytest.mark.parametrize(
    ("comm", "uid", "reason"),
    [(b"swapoff", 0, Reason.NONE), (b"swapoff", 1000, Reason.ADJ), (b"swapof", 0, Reason.ADJ)],
)
def test_roots_swapoff_does_not_spare_itself(comm, uid, reason):
    assert checks.judge_protection(case(entry(adj=-1000, comm=comm, uid=uid))).reason is reason


def test_a_set_uid_program_that_a_user_has_called_swapoff_is_none_of_roots():
    one = entry(held_bytes=80 * 1024, comm=b"swapoff", uid=0)
    for uids in ((1000, 0, 0, 0), (0, 0, 0, 1000)):
        ruling = checks.judge_bytes(case(one._replace(status=one.status._replace(uids=uids))))
        assert ruling.reason is Reason.SHRUNK


def test_a_rule_of_roots_spares_swapoff():
    ruling = checks.judge_protection(case(entry(comm=b"swapoff", uid=0), protection=Protection(names=(b"swapoff",))))
    assert ruling.reason is Reason.PROTECTED


@pytest.mark.parametrize(("held_bytes", "reason"), [(16 * MIB, Reason.NONE), (16 * MIB - 1, Reason.SHRUNK)])
def test_what_is_understated_must_still_be_worth_a_death(held_bytes, reason):
    ruling = checks.judge_bytes(case(entry(held_bytes=held_bytes), request(claimed_bytes=0)))
    assert ruling.reason is reason


def test_on_a_small_machine_one_percent_of_it_is_enough():
    small = machine(total=512 * MIB, of_user_space=256 * MIB)
    least = 512 * MIB // 100
    assert checks.minimum_bytes(512 * MIB, DEFAULTS.minimum_mib, DEFAULTS.minimum_percent) == least
    for held_bytes, reason in ((least, Reason.NONE), (least - 1, Reason.SHRUNK)):
        ruling = checks.judge_bytes(case(entry(held_bytes=held_bytes), request(claimed_bytes=1), reading=small))
        assert ruling.reason is reason


def test_root_can_move_what_a_victim_must_hold():
    strict = {"claimed_percent": 100, "minimum_mib": 64, "minimum_percent": 50}
    assert checks.minimum_bytes(16 * GIB, 64, 50) == 64 * MIB
    ruling = checks.judge_bytes(case(entry(held_bytes=GIB - 1), request(claimed_bytes=GIB), **strict))
    assert ruling.reason is Reason.SHRUNK
    assert ruling.why == f"holds {(GIB - 1) // 1024} KiB, not {GIB // 1024} KiB"


def test_without_a_reading_of_the_machine_what_is_claimed_still_counts_and_the_next_check_refuses():
    blind = case(entry(held_bytes=GIB // 2))._replace(machine=None)
    assert checks.judge_bytes(blind) == checks.PASSED
    assert checks.judge_bytes(case(entry(held_bytes=GIB // 2 - 1))._replace(machine=None)).reason is Reason.SHRUNK
    assert checks.judge_shortage(blind) == checks.Ruling(Reason.NOT_SHORT, "/proc/meminfo makes no sense")


# Check 9: whether memory is short


@pytest.mark.parametrize(
    ("available_percent", "reason"),
    [(40, Reason.NONE), (40.1, Reason.NOT_SHORT), (0, Reason.NONE), (100, Reason.NOT_SHORT), (None, Reason.NOT_SHORT)],
)
def test_no_process_dies_while_memory_is_not_short(available_percent, reason):
    assert checks.judge_shortage(case(reading=machine(available_percent))).reason is reason


@pytest.mark.parametrize(
    ("anonymous", "reason"), [(64 * GIB, Reason.NOT_SHORT), (0, Reason.NOT_SHORT), (GIB, Reason.NONE)]
)
def test_anonymous_memory_that_is_another_machines_or_missing_does_not_move_the_share(anonymous, reason):
    """65 % of RAM is available, or 6.5 %: the total is at most RAM, and all of RAM where the line is missing."""
    available = 650 * GIB // 100 if reason is Reason.NOT_SHORT else GIB // 10
    reading = Meminfo(10 * GIB, 0, available, anonymous, 0, 0)
    assert checks.judge_shortage(case(reading=reading)).reason is reason


def test_the_share_is_of_what_user_space_can_have_and_not_of_what_is_built_in():
    filled_tmpfs = machine(24, total=100 * GIB, of_user_space=10 * GIB)  # 2.4 % of what is built in
    assert checks.judge_shortage(case(reading=filled_tmpfs, available_percent=23)).reason is Reason.NOT_SHORT
    assert checks.judge_shortage(case(reading=filled_tmpfs, available_percent=24)).reason is Reason.NONE


def test_a_machine_that_shows_nothing_at_all_is_not_divided_by():
    nothing = machine(0, of_user_space=0)
    assert checks.judge_shortage(case(reading=nothing)).reason is Reason.NONE


def test_the_ruling_says_what_was_read():
    ruling = checks.judge_shortage(case(reading=machine(50)))
    assert ruling.why == "50.0 % available"
