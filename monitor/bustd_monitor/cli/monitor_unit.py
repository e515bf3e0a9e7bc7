"""What systemd knows of the monitor's unit."""

from __future__ import annotations

import subprocess
import time
from typing import NamedTuple

from .unit_copies import MONITOR

_ANSWER_S = 3
_PROPERTIES = "LoadState,ActiveState,StatusText,ExecMainStatus,StateChangeTimestampMonotonic"


class MonitorUnit(NamedTuple):
    """As `systemctl show` has it (systemctl(1)). `load` "": there is no systemd, or it does not answer.

    `status`: what the monitor has told of itself. `exit_code`: of its last run. `changed_us`: since when it is in this
    state, in microseconds since 1970; 0: not known.
    """

    load: str = ""
    active: str = ""
    status: str = ""
    exit_code: int = 0
    changed_us: int = 0

    @property
    def is_installed(self) -> bool:
        """Whether there is such a unit."""
        return self.load not in ("", "not-found")

    @property
    def is_running(self) -> bool:
        """Whether its monitor should be there: it is active, or on its way."""
        return self.active in ("active", "activating", "reloading", "refreshing", "deactivating")


def monitor_unit() -> MonitorUnit:
    """Asks systemd, for three seconds at most. It needs no privilege."""
    command = ["systemctl", "show", MONITOR, f"--property={_PROPERTIES}"]
    quiet = subprocess.DEVNULL
    try:
        said = subprocess.run(command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, timeout=_ANSWER_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return MonitorUnit()
    boot_us = time.time_ns() // 1000 - time.monotonic_ns() // 1000
    return parsed(said.stdout.decode("utf-8", "backslashreplace"), boot_us)


def parsed(text: str, boot_us: int) -> MonitorUnit:
    """The lines of `systemctl show`. `boot_us`: when the monotonic clock was 0, in microseconds since 1970."""
    values = {name: value for name, _, value in (line.partition("=") for line in text.splitlines())}
    code, changed = values.get("ExecMainStatus", ""), values.get("StateChangeTimestampMonotonic", "")
    return MonitorUnit(
        values.get("LoadState", ""),
        values.get("ActiveState", ""),
        values.get("StatusText", ""),
        int(code) if code.isdecimal() else 0,
        boot_us + int(changed) if changed.isdecimal() and int(changed) else 0,
    )
