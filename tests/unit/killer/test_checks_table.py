"""The table of the nine checks is SPEC.md's, it is the order of execution, and no process is asked anything twice."""

from __future__ import annotations

import importlib

import pytest

from bustd_killer import checks
from bustd_killer.aim import Aim, first_refusal, take_aim
from bustd_killer.checks import OF_EVERY_MEMBER, TABLE, Case, Ruling, own_pids
from bustd_killer.flight import Kills
from bustd_protocol.messages import Reason, Scope
from bustd_shared.kernel.procfs import PF_KTHREAD
from bustd_shared.rules.protection import Protection
from tests.unit.killer.making import KILLER, LONG_AGO_MS, MONITOR, PARENT, case, entry, guard, machine, policy, request
from tests.unit.killer.world import World, close
from tests.unit.protocol.test_spec import table

OWN = own_pids(KILLER, PARENT, MONITOR)
ELSEWHERE = {
    1: "server.Server._accept",
    2: "peer.Peer.receive",
    3: "flight.Kills.refusal",
    4: "facts.open_victim",
}
"""Where the checks are made that look at no facts."""
JUDGES = dict(enumerate(TABLE, 5))
"""The functions of the table, by the number of their check."""
SPEC = {
    int(row["check"]): row for row in table("check", "asked of", "reasons", "what must be true", "whom it distrusts")
}


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


# The table and SPEC.md


def test_there_are_nine_checks_in_the_order_of_their_numbers():
    assert list(SPEC) == [*ELSEWHERE, *JUDGES] == list(range(1, 10))


@pytest.mark.parametrize("number", ELSEWHERE)
def test_a_check_that_is_made_elsewhere_is_made_where_the_table_says(number):
    module, *names = ELSEWHERE[number].split(".")
    found = importlib.import_module(f"bustd_killer.{module}")
    for name in names:
        found = getattr(found, name)
    assert found.__doc__.startswith(f"Check {number}: ")
    assert f"`{ELSEWHERE[number]}`" in checks.__doc__


@pytest.mark.parametrize("number", JUDGES)
def test_a_function_of_the_table_says_which_check_it_makes_and_whom_it_distrusts(number):
    said = " ".join(JUDGES[number].__doc__.split())
    assert said.startswith(f"Check {number}: ")
    assert f"t distrusts {SPEC[number]['whom it distrusts']}." in said


def test_every_member_is_asked_what_the_page_says():
    asked = {number: judge in OF_EVERY_MEMBER for number, judge in JUDGES.items()}
    assert asked == {number: SPEC[number]["asked of"] == "every member" for number in JUDGES}
    assert tuple(judge for judge in TABLE if judge in OF_EVERY_MEMBER) == OF_EVERY_MEMBER


def test_every_reason_is_that_of_a_check_or_comes_from_the_kernel():
    told = {name for row in SPEC.values() for name in row["reasons"].split(", ")} - {"none"}
    assert told | {"NONE", "EPERM", "KERNEL"} == {reason.name for reason in Reason}
    assert not told & {"NONE", "EPERM", "KERNEL"}


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
    rulings = {at: judge(failing).reason for at, judge in JUDGES.items()}
    assert rulings == dict.fromkeys(JUDGES, Reason.NONE) | {number: reason}


def test_every_reason_of_the_page_was_just_tried():
    of_judges = [(number, name) for number in JUDGES for name in SPEC[number]["reasons"].split(", ")]
    assert [(number, reason.name) for number, reason, _ in FAILING] == of_judges


# The table is what is executed


def recording(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Every check that is made of a process from now on, as number and PID."""
    made: list[tuple[int, int]] = []

    def recorder(number, judge):
        def judge_and_note(of: Case) -> Ruling:
            made.append((number, of.victim.pid))
            return judge(of)

        return judge_and_note

    recorders = {judge: recorder(number, judge) for number, judge in JUDGES.items()}
    monkeypatch.setattr(checks, "TABLE", tuple(recorders[judge] for judge in TABLE))
    monkeypatch.setattr(checks, "OF_EVERY_MEMBER", tuple(recorders[judge] for judge in OF_EVERY_MEMBER))
    return made


def test_the_order_of_the_rows_is_the_order_in_which_they_speak(monkeypatch):
    everything = entry(flags=PF_KTHREAD, start_ticks=5, adj=-1000, held_bytes=0)
    wrong = case(everything, reading=machine(90))
    assert first_refusal(wrong).reason is Reason.KERNEL_THREAD
    made = recording(monkeypatch)
    monkeypatch.setattr(checks, "TABLE", tuple(reversed(checks.TABLE)))
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
    monkeypatch.setattr(checks, "OF_EVERY_MEMBER", OF_EVERY_MEMBER[:2])
    assert close(take_aim(asked, guard(own=OWN))) == [4711, 4712]


def test_no_process_is_asked_anything_twice(monkeypatch, world):
    """Of a group of which further members are named later, with one that is named twice and one that is hidden."""
    made = recording(monkeypatch)
    world.processes = {4711: entry(), 4712: entry(start_ticks=2), 4713: entry(start_ticks=3), 4715: Reason.HIDDEN}
    asked = world.group_request(4711, 4712, 4712)
    aimed = take_aim(asked, guard(own=OWN))
    assert isinstance(aimed, Aim)
    assert close(aimed) == [4711, 4712]
    assert close(take_aim(world.group_request(4713, 4713), guard(own=OWN), aimed)) == [4713]
    refusal = take_aim(world.group_request(4715), guard(own=OWN), aimed)
    assert isinstance(refusal, Ruling)
    assert refusal[:2] == (Reason.HIDDEN, "member 4715: hidden")
    assert sorted(world.opened) == [4711, 4712, 4713, 4715]
    of_members = [(number, pid) for pid in (4712, 4713) for number in (5, 6, 7)]
    assert sorted(made) == sorted([(number, 4711) for number in (5, 6, 7, 8, 9)] + of_members)


# Check 3, which looks at no process


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("hierarchy", ["", "/sys/fs/cgroup"])
def test_a_scope_that_the_killer_can_not_do_is_refused(scope, hierarchy):
    refused = scope is Scope.CGROUP and not hierarchy
    ruling = Kills(LONG_AGO_MS, policy()).refusal(request(scope=scope), guard(hierarchy=hierarchy), 0)
    assert ruling.reason is (Reason.UNSUPPORTED if refused else Reason.NONE)


def test_without_a_hierarchy_scope_cgroup_is_refused_before_anything_is_opened(world):
    world.processes[4711] = entry()
    verdict = Kills(LONG_AGO_MS, policy()).answer(request(scope=Scope.CGROUP), guard(own=OWN, hierarchy=""), 0).verdict
    assert (verdict.reason, world.opened) == (Reason.UNSUPPORTED, [])
