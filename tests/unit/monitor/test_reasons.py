"""Why a process has its place in the order, or none: the words for it."""

import pytest

from bustd_monitor.ranking.family import Family
from bustd_monitor.ranking.what_may_die import Cause, Move, Shield, Spared
from bustd_monitor.reporting import reasons
from bustd_monitor.sensing.kin import Kinship
from bustd_protocol.messages import Scope
from tests.unit.monitor.making import MIB, candidate, process


@pytest.mark.parametrize(
    ("move", "words"),
    [
        (Move(Cause.RUNS_AWAY, 2048 * MIB), "runaway bonus +2048 MiB"),
        (Move(Cause.RUNS_AWAY_WITH_UNIT, 130 * MIB), "bonus of a runaway unit +130 MiB"),
        (Move(Cause.GAINED, 10 * MIB), "gained recently +10 MiB"),
        (Move(Cause.OOM_SCORE_ADJ, -1024 * MIB), "oom_score_adj -100 -1024 MiB"),
        (Move(Cause.PREFERRED, 3072 * MIB, "name test*"), "preferred by name test* +3072 MiB"),
        (Move(Cause.AVOIDED, -3072 * MIB, "uid 26"), "avoided by uid 26 -3072 MiB"),
    ],
)
def test_what_moves_a_process_is_told_after_what_it_holds(move, words):
    moved = candidate(oom_score_adj=-100)._replace(moves=(move,))
    assert reasons.place(moved) == f"holds 1024 MiB, {words}"


def test_all_that_moves_it_is_told_in_its_order():
    moves = (Move(Cause.GAINED, MIB), Move(Cause.AVOIDED, -2 * MIB, "uid 26"))
    told = reasons.place(candidate()._replace(moves=moves))
    assert told == "holds 1024 MiB, gained recently +1 MiB, avoided by uid 26 -2 MiB"
    assert reasons.place(candidate()) == "holds 1024 MiB"


def test_the_growth_of_a_runaway_and_its_bonus_are_two_words():
    runaway = candidate(gained_bytes=600 * MIB)._replace(moves=(Move(Cause.RUNS_AWAY, 2048 * MIB),))
    assert reasons.place(runaway) == "holds 1024 MiB, gained 600 MiB recently, runaway bonus +2048 MiB"
    grown = candidate(gained_bytes=600 * MIB)._replace(moves=(Move(Cause.GAINED, 600 * MIB),))
    assert reasons.place(grown) == "holds 1024 MiB, gained recently +600 MiB"


def test_what_dies_whole_is_named_with_how_many_are_known_and_alone_it_is_not():
    whole = candidate(whole="/system.slice/build.service")._replace(scope=Scope.CGROUP, known=5)
    assert reasons.place(whole) == "holds 1024 MiB in /system.slice/build.service (5 known)"
    assert reasons.place(whole._replace(scope=Scope.PROCESS)) == "holds 1024 MiB"


OTHERS = tuple((pid, 5) for pid in range(100, 139))
FAMILY = Family(Kinship(123, b"leak"), OTHERS, 0, b"make")


@pytest.mark.parametrize(
    ("family", "known", "words"),
    [
        (FAMILY, 40, "40 processes named leak of make (PID 123), 480 MiB together"),
        (FAMILY._replace(parent_comm=b""), 40, "40 processes named leak of a parent (PID 123), 480 MiB together"),
        (FAMILY._replace(kinship=Kinship(0, b"leak")), 40, "40 processes named leak, 480 MiB together"),
        (
            FAMILY,
            39,
            "39 processes named leak of make (PID 123) and the parent, which forks them again, 480 MiB together",
        ),
        (
            FAMILY._replace(is_whole=True),
            40,
            "40 processes named leak of make (PID 123), 480 MiB together, and everything else in their process group",
        ),
    ],
)
def test_a_family_is_named_by_how_many_of_which_name_and_parent_and_what_they_hold_together(family, known, words):
    one = candidate(comm=b"leak")._replace(scope=Scope.GROUP, held_bytes=480 * MIB, known=known, family=family)
    assert reasons.members(one) == words
    assert reasons.place(one) == f"one of {words}, that die as one"


def test_a_family_whose_unit_dies_whole_names_the_unit():
    whole = candidate(whole="/a.scope")._replace(scope=Scope.CGROUP, known=40, family=FAMILY._replace(is_whole=True))
    assert reasons.members(whole).endswith(", and everything else in /a.scope")


def test_the_name_of_a_control_group_or_of_a_rule_disturbs_no_terminal():
    whole = candidate(whole="/a\x1b[2J")._replace(scope=Scope.CGROUP)
    assert reasons.place(whole).isprintable()
    assert reasons.left_out(Spared(process(), Shield.NEVER, "name \x1b[2J")).isprintable()


@pytest.mark.parametrize(
    ("shield", "rule", "words"),
    [
        (Shield.OOM_SCORE_ADJ, "", "oom_score_adj -1000"),
        (Shield.OTHER_USER, "", "another user's"),
        (Shield.KILLER_TOML, "unit sshd.service", "protected by killer.toml: unit sshd.service"),
        (Shield.NEVER, "command *--precious*", "never: command *--precious*"),
        (Shield.UNJUDGED, "is too long", "never could not be judged: its command line is too long"),
        (Shield.OUTSIDE_ONLY, "", "not matched by victims.only"),
        (Shield.OMIT, "", "ManagedOOMPreference=omit"),
        (Shield.TOO_SMALL, "", "its death would not help"),
    ],
)
def test_what_keeps_a_process_is_told(shield, rule, words):
    assert reasons.left_out(Spared(process(), shield, rule)) == words


def test_every_cause_and_every_shield_has_its_words():
    for cause in Cause:
        assert reasons.place(candidate()._replace(moves=(Move(cause, MIB),)))
    for shield in Shield:
        assert reasons.left_out(Spared(process(), shield))
