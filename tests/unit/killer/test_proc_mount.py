"""Which users /proc hides processes from: as its mount says, and as the kernel does it."""

import json
import os

import pytest

from bustd_killer.stage1 import proc_mount
from bustd_killer.stage1.proc_mount import ProcMount
from tests.support import pid_namespace

MOUNT = b"22 26 0:21 / %s rw,relatime shared:12 - %s proc rw%s\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (b"", ProcMount(0, 0)),
        (b",gid=4,hidepid=2", ProcMount(2, 4)),
        (b",hidepid=off", ProcMount(0, 0)),
        (b",hidepid=noaccess", ProcMount(1, 0)),
        (b",gid=1000,hidepid=invisible", ProcMount(2, 1000)),
        (b",hidepid=ptraceable,subset=pid", ProcMount(4, 0)),
        (b",hidepid=4", ProcMount(4, 0)),
    ],
)
def test_hidepid_is_read_by_number_and_by_name(options, expected):
    assert proc_mount.parse(MOUNT % (b"/proc", b"proc", options)) == expected


def test_the_last_mount_of_proc_counts_and_no_other():
    table = MOUNT % (b"/proc", b"proc", b",hidepid=1") + MOUNT % (b"/proc", b"proc", b",hidepid=2")
    others = (
        MOUNT % (b"/srv/proc", b"proc", b",hidepid=4") + MOUNT % (b"/proc", b"tmpfs", b",hidepid=4") + b"nonsense\n"
    )
    assert proc_mount.parse(table + others) == ProcMount(2, 0)
    assert proc_mount.parse(others) == ProcMount(0, 0)


@pytest.mark.parametrize(
    ("mount", "groups", "hidden"),
    [
        (ProcMount(0, 0), {5}, False),
        (ProcMount(1, 0), {5}, True),
        (ProcMount(2, 0), {5, 0}, False),
        (ProcMount(2, 7), {5, 0}, True),
        (ProcMount(2, 7), {7}, False),
        (ProcMount(4, 7), {7, 0}, True),
    ],
)
def test_which_groups_it_hides_processes_from(mount, groups, hidden):
    assert mount.hides_from(frozenset(groups)) is hidden


def test_the_groups_are_those_by_which_the_kernel_judges():
    assert proc_mount.own_groups() == {os.getegid(), *os.getgroups()}
    assert proc_mount.of_this_process().level in (0, 1, 2, 4)


@pytest.fixture(scope="module")
def under_hidepid() -> dict[str, dict[str, object]]:
    """What tests/unit/killer/under_hidepid.py has seen."""
    if missing := pid_namespace.what_is_missing():
        pytest.skip(missing)
    ran = pid_namespace.run_inside("tests.unit.killer.under_hidepid")
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.root
@pytest.mark.parametrize("level", ["0", "1", "2"])
def test_the_killer_sees_all_processes_in_the_group_that_it_joins(under_hidepid, level):
    seen = under_hidepid[level]
    assert seen["chosen, under Landlock"] == ["root's", "its own"]


@pytest.mark.root
@pytest.mark.parametrize("level", ["1", "2"])
def test_without_that_group_it_would_see_its_own_alone_and_under_landlock_nothing(under_hidepid, level):
    seen = under_hidepid[level]
    assert seen["no group"] == ["its own"]
    assert seen["no group, forced under Landlock"] == []


@pytest.mark.root
def test_where_no_group_helps_landlock_is_not_taken(under_hidepid):
    assert under_hidepid["4"]["chosen"] == under_hidepid["4"]["chosen, under Landlock"] == ["its own"]
    assert under_hidepid["4"]["said"].startswith("no Landlock: /proc has hidepid")


@pytest.mark.root
@pytest.mark.parametrize("level", ["1", "2", "4"])
def test_an_ordinary_users_pair_takes_no_landlock_under_hidepid_and_says_so(under_hidepid, level):
    seen = under_hidepid[level]
    for half in ("killer", "monitor"):
        assert seen[f"an ordinary user's {half}"] == ["its own"]
        assert seen[f"an ordinary user's {half} said"].startswith("no Landlock: /proc has hidepid")


@pytest.mark.root
def test_an_ordinary_users_pair_takes_landlock_where_nothing_is_hidden(under_hidepid):
    seen = under_hidepid["0"]
    for half in ("killer", "monitor"):
        assert seen[f"an ordinary user's {half}"] == ["root's", "its own"]
        assert seen[f"an ordinary user's {half} said"].startswith(("Landlock denies", "no Landlock here"))
