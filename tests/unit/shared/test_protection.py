"""Who is protected, by unit, uid and name; and what a glob matches, which is fnmatch(3)'s to say."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bustd_shared.rules.protection import Protection, matches_glob, protected_by

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
    assert protected_by(RULES, unit, uid, comm) == rule


def test_a_process_without_a_unit_is_not_protected_by_a_unit_glob_that_matches_anything():
    assert protected_by(Protection(units=("*",)), "", 1000, b"leak") == ""
    assert protected_by(Protection(units=("*",)), "x", 1000, b"leak") == "unit *"


def test_without_rules_nobody_is_protected():
    assert protected_by(Protection(), "sshd.service", 0, b"systemd") == ""


def test_a_rule_on_a_name_that_is_not_utf_8_is_shown_all_the_same():
    assert protected_by(Protection(names=(b"\xff*",)), "", 1000, b"\xffx") == r"name \xff*"


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
