"""What psutil knows of a process, for people."""

import os
import pwd

import pytest

from bustd_monitor.reporting.describe import age, describe
from tests.support import victims


def test_a_process_is_described_by_its_user_age_command_line_and_parents():
    with victims.victim(1) as child:
        told = describe(child.pid)
    assert told.startswith(f"user {pwd.getpwuid(os.geteuid()).pw_name}, ")
    assert " old, `" in told
    assert "started by " in told


def test_a_command_line_is_escaped_and_cut():
    program = "print('ready', flush=True); import time; time.sleep(60)  # \x1b[31m\n" + "x" * 500
    child = victims.start_program(program)
    try:
        told = describe(child.pid)
    finally:
        victims.end(child)
    assert told.isprintable()
    assert "…`" in told
    assert "x" * 100 not in told


def test_the_first_of_all_processes_was_started_by_nobody():
    assert "started by" not in describe(1)


def test_a_process_that_has_gone_is_said_to_be():
    child = victims.start(1)
    victims.end(child)
    assert describe(child.pid) == "gone, or not to be seen"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (42.4, "42 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172_799, "48 h"),
        (172_800, "2 days"),
        (900_000, "10 days"),
    ],
)
def test_an_age_is_for_people(seconds, words):
    assert age(seconds) == words
