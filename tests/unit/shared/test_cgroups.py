"""Which control group may die whole with a process, whatever its user calls it."""

import errno
import resource

import pytest

from bustd_shared.kernel import cgroup_paths, cgroups
from bustd_shared.kernel.cgroup_paths import is_member, leaf_unit, parse_path, target_of
from bustd_shared.kernel.cgroups import MOST_GROUPS, Whole
from tests.fakes.cgroupfs import FakeHierarchy
from tests.support.cgroups import mount_point
from tests.unit.shared.forked import in_child

USER = "/user.slice/user-1000.slice/user@1000.service"


@pytest.fixture
def tree(tmp_path):
    return FakeHierarchy(tmp_path)


# The path


@pytest.mark.parametrize(
    ("data", "path"),
    [
        (b"0::/system.slice/db.service\n", "/system.slice/db.service"),
        (b"4:memory:/sshd.service\n1:name=systemd:/b.service\n0::/a\\x2db:c.service\n", "/a\\x2db:c.service"),
        (b"0::/x\r0::/b.service\n", ""),
        (b"4:memory:/x\r0::/b.service\n", ""),
        (b"4:memory:/db.service\n1:name=systemd:/db.service\n", ""),
        (b"", ""),
    ],
)
def test_the_path_is_that_of_the_unified_hierarchy_alone(data, path):
    assert parse_path(data) == path


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/../../init.scope",
        b"/a.slice/../b.service",
        b"/a.slice/./b.service",
        b"/a.slice//b.service",
        b"/a.service/",
        b"/a.service (deleted)",
        b"/a\tb.service",
        b"/a\0.service",
        b"/\xc3\xa9.service",
        b"/\x7f.service",
        b"/a" * 33,
    ],
)
def test_what_no_unit_of_systemds_has_is_no_path(path):
    assert parse_path(b"0::" + path + b"\n") == ""


def test_a_path_that_may_have_been_cut_short_is_none():
    assert parse_path(b"0::/system.slice/db.service") == ""


def test_thirty_two_levels_are_still_believed():
    assert parse_path(b"0::" + b"/a" * 32 + b"\n") == "/a" * 32


# The unit


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/db.service", "/system.slice/db.service"),
        ("/system.slice/db.service/worker/3", "/system.slice/db.service"),
        ("/system.slice/session-foo.service", "/system.slice/session-foo.service"),
        ("/system.slice/docker-abc.scope", "/system.slice/docker-abc.scope"),
        (f"{USER}/app.slice/app-x.scope", f"{USER}/app.slice/app-x.scope"),
        ("/machine.slice/libpod-abc.scope/container", "/machine.slice/libpod-abc.scope"),
        ("/a.service/b.scope/c", "/a.service/b.scope"),
    ],
)
def test_a_process_belongs_to_the_nearest_unit_above_it(path, unit):
    assert leaf_unit(path) == unit


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/init.scope",
        "/init.scope/x",
        "/system.slice",
        "/system.slice/openrc.foo",
        "/system.slice/home.mount",
        "/lxc.payload.c1",
        "/user.slice/user-1000.slice/session-3.scope",
        "/user.slice/user-1000.slice/session-c1.scope/x",
        USER,
        f"{USER}/init.scope",
        f"{USER}/x",
        f"{USER}/app.slice",
        f"{USER}/app.slice/x",
        "/db.service/x.slice/y",
        f"{USER}/session.slice/org.gnome.Shell@wayland.service",
        "/machine.slice/systemd-nspawn@c.service/payload/user.slice/user-0.slice/session-1.scope",
        f"{USER}/app.slice/mine.scope/init.scope",
        f"{USER}/app.slice/mine.scope/session-9.scope",
    ],
)
def test_no_slice_no_session_no_manager_and_no_group_without_a_unit_dies_whole(path):
    assert leaf_unit(path) == ""
    assert target_of(path, lambda _: False) == ""


@pytest.mark.parametrize(
    "path", ["/user.slice/user-1000.slice/session-3.scope", USER, f"{USER}/app.slice/x", "/a.slice", ""]
)
def test_no_slice_no_session_and_no_manager_dies_whole_even_where_it_is_indivisible(path):
    assert target_of(path, lambda _: True) == ""


@pytest.mark.parametrize("path", ["/kubepods/pod1/c1", "/lxc.payload.c1"])
def test_outside_of_units_an_indivisible_group_dies_whole_and_no_other(path):
    assert target_of(path, {path}.__contains__) == path
    assert target_of(f"{path}/inner", {path}.__contains__) == path
    assert target_of(path, lambda _: False) == ""


# What memory.oom.group says


@pytest.mark.parametrize(
    ("indivisible", "target"),
    [
        ((), "/m.slice/c.scope"),
        (("/m.slice/c.scope/a/b",), "/m.slice/c.scope/a/b"),
        (("/m.slice/c.scope/a", "/m.slice/c.scope/a/b"), "/m.slice/c.scope/a"),
        (("/m.slice/c.scope", "/m.slice/c.scope/a/b"), "/m.slice/c.scope"),
        (("/m.slice",), "/m.slice/c.scope"),
        (("/m.slice", "/m.slice/c.scope/a"), "/m.slice/c.scope/a"),
    ],
)
def test_the_highest_indivisible_group_dies_and_a_slice_never(indivisible, target):
    assert target_of("/m.slice/c.scope/a/b", indivisible.__contains__) == target


def test_an_indivisible_unit_above_the_nearest_one_is_what_dies():
    assert target_of("/c.service/b.scope", {"/c.service"}.__contains__) == "/c.service"
    assert target_of(f"{USER}/a.slice/b.scope", {USER}.__contains__) == f"{USER}/a.slice/b.scope"


@pytest.mark.parametrize(
    ("path", "is_in"),
    [
        ("/a.service", True),
        ("/a.service/b/c", True),
        ("/a.service2", False),
        ("/a.service/b/c.scope", False),
        ("/a.service/b.slice/c", False),
        ("/a.service/b.service", False),
        ("/", False),
        ("", False),
    ],
)
def test_a_member_is_in_the_target_or_below_it_and_in_no_unit_of_its_own(path, is_in):
    assert is_member(path, "/a.service") is is_in


def test_memory_oom_group_is_read_where_it_is(tree):
    tree.group("/m.slice/c.scope/a", oom_group=True)
    tree.group("/m.slice/c.scope", oom_group=False)
    assert cgroups.read_whole(tree.path, "/m.slice/c.scope/a") == Whole("/m.slice/c.scope/a", True)
    assert cgroups.read_whole(tree.path, "/m.slice/c.scope") == Whole("/m.slice/c.scope", False)
    assert cgroups.read_whole(tree.path, "/m.slice/gone.scope") == Whole("/m.slice/gone.scope", False)
    assert cgroups.read_whole(tree.path, "/m.slice") is None


# What is below a group and which processes are in it


@pytest.mark.parametrize(
    ("path", "is_within"),
    [("/a.scope", True), ("/a.scope/b", True), ("/a.scope2", False), ("/b/a.scope", False), ("/", False), ("", False)],
)
def test_within_is_the_group_itself_or_below_it(path, is_within):
    assert cgroup_paths.is_within(path, "/a.scope") is is_within


def test_every_group_below_is_listed_and_every_process_in_it_once(tree):
    tree.group("/a.scope", 1, 7, 8, 7)
    tree.group("/a.scope/b", 9)
    tree.group("/a.scope/b/c", 10, 0, 8)
    tree.group("/a.scope2", 11)
    assert cgroups.groups_at(tree.path, "/a.scope") == ["/a.scope", "/a.scope/b", "/a.scope/b/c"]
    assert cgroups.members(tree.path, "/a.scope") == [1, 7, 8, 9, 10]


def test_a_long_list_is_read_to_its_end(tree):
    tree.group("/a.scope", *range(100_000, 105_000))
    assert cgroups.members(tree.path, "/a.scope") == list(range(100_000, 105_000))


def test_more_groups_than_are_looked_at_are_not_all_listed(tree):
    for number in range(MOST_GROUPS + 5):
        (tree.directory / f"a.scope/{number}").mkdir(parents=True)
    assert len(cgroups.groups_at(tree.path, "/a.scope")) == MOST_GROUPS + 1


def test_a_group_that_is_gone_or_can_not_be_read_has_no_process_in_it(tree):
    (tree.group("/a.scope") / "cgroup.procs").unlink()
    (tree.directory / "a.scope/cgroup.procs").mkdir()  # read(2) answers EISDIR, as a threaded group's EOPNOTSUPP
    assert cgroups.members(tree.path, "/a.scope") == []
    assert cgroups.members(tree.path, "/gone.scope") == []


def test_a_link_leads_nowhere(tree):
    tree.group("/b.scope", 9)
    (tree.group("/a.scope", 7) / "link").symlink_to(tree.directory / "b.scope")
    assert cgroups.members(tree.path, "/a.scope") == [7]


@pytest.mark.parametrize("look", [cgroups.members, cgroups.groups_at, cgroups.read_whole])
def test_a_lack_of_descriptors_is_an_error_and_says_nothing_about_the_group(tree, look):
    tree.group("/a.scope", 7)

    def without_descriptors():
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        try:
            return look(tree.path, "/a.scope")
        except OSError as error:
            return error.errno

    assert in_child(without_descriptors) == errno.EMFILE


# Where it is


def test_a_hierarchy_is_found_alone_beside_others_or_nowhere(tree, tmp_path):
    assert cgroups.hierarchy(tree.path) == tree.path
    tree.directory.rename(tmp_path / "unified")
    assert cgroups.hierarchy(str(tmp_path)) == f"{tmp_path}/unified"
    assert cgroups.hierarchy(str(tmp_path / "none")) == ""


def test_on_this_machine_it_is_found_where_the_kernel_says_that_it_is_mounted():
    mounted = mount_point("unified")
    if mounted is None or str(mounted) not in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
        pytest.skip("no unified hierarchy is mounted here, or not where systemd mounts it")
    assert cgroups.hierarchy() == str(mounted)


def test_a_path_as_long_as_the_kernel_cuts_one_to_is_none_although_its_line_ends():
    name = "x" * 240
    path = "/" + "/".join([name] * 16) + "/" + "y" * (4094 - 16 * 241 - 1)
    assert (len(path), parse_path(f"0::{path}\n".encode())) == (4094, path)
    assert parse_path(f"0::{path}y\n".encode()) == ""
