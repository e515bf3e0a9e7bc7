"""Which control group is watched, why another can't be, and which processes are in it."""

import pytest

from bustd_shared.kernel.cgroup_paths import in_group
from bustd_shared.kernel.watched_group import CannotWatch, find, plain
from tests.fakes.cgroupfs import FakeHierarchy
from tests.fakes.procfs import FakeProc

GIB = 2**30
A_LINE = b"0::/a.slice/b.service/x\n"


@pytest.fixture
def proc(tmp_path):
    """A machine of 16 GiB whose PID 1 is in the hierarchy that is visible."""
    made = FakeProc(tmp_path)
    made.meminfo(total_kib=16 * 2**20)
    made.process(1, cgroup=b"0::/init.scope\n")
    return made


@pytest.fixture
def tree(tmp_path):
    return FakeHierarchy(tmp_path)


@pytest.fixture
def refused(tree, proc):
    """A function that gives the sentence with which a wish is refused."""

    def sentence(wish: str, root: str | None = None) -> str:
        with pytest.raises(CannotWatch) as caught:
            find(wish, tree.path if root is None else root, proc.path)
        return str(caught.value)

    return sentence


# Names


@pytest.mark.parametrize(
    ("path", "group"),
    [
        ("", ""),
        ("/", "/"),
        ("/a.slice/b.service", "/a.slice/b.service"),
        ("a.slice//b.service/", "/a.slice/b.service"),
        ("/sys/fs/cgroup/a.slice", "/a.slice"),
        ("/sys/fs/cgroup/unified/a.slice", "/a.slice"),
        ("/sys/fs/cgroup", "/"),
        ("/a.slice/dev-sda\\x2d1.service", "/a.slice/dev-sda\\x2d1.service"),
        ("/a/../b", None),
        ("./a", None),
        ("/a\nb", None),
        ("/a\0", None),
        ("/" + "a" * 5000, None),
    ],
)
def test_a_group_is_named_by_its_path_below_the_mount_point_or_with_it(path, group):
    assert plain(path) == group


# Who is in it


@pytest.mark.parametrize(
    ("group", "membership", "is_in"),
    [
        ("", b"", True),
        ("/a.slice", A_LINE, True),
        ("/a.slice/b.service", A_LINE, True),
        ("/a.slice/b.service/x", A_LINE, True),
        ("/a.slice/b.service/x", b"12:memory:/y\n" + A_LINE, True),
        ("/", A_LINE, True),
        ("/", b"0::/\n", True),
        ("/a", b"0::/a/b (deleted)\n", True),
        ("/a", b"0::/a/b\rc d\n", True),
        ("/a", b"0::/ab\n", False),
        ("/a/b", b"0::/a\n", False),
        ("/a", b"0::/\n", False),
        ("/a", b"0::/x/a\n", False),
        ("/", b"0::/..\n", False),
        ("/", b"0::/../a\n", False),
        ("/a", b"0::/../a\n", False),
        ("/", b"0::/..a\n", True),
        ("/a", b"1:name=systemd:/a\n", False),
        ("/a", b"12:memory:/a\n0::/b\n", False),
        ("/a", b"", False),
    ],
)
def test_a_process_is_in_the_group_by_the_path_that_the_kernel_tells(group, membership, is_in):
    assert in_group(group, membership) is is_in


# By a wish


def test_a_group_with_a_limit_is_watched_and_the_limit_is_named(tree, proc):
    tree.memory("/a/b", limit=GIB)
    watched = find("/a/b", tree.path, proc.path)
    assert watched.group == "/a/b"
    assert "/a/b, which may have 1024 MiB" in watched.why


@pytest.mark.parametrize("limits", [{"limit": GIB}, {"high": GIB}])
def test_a_limit_of_a_group_above_will_do(tree, proc, limits):
    tree.memory("/a", **limits)
    tree.memory("/a/b")
    assert find("/a/b", tree.path, proc.path).group == "/a/b"


@pytest.mark.parametrize("limit", ["max", 64 * GIB])
def test_a_group_that_may_have_all_of_the_machine_is_refused(tree, refused, limit):
    tree.memory("/a", limit=limit)
    assert "nothing limits the control group /a" in refused("/a")


def test_a_group_that_does_not_exist_is_refused(refused, tree):
    assert refused("/a") == f"there is no control group /a in {tree.path}"


def test_a_group_without_a_memory_controller_is_refused(tree, refused):
    tree.group("/a")
    assert "/a has no memory controller" in refused("/a")


def test_the_root_of_a_machine_is_no_group_to_be_watched(refused):
    assert "the whole machine" in refused("/")


@pytest.mark.parametrize("root", ["", "/sys/fs/cgroup/unified"])
def test_version_1_is_not_supported(refused, root):
    assert "version 1" in refused("/a", root)


# Without a wish


def test_a_machine_is_watched_whole(tree, proc):
    tree.memory("/a", limit=GIB)
    assert find("", tree.path, proc.path) == ("", "watching the whole machine")
    assert find("", "", proc.path).group == ""


def test_a_container_with_less_than_the_machine_is_watched_by_itself(tree, proc):
    tree.memory("/", limit=GIB)
    watched = find("", tree.path, proc.path)
    assert watched.group == "/"
    assert "1024 MiB of the machine's 16384 MiB" in watched.why


@pytest.mark.parametrize("limit", ["max", 16 * GIB])
def test_a_container_without_a_limit_or_under_lxcfs_is_a_machine(tree, proc, limit):
    tree.memory("/", limit=limit)
    assert find("", tree.path, proc.path).group == ""


@pytest.mark.parametrize("membership", [b"0::/../init.scope\n", None])
def test_a_daemon_that_is_alone_in_a_namespace_is_in_no_container(tree, proc, membership):
    """Its own unit's control group would be the root: with ProtectControlGroups=strict, for instance."""
    tree.memory("/", limit=64 * 2**20)
    if membership:
        proc.write("1/cgroup", membership)
    else:
        proc.remove("1/cgroup")
    assert find("", tree.path, proc.path).group == ""
