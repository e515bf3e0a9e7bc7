"""`bustd selftest`: the pair, started for real, kills the one leak that this command makes, and nothing else.

The pair runs with a policy of its own: its thresholds are always crossed, and no process outside of this command's
own subtree may die, which the killer enforces. Here is what every such trial needs, and the trial of the standalone
pair; selftest_units.py has that of the installed units.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .daemons import pair_command
from .run import CannotRun, identity_of, raise_memory_lock_limit

PATIENCE_S = 45
_LEAK_MIB = 64
# Both end with this command, whatever ends it: then nobody holds the other end of their standard input.
# What starts this command may be shielded from the kernel, and with it this leak from bustd (oom_score_adj -1000).
_LEAK = f"""import sys
with open('/proc/self/oom_score_adj', 'r+') as adj:
    if int(adj.read()) < 0:
        adj.write('0')
kept = bytes([1]) * ({_LEAK_MIB} << 20)
print('full', flush=True)
sys.stdin.read()
"""
_BYSTANDER = "import sys; print('idle', flush=True); sys.stdin.read()"

_MONITOR_POLICY = """[conditions.floor]
available_percent = 100
available_mib = 1073741824
swap_percent = 100
kill_fraction_percent = 0
relief_percent = 0
[conditions.pressure]
enabled = false
[conditions.stall]
enabled = false
[sleep]
longest_ms = 100
"""
# Whatever login this command runs in, its leak may die; what is smaller than the leak may not, on no machine.
_KILLER_POLICY = f"""[limits]
available_percent = 100
minimum_mib = {_LEAK_MIB // 2}
minimum_percent = 100
[protect]
shipped = false
"""


class Subjects(NamedTuple):
    """Two children of this command: the one that must die, and the one that must not."""

    leak: subprocess.Popen[str]
    bystander: subprocess.Popen[str]

    def fates(self) -> str:
        """How both are, for a person."""
        return f"leak {self.leak.poll()}, bystander {self.bystander.poll()}"


def selftest(user: str) -> int:
    """The standalone pair: 0 if exactly the leak died; 1 if not, with its log; 64 or 69 if the user won't do."""
    try:
        identity = identity_of(user)
    except CannotRun as error:
        sys.stderr.write(f"bustd: {error}\n")
        return error.code
    with tempfile.TemporaryDirectory(prefix="bustd-selftest-") as name:
        directory = Path(name)
        with cleared_if_killed(lambda: shutil.rmtree(directory, ignore_errors=True)):
            write_policies(directory)
            told_to_stop = stop_signals()
            with subjects() as both:
                return _trial(directory, identity, both, told_to_stop)


@contextmanager
def cleared_if_killed(clear: Callable[[], None]) -> Iterator[None]:
    """Should this command be killed in the block, a child that outlives it clears up."""
    end, other_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(other_end)
            os.setsid()  # ctrl-C is for the command
            if os.read(end, 1) == b"":
                clear()
        finally:
            os._exit(0)
    os.close(end)
    try:
        yield
    finally:
        os.write(other_end, b"x")
        os.close(other_end)
        os.waitpid(child, 0)


def write_policies(directory: Path, *, monitor: str = "", killer: str = "") -> None:
    """bustd.toml and killer.toml for a trial, each with something added, in a directory that everybody may enter."""
    directory.chmod(0o755)
    for file, policy in (("bustd.toml", _MONITOR_POLICY + monitor), ("killer.toml", _KILLER_POLICY + killer)):
        (directory / file).write_text(policy)
        (directory / file).chmod(0o644)


def stop_signals() -> int:
    """A descriptor that a signal makes readable. An exception could come between the start of a child and its name."""
    told_to_stop, tell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(tell)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if (number, signal.getsignal(number)) != (signal.SIGHUP, signal.SIG_IGN):  # under nohup it stays ignored
            signal.signal(number, lambda *_: None)
    return told_to_stop


@contextmanager
def subjects() -> Iterator[Subjects]:
    """The leak and the bystander, until the end of the block."""
    with _child(_LEAK) as leak, _child(_BYSTANDER) as bystander:
        yield Subjects(leak, bystander)


@contextmanager
def _child(program: str) -> Iterator[subprocess.Popen[str]]:
    """A child of this command that has done its work and waits, until the end of the block."""
    command = [sys.executable, "-I", "-c", program]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, process_group=0) as child:  # no ctrl-C for it
        try:
            assert child.stdout is not None
            child.stdout.readline()
            yield child
        finally:
            child.kill()


def options(directory: Path | str) -> Namespace:
    """What both daemons of a trial are told: its policies, and that only this command's own children may die."""
    config, killer_config = f"{directory}/bustd.toml", f"{directory}/killer.toml"
    return Namespace(config=config, killer_config=killer_config, only_descendants_of=os.getpid())


def _trial(directory: Path, identity: tuple[int, int], both: Subjects, told_to_stop: int) -> int:
    """Start the pair, see which process dies, stop it."""
    raise_memory_lock_limit()
    command = pair_command(options(directory), identity, [])
    with (directory / "log").open("wb") as log:
        pair = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
    wait_for_any(both.leak.pid, pair.pid, told_to_stop=told_to_stop)
    fates = f"{both.fates()}, pair {pair.poll()}"
    is_right = only_the_leak_died(both)
    pair.send_signal(signal.SIGTERM)
    code = pair.wait(PATIENCE_S)
    if number := stopped_by(told_to_stop):
        return 128 + number
    if is_right and code == 0:
        return passed(both)
    print((directory / "log").read_text(errors="replace"), end="")
    return failed(f"({fates}, then {code}); above is what the pair said")


def wait_for_any(*pids: int, told_to_stop: int, seconds: float = PATIENCE_S) -> bool:
    """Until one of the children has ended, or this command is told to stop; False if neither."""
    pidfds = [os.pidfd_open(pid) for pid in pids]
    ready, _, _ = select.select([*pidfds, told_to_stop], [], [], seconds)
    for pidfd in pidfds:
        os.close(pidfd)
    return bool(ready)


def stopped_by(told_to_stop: int) -> int:
    """The signal that this command got, 0 if none."""
    return os.read(told_to_stop, 1)[0] if select.select([told_to_stop], [], [], 0)[0] else 0


def only_the_leak_died(both: Subjects) -> bool:
    """Whether a signal ended the leak, and the bystander lives."""
    return both.leak.poll() in (-signal.SIGTERM, -signal.SIGKILL) and both.bystander.poll() is None


def passed(both: Subjects, where: str = "") -> int:
    """Say so; the exit code."""
    how = signal.Signals(-both.leak.returncode).name
    print(f"selftest passed{where}: the pair killed the leak of {_LEAK_MIB} MiB ({how}), and nothing else")
    return os.EX_OK


def failed(sentence: str) -> int:
    """Say so; the exit code."""
    print(f"selftest FAILED {sentence}")
    return 1
