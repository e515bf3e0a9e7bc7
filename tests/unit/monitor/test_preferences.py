"""ManagedOOMPreference= as systemd stores it on control groups: when it counts, in the kernel's own hierarchy."""

import os
from pathlib import Path

import pytest

from bustd_monitor.sensing import preferences
from bustd_monitor.sensing.preferences import AVOID, NO_USER, NONE, OMIT, asking_user, preference
from bustd_shared.kernel.cgroups import hierarchy
from tests.support.cgroups import groups_at
from tests.support.victims import NOBODY
from tests.unit.shared.forked import in_child

UNIT = "user.slice/user-1000.slice/user@1000.service/app.slice/leak.scope"


class Place:
    """The mount point, and a unit there with a control group below it."""

    def __init__(self, root: Path, below: Path) -> None:
        self.root, self.below, self.unit = root, below, below.parent

    def preference(self, folder: Path, trusted_uid: int = 0) -> str:
        return preference(str(self.root), f"/{folder.relative_to(self.root)}", trusted_uid)


@pytest.fixture
def place():
    root = Path(hierarchy())
    if root == Path() or os.geteuid() != 0:
        pytest.skip("no unified hierarchy here in which a test can make units, or not as this user (needs root)")
    with groups_at(root, f"{UNIT}/below") as (below,):
        try:
            os.setxattr(below, "user.oomd_test", b"1")
        except OSError:
            pytest.skip("this kernel (before 5.7) has no user attributes on control groups")
        yield Place(root, below)


@pytest.mark.parametrize(("name", "wish"), [("oomd_avoid", AVOID), ("oomd_omit", OMIT), ("oomd_prefer", NONE)])
@pytest.mark.parametrize("kind", ["user", "trusted"])
def test_what_root_wishes_for_a_control_group_counts(place, kind, name, wish):
    assert place.preference(place.unit) == NONE
    os.setxattr(place.unit, f"{kind}.{name}", b"1")
    assert place.preference(place.unit) == wish


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        (b"1", True),
        (b"yes", True),
        (b"TRUE", True),
        (b"on\n", True),
        (b"0", False),
        (b"no", False),
        (b"", False),
        (b"11", False),
        (b"\xff", False),
    ],
)
def test_only_a_yes_counts(place, value, counts):
    os.setxattr(place.unit, "user.oomd_omit", value)
    assert place.preference(place.unit) == (OMIT if counts else NONE)


def test_omit_outdoes_avoid_wherever_either_is(place):
    os.setxattr(place.below, "user.oomd_avoid", b"1")
    assert place.preference(place.below) == AVOID
    os.setxattr(place.unit, "user.oomd_omit", b"1")
    assert place.preference(place.below) == OMIT


def test_a_units_wish_holds_for_the_groups_below_it_and_a_slices_does_not(place):
    os.setxattr(place.unit, "user.oomd_avoid", b"1")
    assert place.preference(place.below) == AVOID
    os.removexattr(place.unit, "user.oomd_avoid")
    for above in (place.unit.parent, place.unit.parents[2]):
        assert above.suffix == ".slice"
        os.setxattr(above, "user.oomd_omit", b"1")
    assert place.preference(place.below) == NONE
    assert place.preference(place.unit.parent) == OMIT  # a process right in the slice


@pytest.mark.parametrize("name", ["oomd_avoid", "oomd_omit"])
def test_what_an_ordinary_user_sets_on_a_group_of_their_own_shields_no_process(place, name):
    os.chown(place.unit, NOBODY.pw_uid, NOBODY.pw_gid)
    os.chown(place.below, NOBODY.pw_uid, NOBODY.pw_gid)

    def as_nobody():
        os.setresuid(*(NOBODY.pw_uid,) * 3)
        for group in (place.unit, place.below):
            os.setxattr(group, f"user.{name}", b"1")
        for folder, attribute in ((place.unit, f"trusted.{name}"), (place.unit.parent, f"user.{name}")):
            with pytest.raises(OSError, match=r"Operation not permitted|Permission denied"):
                os.setxattr(folder, attribute, b"1")

    in_child(as_nobody)
    assert place.preference(place.below) == NONE
    assert place.preference(place.below, NOBODY.pw_uid) != NONE
    assert place.preference(place.below, NOBODY.pw_uid + 1) == NONE


def asks(place: Place, folder: Path) -> int:
    return asking_user(str(place.root), f"/{folder.relative_to(place.root)}")


def test_what_an_ordinary_user_sets_on_a_group_of_their_own_is_known_as_that_users_wish(place):
    for group in (place.unit, place.below):
        os.chown(group, NOBODY.pw_uid, NOBODY.pw_gid)
    assert asks(place, place.below) == NO_USER

    def as_nobody():
        os.setresuid(*(NOBODY.pw_uid,) * 3)
        os.setxattr(place.unit, "user.oomd_avoid", b"1")
        os.setxattr(place.below, "user.oomd_omit", b"1")

    in_child(as_nobody)
    assert asks(place, place.below) == asks(place, place.unit) == NOBODY.pw_uid
    assert asks(place, place.unit.parent) == NO_USER, "the group above is not in it"
    os.setxattr(place.unit, "user.oomd_avoid", b"0")
    assert asks(place, place.below) == NO_USER
    assert asks(place, place.unit / "gone.scope") == NO_USER


def test_what_root_sets_counts_also_where_a_user_ranks_their_own_processes(place):
    os.setxattr(place.unit, "user.oomd_avoid", b"1")
    assert place.preference(place.unit, NOBODY.pw_uid) == AVOID


def test_without_privilege_what_root_alone_may_read_is_as_if_it_were_not_there(place):
    os.setxattr(place.unit, "trusted.oomd_omit", b"1")
    os.setxattr(place.unit, "user.oomd_avoid", b"1")

    def as_nobody():
        os.setresuid(*(NOBODY.pw_uid,) * 3)
        return place.preference(place.unit)

    assert in_child(as_nobody) == AVOID
    assert place.preference(place.unit) == OMIT


def test_what_is_gone_wishes_nothing(place, monkeypatch):
    assert place.preference(place.unit / "gone.scope") == NONE
    assert preference("", "/nowhere.slice/x.scope") == NONE
    os.setxattr(place.unit, "user.oomd_omit", b"1")
    gone = preferences._owner(str(place.unit / "gone.scope"))
    monkeypatch.setattr(preferences, "_owner", lambda _: gone)
    assert place.preference(place.unit) == NONE
