"""A glob that is made of a regular expression matches what that finds, or says that it matches more."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_monitor.cli.importing.translation import MOST_GLOBS, translated
from bustd_shared.daemon.libc import matches_glob


@pytest.mark.parametrize(
    ("pattern", "globs"),
    [
        ("firefox", ["*firefox*"]),
        ("^firefox", ["firefox*"]),
        ("firefox$", ["*firefox"]),
        ("^firefox$", ["firefox"]),
        ("^(Web Content|Isolated Web Co)$", ["Web Content", "Isolated Web Co"]),
        ("^java|python$", ["java*", "*python"]),
        ("^chrom.*$", ["chrom*"]),
        ("^a.+b$", ["a?*b"]),
        ("^.{3}$", ["???"]),
        ("^.{2,}$", ["??*"]),
        ("^x{2}$", ["xx"]),
        ("^colou?r$", ["colour", "color"]),
        ("^(a|b)?c$", ["ac", "bc", "c"]),
        ("^(?:a|b)$", ["a", "b"]),
        ("^[a-c_.]$", ["[a-c_.]"]),
        ("^[^a-c]$", ["[!a-c]"]),
        ("^[]x]$", ["[]x]"]),
        (r"^[\w-]$", ["[a-zA-Z0-9_-]"]),
        ("^[[:alpha:]]$", ["[[:alpha:]]"]),
        (r"^\d$", ["[0-9]"]),
        (r"/foo\.service$", ["*/foo.service"]),
        (r"^\(sd-pam\)$", ["(sd-pam)"]),
        (r"^\*\?\[$", ["[*][?][[]"]),
        ("(^|/)sshd$", ["sshd", "*/sshd"]),
        (".*", ["*"]),
        ("^(a|^b)c$", ["ac", "bc"]),
        ("^[.]$", ["[.]"]),
        ("^[-]$", ["-"]),
        (r"^[a\-\^]$", ["[a^-]"]),
        ("^[-^!]$", ["[-!^]"]),
        ("^[^!^-]$", ["[!!^-]"]),
    ],
)
def test_an_expression_becomes_globs_that_match_the_same(pattern, globs):
    assert translated(pattern) == (tuple(globs), False, "")


@pytest.mark.parametrize(
    ("pattern", "globs"),
    [
        ("^[0-9]+$", ["[0-9]*"]),
        ("^ab*$", ["a*"]),
        ("^(ab)+$", ["ab*"]),
        ("^x{1,3}$", ["x*"]),
        (r"\bvim\b", ["*vim*"]),
    ],
)
def test_a_repetition_and_a_border_of_words_become_globs_that_match_more_and_say_so(pattern, globs):
    assert translated(pattern) == (tuple(globs), True, "")


@pytest.mark.parametrize(
    ("pattern", "trouble"),
    [
        ("(?i)firefox", "(?i can't be said in a glob"),
        ("^(?!sshd)", "(?! can't be said in a glob"),
        (r"(a)\1", r"\1 can't be said in a glob"),
        ("(a", "a ( that is never closed can't be said in a glob"),
        ("a)", "a ) that nothing opens can't be said in a glob"),
        ("[a", "a [ that is never closed can't be said in a glob"),
        ("*a", "* with nothing before it can't be said in a glob"),
        ("a{,3}", "{ can't be said in a glob"),
        ("a{99}", "{99} can't be said in a glob"),
        ("[0-9]*", "the nearest glob would match every text"),
        (r"[!\^]", "[!^] can't be said in a glob"),
        ("a^", "it finds nothing"),
        ("^$", "it finds nothing"),
        ("(a|b|c)" * 4, f"more than {MOST_GLOBS} alternatives can't be said in a glob"),
        ("(" * 5000, "it is nested too deeply"),
    ],
)
def test_what_no_glob_can_say_is_named(pattern, trouble):
    assert translated(pattern) == ((), False, trouble)


SIGNS = "ab/.]-!*?\\"
SIGNS_BEHIND = ["?", "*", "+", "{2}", "{1,2}", "*?"]
LITERALS = st.sampled_from([re.escape(sign) for sign in SIGNS])
SETS = st.builds(
    lambda negated, members: f"[{negated}{''.join(re.escape(member) for member in members)}]",
    st.sampled_from(["", "^"]),
    st.lists(st.sampled_from(SIGNS + "^"), min_size=1, max_size=3),
)
PATTERNS = st.recursive(
    LITERALS | SETS | st.sampled_from([".", "^", "$", "[a-b]", r"\d", r"\w"]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: f"({'|'.join(parts)})"),
        st.builds(lambda part, sign: f"(?:{part}){sign}", inner, st.sampled_from(SIGNS_BEHIND)),
    ),
    max_leaves=6,
)
TEXTS = st.text(SIGNS + "^[", max_size=5)


@settings(max_examples=400, deadline=None)
@given(PATTERNS, st.lists(TEXTS, min_size=8, max_size=8))
def test_the_globs_of_any_expression_match_what_it_finds(pattern, texts):
    found = translated(pattern)
    if found.trouble:
        return
    for text in filter(None, texts):
        is_matched = any(matches_glob(glob.encode(), text.encode()) for glob in found.globs)
        is_found = re.search(pattern, text) is not None
        assert is_matched == is_found or (found.widens and is_matched), (pattern, found, text)


@given(st.text(max_size=30))
def test_any_text_is_translated_or_refused(pattern):
    found = translated(pattern)
    assert bool(found.globs) != bool(found.trouble)
