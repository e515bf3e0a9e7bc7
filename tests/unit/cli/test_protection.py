"""Whether a machine is protected, judged from what its monitor says, or else from what can be seen."""

from __future__ import annotations

import os

import pytest

from bustd_monitor.cli.daemons_running import Running
from bustd_monitor.cli.events_now import Heard
from bustd_monitor.cli.monitor_unit import MonitorUnit
from bustd_monitor.cli.protection import judged, may_be_asked
from bustd_monitor.reporting.events import ENDED, NOT_PROTECTED, READ_AGAIN, READY, STARTED
from bustd_monitor.reporting.standing import STATES, standing, state_of
from tests.support.told import BEGAN_US, SECOND_US, packet, told

RUNS = MonitorUnit("loaded", "active", "", 0, 77)
ONE = Running((600,))
ABSENT, NOBODY, IN_VIEW = MonitorUnit(), Running(), ""
HIDDEN = "/proc hides other users' processes"
READY_812 = packet(READY, (("KILLER_PID", 812),), at_s=2)


def started(*, dry_run: int = 0, at_s: float = 1) -> bytes:
    return packet(STARTED, (("DRY_RUN", dry_run),), at_s=at_s)


def of(*packets: bytes, unit: MonitorUnit = RUNS, trouble: str = ""):
    return judged(unit, ONE, IN_VIEW, Heard(told(*packets), trouble))


# --- what the monitor says


def test_a_monitor_that_has_a_killer_protects_in_the_words_of_systemctl_status():
    found = of(started(), READY_812, packet(ENDED, at_s=9))
    assert found.line == standing(812, "", dry_run=False, is_blind=False) == "watching; the killer 812 answers"
    assert (found.is_protected, found.since_us, found.advice) == (True, BEGAN_US + 2 * SECOND_US, "")


def test_a_monitor_that_has_lost_its_killer_does_not_protect_since_the_first_time_that_it_said_so():
    lost = [packet(NOT_PROTECTED, message="lost the killer: gone\x1b", at_s=at) for at in (3, 5, 9)]
    found = of(started(), READY_812, *lost)
    assert found.line == "NOT PROTECTED: lost the killer: gone\\x1b"
    assert (found.is_protected, found.since_us, found.dry_run) == (False, BEGAN_US + 3 * SECOND_US, False)
    assert "journalctl" in found.advice


def test_a_monitor_that_has_found_it_again_protects():
    assert of(packet(NOT_PROTECTED, at_s=1), READY_812).is_protected


@pytest.mark.parametrize("settings", [(1, 1), (0, 1)])
def test_a_dry_run_does_not_protect_and_the_last_settings_count(settings):
    first, last = settings
    again = packet(READ_AGAIN, (("DRY_RUN", last),), at_s=4)
    found = of(started(dry_run=first), READY_812, again)
    assert (found.is_protected, found.dry_run) == (False, True)
    assert found.line.startswith("dry run: no process is killed; the killer 812")
    back = of(started(dry_run=1), READY_812, packet(READ_AGAIN, (("DRY_RUN", 0),), at_s=4))
    assert (back.is_protected, back.dry_run) == (True, False)


# --- without its word


@pytest.mark.parametrize(
    ("status", "is_protected", "dry_run"),
    [
        ("watching; the killer 812 answers", True, False),
        ("NOT PROTECTED: no connection to the killer (x)", False, False),
        ("BLIND: /proc/meminfo makes no sense, and nothing is decided on it", False, False),
        ("dry run: no process is killed; the killer 812 answers", False, True),
    ],
)
def test_without_events_the_status_that_systemd_has_counts(status, is_protected, dry_run):
    found = of(unit=RUNS._replace(status=status), trouble="no such file")
    assert (found.line, found.is_protected, found.dry_run) == (status, is_protected, dry_run)
    assert found.since_us == 77


def test_every_line_that_a_monitor_tells_is_known_again():
    lines = [standing(pid, "why", dry_run=dry, is_blind=blind) for pid in (0, 9) for dry in (0, 1) for blind in (0, 1)]
    assert {state_of(line) for line in lines} == set(STATES)
    assert state_of("stopped: nobody is watching") == state_of("") == ""


@pytest.mark.parametrize(
    "trouble", ["/run/bustd/events: Permission denied", "", "/run/bustd/events: no event has come"]
)
def test_a_monitor_that_says_nothing_at_all_can_not_be_judged(trouble):
    found = judged(MonitorUnit(), ONE, IN_VIEW, Heard(trouble=trouble))
    assert found.is_protected is None and found.advice
    assert "the monitor 600 runs and can't be asked" in found.line and trouble in found.line


def test_a_unit_that_starts_can_not_be_judged():
    found = judged(RUNS._replace(active="activating"), NOBODY, IN_VIEW, Heard(told(started())))
    assert found.is_protected is None


# --- without a monitor


def test_where_no_monitor_runs_nothing_protects():
    found = judged(ABSENT, NOBODY, IN_VIEW, Heard())
    assert (found.line, found.is_protected) == ("NOT PROTECTED: no monitor runs", False)
    assert "systemctl enable --now bustd-monitor" in found.advice


@pytest.mark.parametrize("hidden", [IN_VIEW, HIDDEN])
def test_a_unit_that_is_stopped_does_not_protect_even_where_processes_are_hidden(hidden):
    found = judged(MonitorUnit("loaded", "inactive", "stopped", 0, 5), NOBODY, hidden, Heard())
    assert (found.line, found.is_protected, found.since_us) == ("NOT PROTECTED: the monitor is stopped", False, 5)


def test_a_unit_that_has_failed_says_why():
    failed = MonitorUnit("loaded", "failed", "", os.EX_CONFIG, 5)
    found = judged(failed, NOBODY, IN_VIEW, Heard())
    assert "its configuration is wrong" in found.line and "bustd check" in found.advice
    assert "failed with status 70" in judged(failed._replace(exit_code=70), NOBODY, IN_VIEW, Heard()).line


def test_where_processes_are_hidden_and_there_is_no_systemd_it_can_not_be_told():
    found = judged(ABSENT, NOBODY, HIDDEN, Heard(trouble="no such file"))
    assert found.is_protected is None and HIDDEN in found.line and "as root" in found.advice


@pytest.mark.parametrize(
    ("unit", "running", "hidden", "may_be"),
    [
        (RUNS, NOBODY, IN_VIEW, True),
        (ABSENT, ONE, IN_VIEW, True),
        (ABSENT, NOBODY, HIDDEN, True),
        (ABSENT, NOBODY, IN_VIEW, False),
        (MonitorUnit("loaded", "inactive"), NOBODY, HIDDEN, False),
        (MonitorUnit("loaded", "failed"), NOBODY, IN_VIEW, False),
    ],
)
def test_a_socket_that_would_start_a_stopped_monitor_is_left_alone(unit, running, hidden, may_be):
    assert may_be_asked(unit, running, hidden) is may_be
