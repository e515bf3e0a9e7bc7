"""`bustd record` beside a scenario: what it wrote goes to the host in the report."""

import base64
import subprocess
from contextlib import contextmanager

import machine

_UNIT = "recorder.service"
_PATIENCE_S = 40


@contextmanager
def recorded(scenario):
    """Yields what to add to the report: it holds the trace, in base64, once the block is over. Raises TimeoutError."""
    path = machine.PLACE / f"{scenario['name']}.trace"
    properties = ("--property=OOMScoreAdjust=-1000", "--property=LimitMEMLOCK=infinity", "--property=Nice=-10")
    command = ("bustd", "record", str(path), "--seconds", str(scenario["seconds"] + _PATIENCE_S))
    machine.run("systemd-run", "--quiet", f"--unit={_UNIT}", *properties, *command)
    found = {}
    try:
        if not machine.within(_PATIENCE_S, lambda: path.exists() and path.stat().st_size):
            raise TimeoutError("bustd record has written nothing")
        yield found
    finally:
        subprocess.run(["systemctl", "stop", _UNIT], capture_output=True, timeout=60)
        subprocess.run(["systemctl", "reset-failed", _UNIT], capture_output=True)
        if path.exists():
            found["trace"] = base64.b64encode(path.read_bytes()).decode()
            path.unlink()
