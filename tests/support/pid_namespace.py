"""A PID namespace with a /proc of its own, in which a test can give a PID to a process that it chooses."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

from . import install, victims

_ENTER = ["unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
_HOME = "BUSTD_TEST_INSTALLATION"
_LAST_PID = Path("/proc/sys/kernel/ns_last_pid")


@functools.cache
def what_is_missing() -> str:
    """Why such a namespace is not possible here; "" if it is."""
    probe = "import pathlib; p = pathlib.Path('/proc/sys/kernel/ns_last_pid'); p.write_text(p.read_text())"
    try:
        subprocess.run([*_ENTER, sys.executable, "-c", probe], check=True, capture_output=True, timeout=20)
    except FileNotFoundError:
        return "no unshare(1) here"
    except subprocess.CalledProcessError as error:
        return f"no PID namespace here: {error.stderr.decode(errors='replace').strip()[-200:]}"
    return ""


def run_inside(module: str, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a module of the tests as process 1 of a namespace. Everything that it has started ends with it."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(install.ROOT), *filter(None, sys.path)]),
        _HOME: str(install.home()),
    }
    return subprocess.run(
        [*_ENTER, sys.executable, "-m", module, *arguments],
        cwd=install.ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def use_the_installation_outside() -> None:
    """Inside the namespace, use the installation that exists already."""
    home = Path(os.environ[_HOME])
    install.home = functools.cache(lambda: home)


def start_as(pid: int, **how: object) -> subprocess.Popen[bytes]:
    """Inside the namespace, start a victim with exactly this PID, which must be free."""
    _LAST_PID.write_text(str(pid - 1))
    process = victims.start(**how)  # type: ignore[arg-type]
    assert process.pid == pid, f"the kernel has given out {process.pid} instead of {pid}"
    return process
