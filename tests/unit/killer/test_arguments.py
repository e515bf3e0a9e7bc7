"""The killer's command line, read without argparse."""

import os
import re

import pytest

from bustd_killer.stage1.launcher import MonitorPlan
from bustd_killer.start import _USAGE, OPTIONS, Arguments, parse_arguments
from bustd_shared.daemon.command_line import UsageError

PROGRAM = ("/usr/lib/bustd/bustd_monitor", "--verbose")


def test_without_a_word_everything_is_as_systemd_wants_it():
    assert parse_arguments([]) == Arguments(None, "", 0, (), False, None)


def test_each_option_is_understood():
    words = ["--config", "/etc/k.toml", "--socket", "/run/k.sock", "--only-descendants-of", "12", "--syslog"]
    words += ["--cgroup", "/sys/fs/cgroup/a.slice/b.service"]
    expected = Arguments("/etc/k.toml", "/run/k.sock", 12, (), True, None, "/a.slice/b.service")
    assert parse_arguments(words) == expected


def test_names_add_up_and_may_be_of_any_bytes():
    words = ["--protect-name", "Xorg", "--protect-name", os.fsdecode(b"\xff*")]
    assert parse_arguments(words).protect_names == (b"Xorg", b"\xff*")


def test_a_pair_is_a_monitor_its_descriptors_and_its_program():
    words = ["--monitor", "998:997", "--psi", "psi-some:5", "--psi", "psi-full:6", "--", *PROGRAM]
    plan = MonitorPlan(998, 997, PROGRAM, (("psi-some", 5), ("psi-full", 6)))
    assert parse_arguments(words).plan == plan


def test_a_pair_may_have_a_socket_for_readers():
    assert parse_arguments(["--events", "/run/events", "--monitor", "1:1", "--", *PROGRAM]).events == "/run/events"


def test_a_monitor_of_our_own_user_is_minus_one():
    assert parse_arguments(["--monitor", "-1:-1", "--", *PROGRAM]).plan == MonitorPlan(-1, -1, PROGRAM, ())


def test_what_follows_two_dashes_is_the_monitors_own():
    words = ["--monitor", "1:1", "--", "program", "--config", "x", "--", "--syslog"]
    arguments = parse_arguments(words)
    assert arguments.plan.command == ("program", "--config", "x", "--", "--syslog")
    assert (arguments.config, arguments.syslog) == (None, False)


TOGETHER = "go together"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--colour"], "--colour is unknown"),
        (["--colour", "blue"], "--colour is unknown"),
        (["extra"], "extra is unknown"),
        (["--config"], "--config lacks its value"),
        (["--only-descendants-of", "init"], "--only-descendants-of: 'init' is not a whole number"),
        (["--only-descendants-of", "0"], "--only-descendants-of: 0 is below 1"),
        (["--cgroup", ""], "--cgroup: '' is not the path of a control group"),
        (["--cgroup", "/a/../b"], "--cgroup: '/a/../b' is not the path of a control group"),
        (["--monitor", "bustd:bustd", "--", "x"], "--monitor: 'bustd' is not a whole number"),
        (["--monitor", "998", "--", "x"], "--monitor: '' is not a whole number"),
        (["--monitor", "-2:0", "--", "x"], "--monitor: -2 is below -1"),
        (["--monitor", "998:997"], TOGETHER),
        (["--monitor", "998:997", "--"], TOGETHER),
        (["--psi", "psi-some", "--monitor", "1:1", "--", "x"], "--psi: 'psi-some' is not a whole number"),
        (["--psi", "psi-some:0", "--monitor", "1:1", "--", "x"], "--psi: 0 is below 1"),
        (["--psi", "psi-some:5"], TOGETHER),
        (["--events", "/run/events"], TOGETHER),
        (["--", "x"], TOGETHER),
    ],
)
def test_what_makes_no_sense_is_said(words, complaint):
    with pytest.raises(UsageError) as caught:
        parse_arguments(words)
    assert complaint in str(caught.value)


def test_the_usage_names_every_option_and_no_other():
    assert set(re.findall(r"--[a-z-]+", _USAGE)) == set(OPTIONS)
