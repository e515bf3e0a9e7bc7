"""The real daemons as a test runs them: the pair that `bustd` starts, or a killer and a monitor of their own.

The test sets the thresholds, and every process that may die descends from it. What a test starts must be gone when its
block ends: otherwise the test fails, and what is left is ended by its PID.
"""

from __future__ import annotations

import compileall
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from . import install
from .crews import CREWS as CREWS
from .crews import VARIANTS as VARIANTS
from .crews import Crew as Crew
from .crews import place_for as place_for

Policy = dict[str, object]
"""A configuration file as dotted keys and their values."""

ALWAYS: Policy = {
    "conditions.floor.available_percent": 100,
    "conditions.floor.available_mib": 2**30,
    "conditions.floor.swap_percent": 100,
    "conditions.floor.kill_fraction_percent": 0,
    "conditions.floor.relief_percent": 0,
    "conditions.pressure.enabled": False,
    "conditions.stall.enabled": False,
    "conditions.forecast.enabled": False,
    "conditions.emergency.enabled": False,
}
"""bustd.toml: memory is always short, and a SIGTERM is always the answer."""

NEVER: Policy = ALWAYS | {"conditions.floor.available_mib": 1}
"""bustd.toml: memory is never short while the machine can run a test."""

PERMISSIVE: Policy = {"limits.available_percent": 100}
"""killer.toml: the machine always counts as short."""

ONE_KILL: Policy = PERMISSIVE | {"rate.burst": 1, "rate.per_minute": 1}
"""killer.toml: the same, with a rate of one kill: the second candidate lives."""

_PATIENCE_S = 20.0


class Running(NamedTuple):
    """A daemon, or the pair (then `pid` is the killer's), in a session of its own, and what it has logged."""

    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def await_line(self, pattern: str, *, after: int = 0) -> re.Match[str]:
        """`await_line` in its own log."""
        return await_line(self.log_path, self.pid, pattern, after=after)

    def monitor_pid(self) -> int:
        """The PID of the monitor that the killer serves; waits until it does."""
        return int(self.await_line(r"serving the monitor (\d+)")[1])

    def await_ready(self) -> None:
        """Wait until the killer has sent KillerHello to the monitor of the pair."""
        self.await_line("bustd-monitor: connected to the killer")

    def ends(self, seconds: float = _PATIENCE_S) -> int:
        """Its exit code, once it and everything that it started have ended."""
        code = self.process.wait(seconds)
        left = end_session(self.pid)
        assert not left, f"processes {left} are left:\n{self.log()}"
        return code

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal to the process as soon as it handles that signal. Returns its exit code."""
        pidfd = os.pidfd_open(self.pid)
        try:
            while not _catches_sigterm(self.pid) and not select.select([pidfd], [], [], 0.01)[0]:
                pass
        finally:
            os.close(pidfd)
        self.process.send_signal(number)
        return self.ends()


def write_policy(path: Path, policy: Policy) -> Path:
    """Write the file in TOML, readable by every user."""
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in policy.items()))
    path.chmod(0o644)
    return path


@contextmanager
def pair(
    crew: Crew,
    place: Path,
    *options: str,
    monitor: Policy = ALWAYS,
    killer: Policy = PERMISSIVE,
    stderr: int | None = None,
    python: str | None = None,
) -> Iterator[Running]:
    """`bustd -n OPTION...`, stopped at the end unless it has ended. `python` is that of another installation."""
    words = ["--no-daemon", *files(place, monitor, killer), *scope(), *options]
    if crew.is_root:
        words += ["--user", "nobody"]
    command = [python or install.python(), *install.bustd(*words)[1:]]
    with started(command, crew.identity, place / "pair.log", stderr=stderr) as running:
        yield running


@contextmanager
def lone_killer(crew: Crew, place: Path, *options: str, rules: Policy = PERMISSIVE) -> Iterator[Running]:
    """A killer that listens at `place`/killer.sock, once it is there."""
    config = write_policy(place / "killer.toml", {"peer.user": crew.monitor_uid, **rules})
    command = [*daemon("bustd_killer"), "--config", str(config), *scope()]
    with started([*command, "--socket", f"{place}/killer.sock", *options], crew.identity, place / "killer.log") as it:
        it.await_line("Landlock")  # the last thing that the lockdown says
        yield it


@contextmanager
def lone_monitor(
    crew: Crew, place: Path, *options: str, policy: Policy = ALWAYS, advice: Policy | None = None, log: str = "monitor"
) -> Iterator[Running]:
    """A monitor for `lone_killer`. `advice` is the killer.toml that it reads, by default one without any rule."""
    policy = {"killer.socket": f"{place}/killer.sock", **policy}
    words = ["--config", str(write_policy(place / f"{log}.toml", policy)), *scope()]
    words += ["--killer-config", str(write_policy(place / f"{log}-advice.toml", advice or {}))]
    if not crew.is_root:
        words += ["--only-uid", str(crew.monitor_uid)]
    with started([*daemon("bustd_monitor"), *words, *options], crew.monitor_identity, place / f"{log}.log") as running:
        yield running


@contextmanager
def started(
    command: list[str], identity: dict[str, Any], log_path: Path, *, stderr: int | None = None, **how: Any
) -> Iterator[Running]:
    """The command in a session of its own. At the end it is stopped; it must exit with 0 and leave nothing behind."""
    with log_path.open("ab") as log:
        process = _popen(command, identity, log if stderr is None else stderr, **how)
    running = Running(process, log_path)
    try:
        yield running
        if process.returncode is None:
            process.poll()
            assert process.returncode is None, f"ended by itself with {process.returncode}:\n{running.log()}"
            code = running.stop()
            assert code == 0, f"stopped with {code}:\n{running.log()}"
    finally:
        for pid in {process.pid, *session_members(process.pid)} if process.poll() is None else ():
            os.kill(pid, signal.SIGKILL)
        process.wait()


def _popen(
    command: list[str], identity: dict[str, Any], stderr: IO[bytes] | int, **how: Any
) -> subprocess.Popen[bytes]:
    environment = {"PATH": os.defpath}
    defaults = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "env": environment, "cwd": "/"}
    return subprocess.Popen(command, stderr=stderr, start_new_session=True, **{**defaults, **identity, **how})


def daemon(package: str) -> list[str]:
    """The command line of a daemon, as `bustd` would make it."""
    return [install.python(), "-I", "-S", install.program(package)]


def files(place: Path, monitor: Policy, killer: Policy) -> list[str]:
    """Write the two files. Returns the options of `bustd` that name them."""
    config, rules = write_policy(place / "bustd.toml", monitor), write_policy(place / "killer.toml", killer)
    return ["--config", str(config), "--killer-config", str(rules)]


def scope() -> list[str]:
    """The option by which only this test's own processes may die."""
    return ["--only-descendants-of", str(os.getpid())]


def run(crew: Crew, *words: str, seconds: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `bustd WORD...` to its end. Returns what it printed."""
    variables = {"PATH": os.defpath, **environment}
    return subprocess.run(
        install.bustd(*words), capture_output=True, text=True, timeout=seconds, env=variables, cwd="/", **crew.identity
    )


def await_line(log_path: Path, pid: int, pattern: str, *, after: int = 0) -> re.Match[str]:
    """The first line in which `pattern` (a regular expression) occurs, from the character `after` of the log on.

    Waits for it while the process `pid` lives, and not for ever.
    """
    expression = re.compile(rf"^.*(?:{pattern}).*$", re.MULTILINE)
    for _ in range(int(_PATIENCE_S / 0.01)):
        has_ended = _is_gone_within(pid, 0.01)
        log = log_path.read_text(errors="replace")
        if match := expression.search(log, after):
            return match
        if has_ended:
            break
    raise AssertionError(f"no line with {pattern!r} in the log:\n{log}")


def session_members(session: int) -> list[int]:
    """The PIDs in a session, those of their children in other sessions, and this test's orphans; without zombies.

    A pair's monitor is in a session of its own.
    """
    parents, members, leaders = {}, set(), set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            except OSError:
                continue
            pid, parent, its_session = int(entry.name), int(fields[1]), int(fields[3])
            if fields[0] != b"Z":
                parents[pid] = parent
                members |= {pid} if its_session == session else set()
                leaders |= {pid} if its_session == pid else set()
    while grown := {pid for pid, parent in parents.items() if parent in members} - members:
        members |= grown
    return [*members, *(pid for pid in leaders - members if _is_orphan(pid, parents[pid]))]


def _is_orphan(pid: int, parent: int) -> bool:
    """Whether it is the monitor of a pair of this test, and has lost its killer."""
    words, of_parent = _command_line(pid), _command_line(parent)
    is_ours = scope() == [word for word in words if word in scope()] and any("bustd_monitor" in word for word in words)
    return is_ours and parent != os.getpid() and not any("bustd_killer" in word for word in of_parent)


def _command_line(pid: int) -> list[str]:
    """Its words; none of a process that is gone."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")
    except OSError:
        return []


def end_session(session: int) -> list[int]:
    """Kill the processes of the session that do not end by themselves. Returns their PIDs."""
    left = [pid for pid in session_members(session) if not _is_gone_within(pid, 3)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return left


def available_bytes() -> int:
    """MemAvailable, now."""
    match = re.search(r"^MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    assert match is not None
    return int(match[1]) * 1024


def _catches_sigterm(pid: int) -> bool:
    """Whether it handles SIGTERM (proc_pid_status(5), SigCgt). Before that, SIGTERM ends it like any program."""
    match = re.search(r"^SigCgt:\t(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return match is not None and bool(int(match[1], 16) >> (signal.SIGTERM - 1) & 1)


def _is_gone_within(pid: int, seconds: float) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)


@contextmanager
def planted(additions: dict[str, str]) -> Iterator[str]:
    """The interpreter of a separate installation, with these lines added at the end of its modules."""
    with tempfile.TemporaryDirectory(prefix="bustd-test-planted-") as name:
        home = Path(name) / "install"
        Path(name).chmod(0o755)
        shutil.copytree(install.home(), home, symlinks=True)
        (site,) = home.glob("lib/python*/site-packages")
        for module, addition in additions.items():
            with (site / module).open("a") as file:
                file.write(addition)
            compileall.compile_file(site / module, quiet=2)
        yield str(home / "bin" / "python3")
