"""Marks on control groups: only on the user's own, apart from the session, and every one is taken back. Real groups."""

import json
import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from bustd_monitor.cli.notifying import own_process
from bustd_monitor.cli.notifying.candidates import NamedProcess
from bustd_monitor.cli.notifying.own_process import CannotTouch
from bustd_monitor.cli.notifying.sparing import MARKED, MINUTES, NOT_OWN, SHARED, Mark, Sparing, leftovers
from bustd_monitor.sensing.preferences import NO_USER, asking_user
from bustd_shared.kernel import process
from tests.support.cgroups import groups_at, put, writable_hierarchy
from tests.support.victims import NOBODY
from tests.unit.shared.forked import in_child

UNIT = "user.slice/user-1000.slice/user@1000.service/app.slice/leak.scope"
MARK = "user.oomd_avoid"
FIVE_MS = MINUTES * 60_000


class Place:
    """A control group with a process of the test's in it, and what marks it."""

    def __init__(self, root: Path, group: Path, state: Path, pid: int) -> None:
        self.root, self.group, self.state = root, group, state
        stat = process.read_stat(pid)
        assert stat is not None
        self.target = NamedProcess(pid, stat.start_ticks, os.getuid(), 0, "leak")
        self.sparing = Sparing(str(root), str(state))

    @property
    def is_marked(self) -> bool:
        return MARK in os.listxattr(self.group)

    @property
    def kept(self) -> list[Mark]:
        return leftovers(str(self.state))

    def why_not(self) -> str:
        with pytest.raises(CannotTouch) as refused:
            self.sparing.spare(self.target, 0)
        assert not self.sparing.may_spare(self.target)
        return str(refused.value)


@contextmanager
def place_at(unit: str, state: Path):
    root = writable_hierarchy()
    with groups_at(root, unit) as (group,), subprocess.Popen(["sleep", "600"]) as sleeper:
        try:
            os.setxattr(group, "user.bustd_test", b"1")
        except OSError:
            sleeper.kill()
            pytest.skip("this kernel (before 5.7) has no user attributes on control groups")
        try:
            put(sleeper.pid, group)
            yield Place(root, group, state, sleeper.pid)
        finally:
            sleeper.kill()
            sleeper.wait()


@pytest.fixture
def place(tmp_path):
    with place_at(UNIT, tmp_path / "state.json") as made:
        yield made


def test_a_group_is_marked_for_five_minutes(place):
    assert place.sparing.may_spare(place.target)
    place.sparing.spare(place.target, 1000)
    assert place.is_marked
    assert place.sparing.next_ms() == 1000 + FIVE_MS
    place.sparing.take_back(1000 + FIVE_MS - 1)
    assert place.is_marked
    place.sparing.take_back(1000 + FIVE_MS)
    assert not place.is_marked
    assert (place.sparing.next_ms(), place.kept) == (None, [])


def test_the_mark_is_the_one_that_the_monitor_reads_as_this_users_wish(place):
    path = f"/{place.group.relative_to(place.root)}"
    assert asking_user(str(place.root), path) == NO_USER
    place.sparing.spare(place.target, 0)
    assert asking_user(str(place.root), path) == os.getuid()


def test_at_the_end_every_mark_is_taken_back(place):
    place.sparing.spare(place.target, 0)
    place.sparing.take_back()
    assert not place.is_marked


def test_what_is_marked_already_is_not_marked_again_and_not_taken_back(place):
    os.setxattr(place.group, MARK, b"1")
    assert place.why_not() == MARKED
    assert place.kept == []
    place.sparing.take_back()
    assert place.is_marked


# --- what is not marked


@pytest.mark.parametrize(
    "unit",
    [
        "user.slice/user-1000.slice/session-3.scope",
        "user.slice/user-1000.slice/user@1000.service/session.slice/org.gnome.Shell.service",
        "user.slice/user-1000.slice/user@1000.service/init.scope",
        "user.slice/user-1000.slice/user@1000.service/app.slice",
    ],
)
def test_a_group_of_the_session_is_not_marked(tmp_path, unit):
    with place_at(unit, tmp_path / "state.json") as place:
        assert place.why_not() == SHARED
        assert not place.is_marked


def test_a_group_with_the_compositor_in_it_or_below_it_is_not_marked(place):
    below = place.group / "below"
    below.mkdir()
    renamed = "import pathlib, sys; pathlib.Path('/proc/self/comm').write_text('sway'); print(flush=True); input()"
    with subprocess.Popen(["python3", "-c", renamed], stdin=-1, stdout=-1) as compositor:
        compositor.stdout.readline()
        put(compositor.pid, below)
        assert place.why_not() == SHARED
        compositor.communicate()


def test_a_group_with_the_agent_in_it_is_not_marked(place):
    def inside():
        put(os.getpid(), place.group)
        return place.why_not()

    assert in_child(inside) == SHARED


@pytest.mark.root
def test_a_group_that_is_not_the_users_is_not_marked(place):
    assert as_owner_of_process(place, group_uid=0) == (NOT_OWN, False)
    assert as_owner_of_process(place, group_uid=NOBODY.pw_uid + 1) == (NOT_OWN, False)


def as_owner_of_process(place: Place, group_uid: int):
    """What an agent of nobody's says about a process of nobody's."""
    os.chown(place.group, group_uid, group_uid)

    def as_nobody():
        with subprocess.Popen(["sleep", "600"], user=NOBODY.pw_uid) as own:
            put(own.pid, place.group)
            os.setresuid(*(NOBODY.pw_uid,) * 3)
            stat = process.read_stat(own.pid)
            assert stat is not None
            place.target = NamedProcess(own.pid, stat.start_ticks, NOBODY.pw_uid, 0, "leak")
            try:
                return place.why_not(), place.is_marked
            finally:
                own.kill()

    return in_child(as_nobody)


def test_a_later_process_with_its_pid_is_not_marked(place):
    place.target = place.target._replace(start_ticks=place.target.start_ticks + 1)
    assert place.why_not() == own_process.GONE


@pytest.mark.parametrize("missing", ["control groups", "a directory of the user's"])
def test_without_control_groups_or_a_directory_of_the_users_nothing_is_marked(place, missing):
    has_groups = missing != "control groups"
    place.sparing = Sparing(str(place.root) if has_groups else "", "" if has_groups else str(place.state))
    assert place.why_not() == "no control group can be marked here"
    place.sparing.take_back_leftovers()


def test_what_can_not_be_written_down_is_not_marked(place):
    place.sparing = Sparing(str(place.root), str(place.state / "no" / "directory"))
    with pytest.raises(CannotTouch):
        place.sparing.spare(place.target, 0)
    assert not place.is_marked
    assert place.sparing.next_ms() is None


# --- what an agent that was killed has left


def test_what_is_marked_is_written_down_before_it_is_marked(place, monkeypatch):
    kept = []
    monkeypatch.setattr(os, "setxattr", lambda *_: kept.extend(place.kept))
    place.sparing.spare(place.target, 0)
    assert [mark.inode for mark in kept] == [place.group.stat().st_ino]
    assert place.state.stat().st_mode & 0o777 == 0o600


def test_the_next_agent_takes_it_back(place):
    place.sparing.spare(place.target, 0)
    Sparing(str(place.root), str(place.state)).take_back_leftovers()
    assert not place.is_marked
    assert place.kept == []


def test_a_group_of_the_same_name_that_was_made_later_is_not_touched(place):
    os.setxattr(place.group, MARK, b"1")
    inode = place.group.stat().st_ino
    path = f"/{place.group.relative_to(place.root)}"
    place.state.write_text(json.dumps([[path, inode + 1], ["/gone.slice/x.scope", inode]]))
    Sparing(str(place.root), str(place.state)).take_back_leftovers()
    assert place.is_marked
    place.state.write_text(json.dumps([[path, inode]]))
    Sparing(str(place.root), str(place.state)).take_back_leftovers()
    assert not place.is_marked


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[" * 100_000, "{}", "7", "\udcff", '[["a", 7], ["", 7], ["/a\\n", 7], ["/\\ud800", 7]]'),
        '[7, "x", [], ["/a"], ["/a", 7, 7], [7, 7], ["/a", "7"], ["/a/../b", 7]]',
    ],
)
def test_a_file_that_makes_no_sense_names_nothing(tmp_path, text):
    path = tmp_path / "state.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert leftovers(str(path)) == []


def test_no_file_names_nothing(tmp_path):
    assert leftovers(str(tmp_path / "gone")) == leftovers("") == []


def test_a_mark_that_the_user_has_taken_away_is_no_trouble(place):
    place.sparing.spare(place.target, 0)
    os.removexattr(place.group, MARK)
    place.sparing.take_back()
    assert place.kept == []
