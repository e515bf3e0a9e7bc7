"""`bustd selftest`: the pair, started for real, kills the one leak that this command makes, and nothing else.

The pair runs with a policy of its own: its thresholds are always crossed, and nobody outside of this command's own
subtree may die, which the killer enforces.
"""

from __future__ import annotations

import os
import pwd
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from .run import program, raise_memory_lock_limit

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
    """0 if exactly the leak died; 1 if not, with the log of the pair; 69 without the user."""
    identity = "-1:-1"
    if os.geteuid() == 0:
        try:
            account = pwd.getpwnam(user)
        except KeyError:
            sys.stderr.write(f"bustd: there is no user {user} for the monitor to run as\n")
            return os.EX_UNAVAILABLE
        identity = f"{account.pw_uid}:{account.pw_gid}"
    with tempfile.TemporaryDirectory(prefix="bustd-selftest-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        for file, policy in (("bustd.toml", _MONITOR_POLICY), ("killer.toml", _KILLER_POLICY)):
            (directory / file).write_text(policy)
            (directory / file).chmod(0o644)
        leak, bystander = _child(_LEAK), _child(_BYSTANDER)
        try:
            return _trial(directory, identity, leak, bystander)
        finally:
            for child in (leak, bystander):
                child.kill()
                child.communicate()


def _child(program: str) -> subprocess.Popen[str]:
    """A child of this command that has done its work and waits."""
    child = subprocess.Popen([sys.executable, "-I", "-c", program], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def _trial(directory: Path, identity: str, leak: subprocess.Popen[str], bystander: subprocess.Popen[str]) -> int:
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
    died = _exits_within(leak, _PATIENCE_S)
    others_live = bystander.poll() is None
    stopped = pair.poll() is None
    pair.send_signal(signal.SIGTERM)
    code = pair.wait(_PATIENCE_S)
    if died and leak.returncode in (-signal.SIGTERM, -signal.SIGKILL) and others_live and stopped and code == 0:
        how = signal.Signals(-leak.returncode).name
        print(f"selftest passed: the pair killed the leak of {_LEAK_MIB} MiB ({how}), and nothing else")
        return os.EX_OK
    print((directory / "log").read_text(errors="replace"), end="")
    fates = f"leak {leak.poll()}, bystander {bystander.poll()}, pair {code}"
    print(f"selftest FAILED ({fates}); above is what the pair said")
    return 1


def _exits_within(child: subprocess.Popen[str], seconds: float) -> bool:
    pidfd = os.pidfd_open(child.pid)
    try:
        exited = bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)
    if exited:
        child.wait()
    return exited
