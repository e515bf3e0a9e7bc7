"""Which processes are protected, by unit, uid and name; and what a glob matches, which is fnmatch(3)'s to say."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bustd_shared.daemon.libc import matches_glob
from bustd_shared.rules.protection import Protection, is_system, is_trusted_with_a_name, protected_by

RULES = Protection(units=("sshd.service", "getty@*.service"), uids=(0, 26), names=(b"sshd*", b"Xorg"))


@pytest.mark.parametrize(
    ("unit", "uid", "comm", "rule"),
    [
        ("sshd.service", 1000, b"leak", "unit sshd.service"),
        ("getty@tty1.service", 1000, b"leak", "unit getty@*.service"),
        ("leak.service", 26, b"leak", "uid 26"),
        ("", 0, b"leak", "uid 0"),
        ("leak.service", 1000, b"sshd-session", "name sshd*"),
        ("leak.service", 1000, b"Xorg", "name Xorg"),
        ("leak.service", 1000, b"leak", ""),
        ("xsshd.service", 1000, b"leak", ""),
        ("sshd.service.evil", 1000, b"leak", ""),
        ("", 1000, b"xorg", ""),
        ("", 1000, b"Xorg2", ""),
    ],
)
def test_the_rule_that_protects_is_named(unit, uid, comm, rule):
    for is_trusted in (False, True):
        assert protected_by(RULES, unit, uid, comm, is_trusted=is_trusted) == rule


SHIPPED = Protection(names=(b"mydb",), shipped_names=(b"sshd", b"dbus-*"))
MIB = 2**20


@pytest.mark.parametrize(("comm", "rule"), [(b"sshd", "name sshd"), (b"dbus-daemon", "name dbus-*"), (b"leak", "")])
def test_a_shipped_name_protects_what_is_trusted_with_it_and_no_other(comm, rule):
    assert protected_by(SHIPPED, "", 1000, comm, is_trusted=True) == rule
    assert protected_by(SHIPPED, "", 1000, comm, is_trusted=False) == ""


def test_a_name_that_root_wrote_protects_every_process_that_has_it():
    for is_trusted in (False, True):
        assert protected_by(SHIPPED, "", 1000, b"mydb", is_trusted=is_trusted) == "name mydb"
        both = SHIPPED._replace(names=(b"sshd",))
        assert protected_by(both, "", 1000, b"sshd", is_trusted=is_trusted) == "name sshd"


@pytest.mark.parametrize(
    ("uids", "held_bytes", "is_trusted"),
    [
        ((0, 0, 0, 0), 8 * 2**30, True),
        ((999, 999, 999, 999), 8 * 2**30, True),
        ((1000, 999, 999, 999), 64 * MIB, False),
        ((999, 1000, 999, 999), 64 * MIB, False),
        ((999, 999, 1000, 999), 64 * MIB, False),
        ((999, 999, 999, 1000), 64 * MIB, False),
        ((0, 1000, 0, 1000), 8 * 2**30, False),
        ((1000, 0, 0, 0), 8 * 2**30, False),
        ((1000, 1000, 1000, 1000), 64 * MIB - 1, True),
        ((1000, 1000, 1000, 1000), 64 * MIB, False),
        ((1000, 1000, 1000, 1000), 0, True),
        ((2**32 - 1,) * 4, 64 * MIB, False),
    ],
)
def test_the_system_is_trusted_with_a_shipped_name_and_so_is_a_small_process_of_any_user(uids, held_bytes, is_trusted):
    """The system's: all four uids are below 1000. A user's own systemd and message bus are small."""
    assert is_trusted_with_a_name(is_system=is_system(uids), held_bytes=held_bytes) is is_trusted
    assert bool(protected_by(SHIPPED, "", uids[1], b"sshd", is_trusted=is_trusted)) is is_trusted


def test_a_process_without_a_unit_is_not_protected_by_a_unit_glob_that_matches_anything():
    assert protected_by(Protection(units=("*",)), "", 1000, b"leak", is_trusted=True) == ""
    assert protected_by(Protection(units=("*",)), "x", 1000, b"leak", is_trusted=True) == "unit *"


def test_without_rules_no_process_is_protected():
    assert protected_by(Protection(), "sshd.service", 0, b"systemd", is_trusted=True) == ""


def test_a_rule_on_a_name_that_is_not_utf_8_is_shown_all_the_same():
    assert protected_by(Protection(names=(b"\xff*",)), "", 1000, b"\xffx", is_trusted=False) == r"name \xff*"


@pytest.mark.parametrize(
    ("pattern", "text", "is_matched"),
    [
        (b"leak", b"leak", True),
        (b"leak", b"leak2", False),
        (b"leak*", b"leak", True),
        (b"*leak*", b"a leak here", True),
        (b"l?ak", b"leak", True),
        (b"l?ak", b"lak", False),
        (b"l[aeiou]ak", b"leak", True),
        (b"l[!aeiou]ak", b"leak", False),
        (b"LEAK", b"leak", False),
        (b"*", b"", True),
        (b"", b"", True),
        (b"", b"x", False),
        (b"*", b".hidden", True),
        (b"*", b"a/b", True),
        (b"*", b"new\nline", True),
        (b"*", b"\xff\xfe", True),
        (b"leak*", b"leak\xff", True),
        (b"leak?", b"leak\xff", True),
        (b"\\*", b"*", False),
        (b"\\*", b"\\x", True),
        ("gr*ß".encode(), "größe ist groß".encode(), True),
    ],
)
def test_a_glob_matches_the_whole_text_and_takes_no_notice_of_case_points_slashes_and_backslashes(
    pattern, text, is_matched
):
    assert matches_glob(pattern, text) is is_matched


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_a_glob_means_what_pythons_own_says_it_means(pattern, text):
    assert matches_glob(pattern.encode(), text.encode()) == fnmatchcase(text, pattern)


@given(st.binary(max_size=15).filter(lambda comm: b"\0" not in comm))
def test_a_name_without_wildcards_protects_itself_whatever_bytes_it_is_made_of(comm):
    if not set(comm) & set(b"*?["):
        assert matches_glob(comm, comm)
    assert matches_glob(b"*", comm)
