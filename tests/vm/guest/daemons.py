"""The daemons that a scenario can be run under: start, stop, settings. `kernel` is none at all."""

import time
from pathlib import Path

import machine

KILLER, MONITOR = "bustd-killer.service", "bustd-monitor.service"

_PATIENCE_S = 60
_NEEDS = ("python3", "python3-msgpack", "python3-prctl", "python3-psutil")
_SETTINGS = Path("/etc/bustd/bustd.toml.d/scenario.toml")
_FEDORA_SLICE = """[Slice]
ManagedOOMSwap=kill
ManagedOOMMemoryPressure=kill
ManagedOOMMemoryPressureLimit=50%
"""
"""What Fedora gives a user's own units and system.slice: work.slice stands for both here."""

UNITS = {
    "bustd": [KILLER, MONITOR],
    "earlyoom": ["earlyoom.service"],
    "nohang": ["nohang.service"],
    "systemd-oomd": ["systemd-oomd.service"],
    "kernel": [],
}


def install(deb):
    """What README tells a user to type, and nothing else; what the package says that it needs is in the image."""
    said = machine.run("apt", "install", "-y", deb, seconds=300)
    begun = time.time()
    try:
        machine.run("systemctl", "enable", "--now", "bustd-monitor")
        await_killer()
    except (RuntimeError, TimeoutError) as error:
        raise RuntimeError(f"{error}\n{log_of(*UNITS['bustd'], since=begun)}") from None
    depends = machine.run("dpkg-query", "-W", "-f", "${Depends}", "bustd")
    missing = [name for name in _NEEDS if name not in depends]
    return {"faults": [f"the package does not depend on {name}" for name in missing], "log": said.splitlines()[-5:]}


def inactivity(daemon):
    """Why the daemon is not at work, "" if it is."""
    if daemon == "bustd":
        try:
            await_killer()
        except TimeoutError as error:
            return str(error)
    states = {unit: machine.show(unit, "ActiveState")["ActiveState"] for unit in UNITS[daemon]}
    return ", ".join(f"{unit} is {state}" for unit, state in states.items() if state != "active")


def await_killer(pid=0):
    """Until the monitor's status says that the killer, or this very one, answers. Raises TimeoutError."""
    deadline = time.monotonic() + _PATIENCE_S
    wanted = f"the killer {pid} answers" if pid else " answers"
    while wanted not in (status := machine.show("bustd-monitor", "StatusText").get("StatusText", "")):
        if time.monotonic() > deadline:
            raise TimeoutError(f"after {_PATIENCE_S} s the monitor's status is: {status}")
        time.sleep(0.2)


def start(daemon):
    """Have exactly this daemon running."""
    if daemon == "systemd-oomd":
        drop_in = Path("/run/systemd/system/work.slice.d/oomd.conf")
        drop_in.parent.mkdir(parents=True, exist_ok=True)
        drop_in.write_text(_FEDORA_SLICE)
        machine.run("systemctl", "daemon-reload")
    if daemon != "bustd":  # bustd runs since its installation
        for unit in UNITS[daemon]:
            machine.run("systemctl", "unmask", unit, unit.replace(".service", ".socket"), check=False)
            machine.run("systemctl", "start", unit)


def restarts(daemon):
    """How often systemd has started each of its units anew since somebody did so by hand."""
    return {unit: int(machine.show(unit, "NRestarts")["NRestarts"]) for unit in UNITS[daemon]}


def configure(settings):
    """A drop-in for bustd.toml, read at once; "" takes it away."""
    if settings:
        _SETTINGS.parent.mkdir(exist_ok=True)
        _SETTINGS.write_text(settings)
    elif _SETTINGS.exists():
        _SETTINGS.unlink()
        _SETTINGS.parent.rmdir()
    else:
        return
    machine.run("systemctl", "reload", "bustd-monitor")


def log(daemon, since):
    """What it has said since then (seconds of the epoch)."""
    lines = log_of(*UNITS[daemon], since=since).splitlines() if UNITS[daemon] else []
    return [line for line in lines if not line.startswith("x" * 100)]  # what filled the journal's socket


def main_pid(unit):
    """0 where it does not run."""
    return int(machine.show(unit, "MainPID")["MainPID"])


def log_of(*units, since):
    """Everything that units, and systemd about them, have said since then."""
    chosen = [f"--unit={unit}" for unit in units]
    return machine.run("journalctl", "-o", "cat", "--no-pager", f"--since=@{since:.3f}", *chosen, check=False)
