"""`bustd selftest`: the pair, started for real, kills the one leak that this command makes, and nothing else.

The pair runs with a policy of its own: its thresholds are always crossed, and nobody outside of this command's own
subtree may die, which the killer enforces.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .run import CannotRun, identity_of, program, raise_memory_lock_limit

_LEAK_MIB = 64
_PATIENCE_S = 20
_LEAK = f"import time; kept = bytes([1]) * ({_LEAK_MIB} << 20); print('full', flush=True); time.sleep(60)"
_BYSTANDER = "import time; print('idle', flush=True); time.sleep(60)"

_MONITOR_POLICY = """[conditions.floor]
available_percent = 100
available_mib = 1073741824
swap_percent = 100
kill_fraction_percent = 0
[conditions.pressure]
enabled = false
[conditions.stall]
enabled = false
[sleep]
longest_ms = 100
"""
_KILLER_POLICY = """[limits]
available_percent = 100
pressured_available_percent = 100
"""


def selftest(user: str) -> int:
    """0 if exactly the leak died; 1 if not, with the log of the pair; 64 or 69 if the user won't do."""
    try:
        identity = "{}:{}".format(*identity_of(user))
    except CannotRun as error:
        sys.stderr.write(f"bustd: {error}\n")
        return error.code
    with tempfile.TemporaryDirectory(prefix="bustd-selftest-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        for file, policy in (("bustd.toml", _MONITOR_POLICY), ("killer.toml", _KILLER_POLICY)):
            (directory / file).write_text(policy)
            (directory / file).chmod(0o644)
        told_to_stop = _stop_signals()
        with _child(_LEAK) as leak, _child(_BYSTANDER) as bystander:
            return _trial(directory, identity, leak, bystander, told_to_stop)


def _stop_signals() -> int:
    """A descriptor that a signal makes readable. An exception could come between the start of a child and its name."""
    told_to_stop, tell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(tell)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    return told_to_stop


@contextmanager
def _child(program: str) -> Iterator[subprocess.Popen[str]]:
    """A child of this command that has done its work and waits, until the end of the block."""
    with subprocess.Popen([sys.executable, "-I", "-c", program], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            yield child
        finally:
            child.kill()


def _trial(
    directory: Path,
    identity: str,
    leak: subprocess.Popen[str],
    bystander: subprocess.Popen[str],
    told_to_stop: int,
) -> int:
    """Start the pair, see who dies, stop it."""
    raise_memory_lock_limit()
    scope = ["--only-descendants-of", str(os.getpid())]
    monitor = ["--config", f"{directory}/bustd.toml", "--killer-config", f"{directory}/killer.toml", *scope]
    if os.geteuid() != 0:
        monitor += ["--only-uid", str(os.geteuid())]
    command = [sys.executable, "-I", *program("bustd_killer"), "--config", f"{directory}/killer.toml", *scope]
    with (directory / "log").open("wb") as log:
        pair = subprocess.Popen(
            [*command, "--monitor", identity, "--", *program("bustd_monitor"), *monitor],
            stdin=subprocess.DEVNULL,
            stderr=log,
        )
    _wait_for_either(leak.pid, pair.pid, told_to_stop)
    fates = f"leak {leak.poll()}, bystander {bystander.poll()}, pair {pair.poll()}"
    exactly_the_leak = leak.returncode in (-signal.SIGTERM, -signal.SIGKILL) and bystander.returncode is None
    pair.send_signal(signal.SIGTERM)
    code = pair.wait(_PATIENCE_S)
    if select.select([told_to_stop], [], [], 0)[0]:
        return 128 + os.read(told_to_stop, 1)[0]
    if exactly_the_leak and code == 0:
        how = signal.Signals(-leak.returncode).name
        print(f"selftest passed: the pair killed the leak of {_LEAK_MIB} MiB ({how}), and nothing else")
        return os.EX_OK
    print((directory / "log").read_text(errors="replace"), end="")
    print(f"selftest FAILED ({fates}, then {code}); above is what the pair said")
    return 1


def _wait_for_either(leak: int, pair: int, told_to_stop: int) -> None:
    """Until one of the two has ended, or nobody waits for them any more."""
    pidfds = [os.pidfd_open(leak), os.pidfd_open(pair)]
    select.select([*pidfds, told_to_stop], [], [], _PATIENCE_S)
    for pidfd in pidfds:
        os.close(pidfd)
