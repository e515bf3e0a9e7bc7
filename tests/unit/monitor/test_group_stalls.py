"""Whose stalls count: those of programs that meet no limit of their own, and no program can hide the others'."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from bustd_monitor.sensing.group_stalls import MOST_GROUPS, GroupStalls
from bustd_monitor.sensing.reading import Unlimited
from bustd_shared.kernel.pressure import MemoryPressure

PAGE = os.sysconf("SC_PAGE_SIZE")
UNITS = ("/system.slice/db.service", "/system.slice/pod.service", "/user.slice/user-1000.slice/own.scope")


class World:
    """A hierarchy and the machine's PSI. Totals count from boot; what is below a group counts for it as well."""

    def __init__(self, directory: Path, *groups: str) -> None:
        self.root = directory / "hierarchy"
        self.root.mkdir()
        (self.root / "cgroup.controllers").write_text("cpu memory io\n")
        self.proc = directory / "proc"
        (self.proc / "1").mkdir(parents=True)
        self.first_is_in("/init.scope")
        self.now_ms = self.machine_us = 0
        self.met: dict[str, int] = {}
        self.stalled_us: dict[str, int] = {}
        self.refaulted: dict[str, int] = {}
        for group in groups or UNITS:
            self.make(group)
        self.stalls = GroupStalls(str(self.root), str(self.proc))

    def first_is_in(self, path: str) -> None:
        (self.proc / "1/cgroup").write_text(f"0::{path}\n")

    def make(self, group: str) -> None:
        (self.root / group[1:]).mkdir(parents=True, exist_ok=True)
        self.write()

    def write(self) -> None:
        for folder in self.root.glob("**/"):
            path = "/" + str(folder.relative_to(self.root))
            if path == "/.":
                continue
            below = [group for group in self.met if f"{group}/".startswith(f"{path}/")]
            (folder / "memory.events").write_text(f"low 0\nhigh {sum(self.met[group] for group in below)}\nmax 0\n")
            (folder / "memory.events.local").write_text(f"low 0\nhigh {self.met.get(path, 0)}\nmax 0\n")
            inside = [us for group, us in self.stalled_us.items() if f"{group}/".startswith(f"{path}/")]
            some_us = max(inside, default=0)
            lines = (f"{kind} avg10=0.00 avg60=0.00 avg300=0.00 total={some_us}\n" for kind in ("some", "full"))
            (folder / "memory.pressure").write_text("".join(lines))
            (folder / "memory.stat").write_text(f"anon 0\nworkingset_refault_anon {self.refaulted.get(path, 0)}\n")
            (folder / "memory.current").write_text("4096\n")

    def after(self, ms: int, machine: float, *, limited: tuple[str, ...] = ()) -> Unlimited:
        """The totals after this time, in which the machine stalled for this part of it and these met a limit."""
        self.now_ms += ms
        self.machine_us += int(ms * 1000 * machine)
        for group in limited:
            self.met[group] = self.met.get(group, 0) + 1
        self.write()
        pressure = MemoryPressure(0.0, self.machine_us, 0.0, self.machine_us)
        found = self.stalls.read(pressure, self.now_ms)
        assert found is not None
        return found

    def stall(self, group: str, ms: float) -> None:
        self.stalled_us[group] = self.stalled_us.get(group, 0) + int(ms * 1000)

    def second(self, machine: float, limited: tuple[str, ...] = (), **stalled: float) -> int:
        """Milliseconds of stall that count of a second, in ten looks. `stalled`: by the last part of a group's name."""
        before = self.stalls._some_us
        for _ in range(10):
            for group in self.groups():
                share = stalled.get(group.rpartition("/")[2].partition(".")[0], 0)
                self.stall(group, 100 * share)
            self.after(100, machine, limited=limited)
        return (self.stalls._some_us - before) // 1000

    def groups(self) -> list[str]:
        folders = ("/" + str(folder.relative_to(self.root)) for folder in self.root.glob("**/"))
        return [path for path in folders if path.endswith((".service", ".scope"))]


@pytest.fixture
def world(tmp_path):
    with made(tmp_path) as one:
        yield one


@contextmanager
def made(directory: Path, *groups: str):
    one = World(directory, *groups)
    try:
        yield one
    finally:
        one.stalls.end()


def test_while_no_group_meets_a_limit_the_stalls_of_the_machine_count(world):
    world.after(0, 0)
    assert world.second(0.6, db=0.5, own=0.4) == 600


def test_what_a_unit_at_its_own_limit_stalls_does_not_count(world):
    limit = (UNITS[1],)
    world.after(0, 0)
    assert world.second(0.99, limit, pod=0.99) <= 100, "what it is is found out at the first look"
    assert world.second(0.99, limit, pod=0.99) == 0
    assert world.second(0.99, limit, pod=0.99, db=0.02) == 20


def test_a_unit_at_its_limit_does_not_hide_a_machine_that_thrashes(world):
    """However long it stalls: a maximum over the others, and no difference."""
    world.after(0, 0)
    world.second(0.99, (UNITS[2],), own=0.99)
    assert world.second(0.99, (UNITS[2],), own=0.99, db=0.5, pod=0.4) == 500


def test_a_user_that_meets_limits_in_more_groups_than_are_looked_at_hides_no_other_group(tmp_path):
    many = tuple(f"/user.slice/user-1000.slice/n{number}.scope" for number in range(2 * MOST_GROUPS))
    with made(tmp_path, UNITS[0], *many) as world:
        world.after(0, 0)
        world.second(0.99, many)
        assert world.second(0.99, many, db=0.5) == 500
        assert len(world.stalls._groups) <= MOST_GROUPS


def test_a_group_that_sleeps_at_its_limit_and_counts_nothing_for_two_seconds_stays_limited(world):
    limit = (UNITS[1],)
    world.after(0, 0)
    world.second(0.9, limit, pod=0.9)
    assert [world.second(0.9, (), pod=0.9) for _ in range(2)] == [0, 0]
    world.second(0.9, (), pod=0.9)
    assert world.second(0.9, (), pod=0.9) == 900, "it has met none for more than that"


def test_the_refaults_of_a_limited_group_are_counted_so_that_they_can_be_subtracted(world):
    limit = (UNITS[1],)
    world.after(0, 0)
    world.second(0.9, limit, pod=0.9)
    before = world.after(100, 0.9, limited=limit)
    world.refaulted[UNITS[1]] = 7
    world.refaulted[UNITS[0]] = 500
    after = world.after(100, 0.9, limited=limit)
    assert after.limited_anonymous - before.limited_anonymous == 7 * PAGE


def test_where_programs_are_in_the_root_itself_the_stalls_of_the_machine_count(tmp_path):
    with made(tmp_path) as world:
        world.first_is_in("/")
        world.stalls = GroupStalls(str(world.root), str(world.proc))
        world.after(0, 0)
        world.second(0.9, (UNITS[1],), pod=0.9)
        assert world.second(0.9, (UNITS[1],), pod=0.9) == 900


def test_nothing_is_read_while_programs_hardly_stall_and_everything_is_closed_when_they_stop(world):
    world.after(0, 0)
    assert world.second(0.019) == 19, "it is the machine's"
    assert world.stalls._opened == []
    world.second(0.5)
    assert world.stalls._opened != []
    for _ in range(11):
        world.second(0)
    assert world.stalls._opened == []


def test_groups_that_come_later_are_found_and_those_that_go_are_dropped(world):
    limit = (UNITS[1],)
    world.after(0, 0)
    world.second(0.9, limit, pod=0.9)
    world.make("/system.slice/new.service")
    for name in ("memory.pressure", "memory.events"):
        (world.root / UNITS[0][1:] / name).unlink()
    for _ in range(6):
        world.second(0.9, limit, pod=0.9)
    assert world.second(0.9, limit, pod=0.9, new=0.3) == 300


@pytest.mark.parametrize("controllers", ["cpu io\n", ""])
def test_without_a_memory_controller_nothing_is_known(tmp_path, controllers):
    world = World(tmp_path)
    (world.root / "cgroup.controllers").write_text(controllers)
    assert GroupStalls(str(world.root)).read(MemoryPressure(0.0, 1, 0.0, 1), 0) is None
    assert GroupStalls("").read(MemoryPressure(0.0, 1, 0.0, 1), 0) is None
