"""`bustd selftest` where bustd's systemd units are installed: copies of them, in the same sandbox, do the kill.

A copy has the text of its unit with the administrator's drop-ins, under a name of its own, and one drop-in more, which
gives it a socket and a policy of its own. The installed units are read, and neither started nor stopped.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from . import real_state
from . import selftest as trial
from .daemons import arguments_of, killer_words, monitor_words
from .unit_copies import (
    COPIES,
    KILLER,
    MONITOR,
    PROPERTIES,
    UNITS,
    Unit,
    Unusable,
    copies,
    parse_units,
    peer_of,
)

_USER_OF_THE_UNITS = "bustd"
_START_S, _LOOK_S, _ANSWER_S = 45, 2, 120


class Host(NamedTuple):
    """The machine whose systemd is asked; a test has one of its own."""

    run: Path
    init: int
    is_root: bool
    proc: str = "/proc"


class Answer(NamedTuple):
    """How systemctl (or journalctl) ended, and what it said."""

    code: int
    text: str


def selftest(user: str, *, standalone: bool = False, host: Host | None = None) -> int:
    """Inside the units if they can be had, else as the standalone pair. A user for the monitor means the latter."""
    host = host or Host(Path("/run"), 1, os.geteuid() == 0)
    inside, remark, units = False, "", dict[str, Unit]()
    if not standalone and user == _USER_OF_THE_UNITS and (host.run / "systemd/system").is_dir():
        units = parse_units(_systemctl("show", f"--property={PROPERTIES}", *UNITS).text)
        inside, remark = choice({name: unit.state for name, unit in units.items()}, host)
    reasons = _why_not_protected(units, host)
    code = _selftest_inside(units, host) if inside else trial.selftest(user)
    if remark:
        print(f"the installed units were not tested: {remark}")
    if code == os.EX_OK and reasons:
        print(f"the sandbox works, but this machine is not protected, because {'; '.join(reasons)}")
        return 1
    return code


def _why_not_protected(units: Mapping[str, Unit], host: Host) -> list[str]:
    """The real units and the real configuration: what their copies are told is another."""
    installed = {name: unit for name, unit in units.items() if unit.state != "not-found"}
    texts = {name: list(_texts(name, unit).values()) for name, unit in installed.items() if _is_whole(unit)}
    return real_state.why_not_protected(installed, texts, f"{host.run}/bustd/lock", host.proc)


def choice(states: Mapping[str, str], host: Host) -> tuple[bool, str]:
    """Whether to test the units, and if not, why that is worth a word. `states` has systemd's LoadState of each."""
    absent = [name for name in (KILLER, MONITOR) if states[name] in ("not-found", "masked")]
    if absent:
        said = [f"{name} is {states[name]}" for name in absent]
        return False, "" if {states[name] for name in (KILLER, MONITOR)} == {"not-found"} else ", ".join(said)
    if not host.is_root:
        return False, "that needs root"
    if not _counts_processes_alike(host):
        return False, "to systemd, this command has another PID (is this a container?)"
    return True, ""


def _counts_processes_alike(host: Host) -> bool:
    """Whether systemd is process 1 to this one too. Else the subtree that the killer is given would be another's.

    It made the socket of the journal, and is its owner to the kernel (unix(7), SO_PEERCRED), whichever process serves
    it.
    """
    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(f"{host.run}/systemd/journal/stdout")
        except OSError:
            return False
        pid, _, _ = struct.unpack("iII", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return bool(pid == host.init)


def _selftest_inside(units: Mapping[str, Unit], host: Host) -> int:
    """0 if exactly the leak died; 1 if not, with the log of the copies; 73 while another selftest is running."""
    told_to_stop = trial.stop_signals()
    with ExitStack() as stack:
        lock = host.run / "bustd-selftest.lock"
        if not _is_alone(lock, stack):
            sys.stderr.write("bustd: another selftest is running\n")
            return os.EX_CANTCREAT
        _clear_stale(host)
        stack.enter_context(trial.cleared_if_killed(lambda: _clear_after_a_killed_one(lock, host)))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bustd-selftest-", dir=host.run)))
        try:
            files = copies({name: _texts(name, units[name]) for name in UNITS}, str(directory), _told(directory))
            peer = f"[peer]\nuser = {peer_of(units[MONITOR].user)}\n"
        except Unusable as error:
            return trial.failed(f"({error})")
        trial.write_policies(directory, monitor=f'[killer]\nsocket = "{directory}/killer.sock"\n', killer=peer)
        both = stack.enter_context(trial.subjects())
        return _trial(files, both, told_to_stop, host)


def _told(directory: Path) -> dict[str, list[str]]:
    """What each service of a trial is told on top of its unit's command line."""
    options = trial.options(directory)
    return {KILLER: killer_words(options), MONITOR: monitor_words(arguments_of(options))}


def _is_alone(path: Path, stack: ExitStack) -> bool:
    """Whether no other selftest holds the lock, which goes with `stack`. Only root can open it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    stack.callback(os.close, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino != os.fstat(lock).st_ino:  # its last holder has just removed it
            return False
    except (BlockingIOError, FileNotFoundError):
        return False
    stack.callback(path.unlink)
    return True


def _clear_after_a_killed_one(lock: Path, host: Host) -> None:
    """In the child that outlives it, and that has held the lock as long as it."""
    _clear_stale(host)
    lock.unlink(missing_ok=True)


def _is_whole(unit: Unit) -> bool:
    return unit.state == "loaded" and bool(unit.files)


def _texts(name: str, unit: Unit) -> dict[str, str]:
    if not _is_whole(unit):
        raise Unusable(f"{name}: {unit.state}")
    return {path: Path(path).read_text(errors="surrogateescape") for path in unit.files}


def _trial(files: Mapping[str, str], both: trial.Subjects, told_to_stop: int, host: Host) -> int:
    """Start the copies, see which process dies, stop them."""
    began_s, where, log = int(time.time()), f" inside {KILLER} and {MONITOR}", ""
    with _loaded(files, host) as answer:
        started = answer if answer.code else _start(told_to_stop)
        if started.code == 0:
            _await_the_end(both.leak.pid, told_to_stop)
        _systemctl("stop", *COPIES)
        results = _systemctl("show", "--property=Result", "--value", *COPIES).text.split()
        is_right = trial.only_the_leak_died(both) and started.code == 0 and set(results) == {"success"}
        if not is_right:
            log = started.text + _log(began_s)
    if number := trial.stopped_by(told_to_stop):
        return 128 + number
    if is_right:
        return trial.passed(both, where)
    print(log, end="" if log.endswith("\n") else "\n")
    ends = "".join(f", {unit} {result}" for unit, result in zip(UNITS, results, strict=False))
    return trial.failed(f"{where.lstrip()} ({both.fates()}{ends}); above is what the copies said")


@contextmanager
def _loaded(files: Mapping[str, str], host: Host) -> Iterator[Answer]:
    """The copies, known to systemd. At the end of the block they are stopped and gone, whatever happened in it."""
    try:
        for path, text in files.items():
            file = host.run / "systemd/system" / path
            file.parent.mkdir(mode=0o755, exist_ok=True)
            file.write_text(text, errors="surrogateescape")
            file.chmod(0o644)
        yield _systemctl("daemon-reload")
    finally:
        _clear(host)


def _start(told_to_stop: int) -> Answer:
    """Start the socket and the monitor, as long as no signal comes. Why it failed is in the log."""
    words = ["systemctl", "--quiet", "start", COPIES[0], COPIES[2]]
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as start:
        trial.wait_for_any(start.pid, told_to_stop=told_to_stop, seconds=_START_S)
        if start.poll() is None:
            start.kill()
            return Answer(-1, f"systemctl start has not ended within {_START_S} s\n")
        said, _ = start.communicate()
    return Answer(start.returncode, said.decode(errors="replace"))


def _await_the_end(leak: int, told_to_stop: int) -> None:
    """Until the leak has ended, one of the copies has failed, or this command is told to stop."""
    deadline_s = time.monotonic() + trial.PATIENCE_S
    while time.monotonic() < deadline_s:
        if trial.wait_for_any(leak, told_to_stop=told_to_stop, seconds=_LOOK_S):
            return
        if _systemctl("is-failed", "--quiet", *COPIES).code == 0:
            return


def _clear(host: Host) -> None:
    """Stop the copies, by force if need be, and take their files away. With these goes the limit of their time."""
    if _systemctl("stop", *COPIES).code:
        _systemctl("kill", "--signal=SIGKILL", *COPIES)
        if _systemctl("is-active", "--quiet", *COPIES).code == 0:
            sys.stderr.write(f"bustd: can't stop all of {', '.join(COPIES)}\n")
            return
    _systemctl("reset-failed", *COPIES)
    for name in COPIES:
        (host.run / "systemd/system" / name).unlink(missing_ok=True)
        shutil.rmtree(host.run / "systemd/system" / f"{name}.d", ignore_errors=True)
        shutil.rmtree(host.run / name.partition(".")[0], ignore_errors=True)  # RuntimeDirectory=
    _systemctl("daemon-reload")


def _clear_stale(host: Host) -> None:
    """What a selftest left that was killed."""
    if any((host.run / "systemd/system" / name).exists() for name in COPIES):
        _clear(host)
    for directory in host.run.glob("bustd-selftest-*"):
        shutil.rmtree(directory, ignore_errors=True)


def _log(since_s: int) -> str:
    """What the copies said in this trial, from the journal if there is one."""
    units = [word for name in COPIES for word in ("-u", name)]
    _run("journalctl", "--sync")
    said = _run("journalctl", *units, f"--since=@{since_s}", "--no-pager", "-o", "cat")
    return said.text if said.code == 0 and said.text else _systemctl("status", "--full", *COPIES).text


def _systemctl(*words: str) -> Answer:
    return _run("systemctl", "--no-pager", *words)


def _run(*command: str) -> Answer:
    """In a session of its own, so that ctrl-C ends the trial and not its clearing up."""
    quiet, timeout = subprocess.DEVNULL, _ANSWER_S
    try:
        ended = subprocess.run(command, stdin=quiet, capture_output=True, timeout=timeout, start_new_session=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Answer(-1, f"{error}\n")
    return Answer(ended.returncode, (ended.stdout + ended.stderr).decode(errors="replace"))
