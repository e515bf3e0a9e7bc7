"""The table of everything that decides what may die, and what is avoided as shipped."""

import pytest

from bustd_monitor.ranking.order import rank
from bustd_monitor.ranking.shipped_avoid import AVOIDED
from bustd_monitor.ranking.terms import Terms
from bustd_monitor.ranking.together import may_die_together
from bustd_monitor.ranking.what_may_die import TABLE, Cause, Move, Shield, moves, protection
from bustd_monitor.sensing.preferences import AVOID, OMIT
from bustd_protocol.messages import Scope
from bustd_shared.rules.globs import COMM_BYTES, least_bytes
from bustd_shared.rules.protection import Protection
from tests.unit.monitor.making import GIB, MIB, matchers, process, victims

MANAGER = "/user.slice/user-1000.slice/user@1000.service"


def terms(rules=None, **changed) -> Terms:
    return Terms(rules or victims(), Protection(), 16 * MIB, total_bytes=10 * GIB)._replace(**changed)


def order(*processes, **how) -> list[int]:
    return [one.process.pid for one in rank(list(processes), terms(**how)).candidates]


# The table


def test_each_shield_and_each_cause_has_a_row():
    named = {ground.shield for ground in TABLE} | {ground.cause for ground in TABLE}
    runaways = {Cause.RUNS_AWAY, Cause.RUNS_AWAY_WITH_UNIT}  # in the row of growth
    assert named - {None} == ({*Shield} | {*Cause}) - runaways


def test_each_row_is_applied_by_a_function_of_its_own_or_names_what_applies_it():
    assert all((ground.spares, ground.moves, ground.applied_by or None).count(None) == 2 for ground in TABLE)
    assert len({ground.name for ground in TABLE}) == len(TABLE)


EVERYTHING = {"oom_score_adj": -1000, "uid": 7, "unit": "sshd.service", "comm": b"db", "preference": OMIT}


@pytest.mark.parametrize(
    ("without", "shield"),
    [
        ((), Shield.OOM_SCORE_ADJ),
        (("oom_score_adj",), Shield.OTHER_USER),
        (("oom_score_adj", "uid"), Shield.KILLER_TOML),
        (("oom_score_adj", "uid", "unit"), Shield.NEVER),
        (("oom_score_adj", "uid", "unit", "comm"), Shield.OUTSIDE_ONLY),
    ],
)
def test_the_first_row_that_spares_a_process_is_the_reason(without, shield):
    rules = victims(never=matchers(names=(b"db",)), only=matchers(names=(b"build",)))
    one = process(**{field: value for field, value in EVERYTHING.items() if field not in without})
    some = terms(rules, only_uid=1000, advice=Protection(units=("sshd.service",)))
    spared = protection(one, some)
    assert spared is not None
    assert spared.shield is shield


# oom_score_adj


@pytest.mark.parametrize(("adj", "moved"), [(100, 1), (500, 5), (900, 5), (-300, -3), (-999, -5)])
def test_oom_score_adj_moves_by_no_more_than_half_of_memory_and_swap(adj, moved):
    assert moves(process(oom_score_adj=adj), terms()) == [Move(Cause.OOM_SCORE_ADJ, moved * GIB)]


def test_how_far_oom_score_adj_moves_can_be_changed_and_with_0_it_does_not_count():
    one = process(oom_score_adj=1000)
    assert moves(one, terms(victims(adj_percent=100))) == [Move(Cause.OOM_SCORE_ADJ, 10 * GIB)]
    assert moves(one, terms(victims(adj_percent=0))) == []


# What is avoided as shipped

AVOIDED_PROCESSES = [
    *({"comm": name} for name in (b"Xorg", b"gnome-shell", b"kwin_wayland", b"sway", b"niri")),
    *({"comm": name} for name in (b"gnome-session-b", b"ksmserver", b"xfce4-session")),
    *({"comm": name} for name in (b"pipewire", b"wireplumber", b"pulseaudio")),
    *({"comm": name} for name in (b"dpkg", b"apt", b"apt-get", b"rpm", b"dnf", b"yum", b"zypper", b"pacman")),
    *({"comm": name} for name in (b"packagekitd", b"unattended-upgr")),
    {"unit": "apt-daily-upgrade.service", "comm": b"sh"},
    {"cgroup": f"{MANAGER}/session.slice/org.gnome.Shell@wayland.service", "comm": b"any"},
    {"cgroup": f"{MANAGER}/session.slice", "comm": b"any"},
]


@pytest.mark.parametrize("fields", AVOIDED_PROCESSES, ids=str)
def test_what_a_session_or_an_upgrade_needs_dies_after_a_smaller_program(fields):
    assert order(process(1, held_bytes=900 * MIB, **fields), process(2, held_bytes=400 * MIB)) == [2, 1]


@pytest.mark.parametrize("fields", AVOIDED_PROCESSES, ids=str)
def test_it_is_not_avoided_where_that_is_switched_off(fields):
    both = process(1, held_bytes=900 * MIB, **fields), process(2, held_bytes=400 * MIB)
    assert order(*both, rules=victims(avoid_shipped=False)) == [1, 2]


def test_it_is_avoided_and_not_protected_because_it_may_leak_itself():
    shell = process(1, comm=b"gnome-shell", held_bytes=4 * GIB, gained_bytes=2 * GIB)
    assert order(shell, process(2, held_bytes=GIB)) == [1, 2]
    assert order(shell._replace(gained_bytes=0)) == [1]


@pytest.mark.parametrize(
    "fields",
    [
        {"comm": b"aptitude-clone"},
        {"comm": b"Xorg-leak"},
        {"cgroup": f"{MANAGER}/app.slice/my-session.slice.service"},
        {"cgroup": f"{MANAGER}/app.slice/app-gnome-firefox-77.scope"},
    ],
    ids=str,
)
def test_what_is_only_called_alike_is_not_avoided(fields):
    assert order(process(1, held_bytes=900 * MIB, **fields), process(2, held_bytes=400 * MIB)) == [1, 2]


def test_what_several_rules_avoid_is_avoided_once_by_the_users_own():
    one = process(comm=b"Xorg", preference=AVOID)
    assert moves(one, terms(victims(avoid=matchers(names=(b"X*",))))) == [Move(Cause.AVOIDED, -3 * GIB, "name X*")]
    assert moves(one, terms()) == [Move(Cause.AVOIDED, -3 * GIB, "shipped name Xorg")]
    only = moves(one, terms(victims(avoid_shipped=False)))
    assert only == [Move(Cause.AVOIDED, -3 * GIB, "ManagedOOMPreference=")]


def test_no_shipped_name_is_longer_than_the_kernel_keeps():
    assert all(least_bytes(name.decode()) <= COMM_BYTES for name in AVOIDED.names)
    assert len(set(AVOIDED.names)) == len(AVOIDED.names)


# What dies together


def test_with_scope_cgroup_a_unit_with_a_compositor_in_it_does_not_die_whole():
    unit = "/user.slice/user-1000.slice/user@1000.service/app.slice/sway.service"
    sway, leak = process(1, comm=b"sway", held_bytes=MIB, whole=unit), process(2, whole=unit)
    rules = victims(scope="cgroup")
    (only,) = rank([sway, leak], terms(rules)).candidates
    assert (only.process.pid, only.scope) == (2, Scope.PROCESS)
    (only,) = rank([sway, leak], terms(rules._replace(avoid_shipped=False))).candidates
    assert (only.process.pid, only.scope) == (2, Scope.CGROUP)


def test_a_unit_that_leaks_in_the_compositor_itself_dies_whole():
    sway, small = process(1, comm=b"sway", whole="/a.service"), process(2, held_bytes=20 * MIB, whole="/a.service")
    (only,) = rank([sway, small], terms(victims(scope="cgroup"))).candidates
    assert (only.process.pid, only.scope) == (1, Scope.CGROUP)


def test_a_control_group_that_the_kernel_would_not_split_dies_whole_with_what_is_avoided_in_it():
    both = [process(pid, comm=comm, whole="/a.service", is_indivisible=True) for pid, comm in ((1, b"a"), (2, b"sway"))]
    (only,) = rank(both, terms()).candidates
    assert (only.process.pid, only.scope) == (1, Scope.CGROUP)


def test_a_process_group_does_not_take_what_is_avoided_or_spared():
    leak, other = process(1), process(2, comm=b"editor")
    assert may_die_together(leak, [other], terms())
    assert not may_die_together(leak, [other, process(3, comm=b"niri")], terms())
    assert not may_die_together(leak, [other], terms(victims(never=matchers(names=(b"editor",)))))
    assert not may_die_together(leak, [process(3, oom_score_adj=-1000)], terms())
    assert may_die_together(process(3, comm=b"niri"), [leak, other], terms()), "it leaks itself"
