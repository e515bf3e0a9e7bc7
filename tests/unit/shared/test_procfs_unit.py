"""The unit of a process: what systemd named it, whatever its user would like it to be called."""

from pathlib import Path

import pytest

from bustd_shared.kernel.procfs import parse_unit


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        (b"/system.slice/sshd.service", "sshd.service"),
        (b"/init.scope", "init.scope"),
        (b"/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        (b"/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        (b"/", ""),
        (b"", ""),
        (b"/system.slice", ""),
        (b"/../../sshd.service", "sshd.service"),
    ],
)
def test_the_unit_is_the_first_component_that_is_not_a_slice(path, unit):
    assert parse_unit(b"0::" + path + b"\n") == unit


def test_a_unit_below_a_users_own_manager_is_that_manager():
    for forged in (b"postgresql.service", b"app.slice/sshd.service", b"sshd.service/init.scope"):
        path = b"/user.slice/user-1000.slice/user@1000.service/" + forged
        assert parse_unit(b"0::" + path + b"\n") == "user@1000.service"


def test_a_carriage_return_in_the_name_of_a_control_group_begins_no_line():
    data = b"0::/user.slice/user-1000.slice/user@1000.service/x\r0::/sshd.service\n"
    assert parse_unit(data) == "user@1000.service"
    assert parse_unit(b"0::/x\r0::/sshd.service\n") == "x\r0::"
    assert parse_unit(b"1:name=systemd:/x\r1:name=systemd:/sshd.service\n0::/\n") == "x\r1:name=systemd:"


@pytest.mark.parametrize("separator", [b"\x0b", b"\x0c", b"\x1c", b"\x85", b"\xe2\x80\xa8"])
def test_nothing_else_that_some_call_a_line_break_begins_a_line(separator):
    assert parse_unit(b"0::/user@5.service/x%s0::/sshd.service\n" % separator) == "user@5.service"


def test_the_unified_hierarchy_counts_before_systemds_named_one():
    named = b"12:pids:/system.slice/pids.service\n1:name=systemd:/system.slice/named.service\n"
    assert parse_unit(named + b"0::/system.slice/unified.service\n") == "unified.service"
    assert parse_unit(named + b"0::/\n") == "named.service"
    assert parse_unit(named) == "named.service"


def test_other_hierarchies_do_not_count():
    assert parse_unit(b"12:memory:/sshd.service\n3:cpu,cpuacct:/sshd.service\n0::/\n") == ""


def test_colons_in_a_path_belong_to_the_path():
    assert parse_unit(b"0::/system.slice/a:b::c.service\n") == "a:b::c.service"


def test_a_unit_that_is_not_utf_8_is_text_all_the_same():
    assert parse_unit(b"0::/\xff\xfe.service\n") == "\\xff\\xfe.service"


@pytest.mark.parametrize("data", [b"", b"\n", b":::", b"0:", b"0", b"\0\0", b"0::sshd.slice"])
def test_a_file_that_makes_no_sense_has_no_unit(data):
    assert parse_unit(data) == ""


def test_ones_own_file_is_read_as_it_is_with_or_without_systemd():
    unit = parse_unit(Path("/proc/self/cgroup").read_bytes())
    assert "/" not in unit
    assert not unit.endswith(".slice")
