"""The table of the nine checks is SPEC.md's, it is the order of execution, and no process is asked anything twice."""

from __future__ import annotations

import importlib

import pytest

from bustd_killer import checks
from bustd_killer.aim import Aim, first_refusal, take_aim, take_further
from bustd_killer.checks import TABLE, AskedOf, Case, Check, OwnPids, Ruling
from bustd_killer.flight import Kills
from bustd_protocol.messages import Reason, Scope
from bustd_shared.kernel.procfs import PF_KTHREAD
from bustd_shared.rules.protection import Protection
from tests.unit.killer.making import KILLER, LONG_AGO_MS, MONITOR, PARENT, case, entry, guard, machine, policy, request
from tests.unit.killer.world import World, close
from tests.unit.protocol.test_spec import table

OWN = OwnPids(KILLER, PARENT, MONITOR)
JUDGES = [check for check in TABLE if not isinstance(check.made_by, str)]
ELSEWHERE = [check for check in TABLE if isinstance(check.made_by, str)]


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


# The table and SPEC.md


def row_of(check: Check) -> dict[str, str]:
    """The check as SPEC.md writes it, except for what must be true."""
    return {
        "check": str(check.number),
        "asked of": check.asked_of.value,
        "reasons": ", ".join(reason.name for reason in check.reasons) or "none",
        "whom it distrusts": check.distrusts,
    }


def test_the_table_is_that_of_the_page_check_for_check_and_in_its_order():
    told = [dict(row) for row in table("check", "asked of", "reasons", "what must be true", "whom it distrusts")]
    for row in told:
        del row["what must be true"]
    assert told == [row_of(check) for check in TABLE]


def test_there_are_nine_checks_in_the_order_of_their_numbers():
    assert [check.number for check in TABLE] == list(range(1, 10))


def test_every_reason_is_that_of_a_check_or_comes_from_the_kernel():
    of_checks = {reason for check in TABLE for reason in check.reasons}
    assert of_checks | {Reason.NONE, Reason.EPERM, Reason.KERNEL} == set(Reason)
    assert not of_checks & {Reason.NONE, Reason.EPERM, Reason.KERNEL}


# The functions that the table names


@pytest.mark.parametrize("check", ELSEWHERE, ids=lambda check: check.made_by)
def test_a_check_that_is_made_elsewhere_is_made_where_the_table_says(check):
    module, *names = check.made_by.split(".")
    found = importlib.import_module(f"bustd_killer.{module}")
    for name in names:
        found = getattr(found, name)
    assert found.__doc__.startswith(f"Check {check.number}: ")


@pytest.mark.parametrize("check", JUDGES, ids=lambda check: check.made_by.__name__)
def test_a_function_of_the_table_says_which_check_it_makes(check):
    assert check.made_by.__doc__.startswith(f"Check {check.number}: ")


FAILING: list[tuple[int, Reason, Case]] = [
    (5, Reason.PID1, case(pid=1)),
    (5, Reason.SELF, case(pid=KILLER, own=OWN)),
    (5, Reason.PARENT, case(pid=PARENT, own=OWN)),
    (5, Reason.MONITOR, case(pid=MONITOR, own=OWN)),
    (5, Reason.KERNEL_THREAD, case(entry(flags=PF_KTHREAD))),
    (5, Reason.GONE, case(entry(state=b"Z"))),
    (6, Reason.START_TIME, case(entry(start_ticks=5))),
    (7, Reason.OUTSIDE, case(is_descendant=False)),
    (7, Reason.ADJ, case(entry(adj=-1000))),
    (7, Reason.PROTECTED, case(protection=Protection(names=(b"leak",)))),
    (8, Reason.SHRUNK, case(entry(held_bytes=0))),
    (9, Reason.NOT_SHORT, case(reading=machine(90))),
]


@pytest.mark.parametrize(("number", "reason", "failing"), FAILING, ids=[reason.name for _, reason, _ in FAILING])
def test_each_reason_is_given_by_the_check_that_names_it_and_by_no_other(number, reason, failing):
    rulings = {check.number: check.made_by(failing).reason for check in JUDGES}
    assert rulings == {check.number: Reason.NONE for check in JUDGES} | {number: reason}


def test_every_reason_of_a_function_of_the_table_was_just_tried():
    assert [(number, reason) for number, reason, _ in FAILING] == [
        (check.number, reason) for check in JUDGES for reason in check.reasons
    ]


# The table is what is executed


def recording(monkeypatch: pytest.MonkeyPatch, table: tuple[Check, ...] = TABLE) -> list[tuple[int, int]]:
    """Every check that is made of a process from now on, as number and PID."""
    made: list[tuple[int, int]] = []

    def recorder(check: Check) -> Check:
        def judge(of: Case) -> Ruling:
            made.append((check.number, of.victim.pid))
            return check.made_by(of)

        return check if isinstance(check.made_by, str) else check._replace(made_by=judge)

    monkeypatch.setattr(checks, "TABLE", tuple(recorder(check) for check in table))
    return made


def test_the_order_of_the_rows_is_the_order_in_which_they_speak(monkeypatch):
    everything = entry(flags=PF_KTHREAD, start_ticks=5, adj=-1000, held_bytes=0)
    wrong = case(everything, reading=machine(90))
    assert first_refusal(wrong).reason is Reason.KERNEL_THREAD
    made = recording(monkeypatch, tuple(reversed(TABLE)))
    assert first_refusal(wrong).reason is Reason.NOT_SHORT
    assert made == [(9, 4711)]


def test_the_named_process_is_asked_every_check_and_a_member_those_of_members(monkeypatch):
    made = recording(monkeypatch)
    assert first_refusal(case()) == checks.PASSED
    assert made == [(number, 4711) for number in (5, 6, 7, 8, 9)]
    made.clear()
    assert first_refusal(case(), is_member=True) == checks.PASSED
    assert made == [(5, 4711), (6, 4711), (7, 4711)]


def test_which_checks_a_member_is_asked_is_read_from_the_table(monkeypatch, world):
    world.processes = {4711: entry(), 4712: entry(start_ticks=2, adj=-1000)}
    asked = world.group_request(4712)
    aimed = take_aim(asked, guard(own=OWN))
    assert isinstance(aimed, Ruling)
    assert aimed.reason is Reason.ADJ
    looser = tuple(check._replace(asked_of=AskedOf.NAMED) if check.number == 7 else check for check in TABLE)
    monkeypatch.setattr(checks, "TABLE", looser)
    assert close(take_aim(asked, guard(own=OWN))) == [4711, 4712]


def test_no_process_is_asked_anything_twice(monkeypatch, world):
    """Of a group of which further members are named later, with one that is named twice and one that is hidden."""
    made = recording(monkeypatch)
    world.processes = {4711: entry(), 4712: entry(start_ticks=2), 4713: entry(start_ticks=3), 4715: Reason.HIDDEN}
    asked = world.group_request(4711, 4712, 4712)
    aimed = take_aim(asked, guard(own=OWN))
    assert isinstance(aimed, Aim)
    assert close(aimed) == [4711, 4712]
    assert close(take_further(world.group_request(4713, 4713), aimed, guard(own=OWN))) == [4713]
    refusal = take_further(world.group_request(4715), aimed, guard(own=OWN))
    assert isinstance(refusal, Ruling)
    assert refusal[:2] == (Reason.HIDDEN, "member 4715: hidden")
    assert sorted(world.opened) == [4711, 4712, 4713, 4715]
    of_members = [(number, pid) for pid in (4712, 4713) for number in (5, 6, 7)]
    assert sorted(made) == sorted([(number, 4711) for number in (5, 6, 7, 8, 9)] + of_members)


# Check 3, which looks at no process


@pytest.mark.parametrize("scope", Scope)
@pytest.mark.parametrize("hierarchy", ["", "/sys/fs/cgroup"])
def test_a_scope_that_the_killer_can_not_do_is_refused(scope, hierarchy):
    refused = scope is Scope.CGROUP and not hierarchy
    ruling = Kills(LONG_AGO_MS, policy()).refusal(request(scope=scope), guard(hierarchy=hierarchy), 0)
    assert ruling.reason is (Reason.UNSUPPORTED if refused else Reason.NONE)


def test_without_a_hierarchy_scope_cgroup_is_refused_before_anything_is_opened(world):
    world.processes[4711] = entry()
    verdict = Kills(LONG_AGO_MS, policy()).answer(request(scope=Scope.CGROUP), guard(own=OWN, hierarchy=""), 0).verdict
    assert (verdict.reason, world.opened) == (Reason.UNSUPPORTED, [])
