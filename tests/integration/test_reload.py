"""The command lines of `systemctl reload bustd-monitor`, taken from the unit, with what its sandbox permits."""

from __future__ import annotations

import os
import platform
import re
import shlex
import signal
import subprocess
from pathlib import Path

import pytest

from bustd_killer.stage1 import libc, seccomp
from bustd_killer.stage1.system_calls import AUDIT_ARCH
from tests.support import install

UNIT = (install.ROOT / "packaging/systemd/bustd-monitor.service.in").read_text()
PR_SET_NO_NEW_PRIVS = 38
WRONG = "[conditions.flor]\nenabled = true\n"
REASON = "conditions.flor: unknown key; nearest known key: conditions.floor"


def reloads() -> list[str]:
    return re.findall(r"^ExecReload=(.*)$", UNIT, re.MULTILINE)


def check_words(*words: str) -> list[str]:
    """The first line, for the tests' own installation."""
    packages = Path(install.program("bustd_monitor")).parents[1]
    line = reloads()[0].replace("@PYTHON@", install.python()).replace("@PACKAGES@", str(packages))
    return [*shlex.split(line), *words]


def confine() -> None:
    """What the unit permits, and nothing else: no privilege, its system calls, its tasks."""
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1)
    if platform.machine() in AUDIT_ARCH:
        seccomp.filter_monitor()


@pytest.fixture
def files(place):
    def write(monitor: str, killer: str = "") -> list[str]:
        named = []
        for option, name, text in (("--config", "bustd.toml", monitor), ("--killer-config", "killer.toml", killer)):
            (place / name).write_text(text)
            (place / name).chmod(0o644)
            named += [option, str(place / name)]
        return named

    return write


def checked(crew, *words: str) -> subprocess.CompletedProcess[str]:
    """The check as systemd runs it: as the monitor's user, with nothing of an environment."""
    command = check_words(*words)
    return subprocess.run(
        command, env={}, cwd="/", preexec_fn=confine, capture_output=True, text=True, **crew.monitor_identity
    )


def test_the_check_comes_first_in_the_sandbox_and_a_failure_of_it_counts():
    check, hup = reloads()
    assert check.startswith("@PYTHON@ -I -S @PACKAGES@/bustd_monitor/cli/__main__.py check")
    assert hup.startswith("+/bin/sh -c ")
    assert "Type=notify\n" in UNIT


def test_a_configuration_that_is_in_order_passes_without_a_word(crew, files):
    ended = checked(crew, *files("[conditions.floor]\navailable_percent = 7\n"))
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("monitor", "killer", "reason"),
    [
        (WRONG, "", REASON),
        ("", "[limits]\navailable_percent = 101\n", "limits.available_percent: expected a whole number from 1 to 100"),
        ("[[", "", "bustd.toml: "),
    ],
)
def test_a_wrong_configuration_fails_and_says_why(crew, files, monitor, killer, reason):
    ended = checked(crew, *files(monitor, killer))
    assert ended.returncode == 1 and reason in ended.stdout and ended.stderr == ""


def test_the_check_needs_less_than_a_third_of_what_the_unit_may_have(files):
    """Its memory counts with the monitor's, which must not meet the limit because of it."""
    (limit_mib,) = re.findall(r"^MemoryMax=(\d+)M$", UNIT, re.MULTILINE)
    words = check_words(*files(""))
    code = f"import resource, subprocess\nsubprocess.run({words!r}, check=True)\n"
    code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    python = install.python()
    said = subprocess.run([python, "-I", "-S", "-c", code], env={}, capture_output=True, text=True, check=True)
    assert int(said.stdout) < int(limit_mib) * 1024 / 3


def test_the_signal_needs_no_program_beside_the_shell():
    line = reloads()[1].removeprefix("+").replace("$$", "$")
    child = subprocess.Popen(["sleep", "60"])
    try:
        environment = {"MAINPID": str(child.pid), "PATH": "/nonexistent"}
        subprocess.run(shlex.split(line), env=environment, check=True)
        assert child.wait(20) == -signal.SIGHUP
    finally:
        child.kill()
        child.wait()


def test_the_signal_goes_to_nobody_where_there_is_no_monitor():
    line = reloads()[1].removeprefix("+").replace("$$", "$")
    ended = subprocess.run(shlex.split(line), env={"PATH": os.defpath}, capture_output=True)
    assert ended.returncode != 0
