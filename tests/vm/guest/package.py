"""What the package promises: an upgrade keeps the pair alive and the configuration, and a purge leaves nothing."""

import os
import shutil
import tempfile
from pathlib import Path

import daemons
import machine
from daemons import KILLER, MONITOR, main_pid

_CONFIG = Path("/etc/bustd/bustd.toml")
_METRICS = Path("/var/lib/prometheus/node-exporter/bustd.prom")
_WORD = "\n# a word of the administrator's\n"
_LEFT_OUT = (
    *("/proc", "/sys", "/dev", "/tmp", "/home", "/run/job", "/run/vm", "/var/tmp", "/var/cache"),
    *("/run/systemd", "/run/udev", "/run/log", "/run/credentials", "/var/log/journal"),
    *("/var/lib/dpkg", "/var/lib/apt", "/var/log/apt", "/var/log/dpkg.log", "/var/lib/systemd/timers"),
)
"""What is no package's, or changes by itself."""


def everything():
    """Every path that a package could leave behind, and the names of users and groups."""
    found = set()
    for directory, folders, files in os.walk("/"):
        here = directory.rstrip("/")
        folders[:] = [name for name in folders if f"{here}/{name}" not in _LEFT_OUT]
        found |= {f"{here}/{name}" for name in folders + files} - set(_LEFT_OUT)
    for register in ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow"):
        found |= {f"{register}: {line.split(':')[0]}" for line in Path(register).read_text().splitlines()}
    return {path for path in found if "__pycache__" not in path or "bustd" in path}


def all_of(job, before):
    """(name, what it stands for in the core set or "", step): the last one leaves a machine without bustd."""
    deb = "/run/job/" + job["deb"]
    return [
        ("package: an upgrade restarts what runs", "", lambda: upgrade_running(deb)),
        ("package: an upgrade leaves alone what was stopped", "", lambda: upgrade_stopped(deb)),
        ("package: removal stops units and a standalone pair", "the package's scripts", remove),
        ("package: purge leaves nothing", "what the package says is its own", lambda: purge(before)),
    ]


def upgrade_running(deb):
    killer, monitor, faults = main_pid(KILLER), main_pid(MONITOR), []
    with _CONFIG.open("a") as config:
        config.write(_WORD)
    _upgrade(deb, "98")
    daemons.await_killer(main_pid(KILLER))
    if main_pid(KILLER) in (0, killer) or main_pid(MONITOR) in (0, monitor):
        faults.append("what ran before the upgrade still runs, or nothing does")
    if not _CONFIG.read_text().endswith(_WORD):
        faults.append("the upgrade lost what the administrator wrote")
    enabled = machine.run("systemctl", "is-enabled", "bustd-monitor", check=False).strip()
    if enabled != "enabled":
        faults.append(f"after the upgrade the monitor is {enabled}")
    return {"faults": faults, "version": machine.run("dpkg-query", "-W", "-f", "${Version}", "bustd")}


def upgrade_stopped(deb):
    """Although it is enabled: whoever stopped it had a reason."""
    machine.run("systemctl", "stop", MONITOR, KILLER, check=False)
    _upgrade(deb, "99")
    faults = [f"{unit} runs" for unit in (MONITOR, KILLER) if main_pid(unit)]
    machine.run("systemctl", "start", MONITOR)
    daemons.await_killer()
    return {"faults": faults}


def _upgrade(deb, epoch):
    """The same package with a higher version."""
    with tempfile.TemporaryDirectory() as name:
        machine.run("dpkg-deb", "-R", deb, f"{name}/tree")
        control = Path(name, "tree/DEBIAN/control")
        control.write_text(control.read_text().replace("\nVersion: ", f"\nVersion: {epoch}:"))
        machine.run("dpkg-deb", "-b", f"{name}/tree", f"{name}/bustd_{epoch}_all.deb")
        machine.run("apt-get", "install", "-y", f"{name}/bustd_{epoch}_all.deb", seconds=300)


def remove():
    """Everything stops, a `bustd` in the background included; the configuration stays."""
    _METRICS.parent.mkdir(parents=True, exist_ok=True)
    machine.run("systemctl", "start", "bustd-metrics.service")
    faults = [] if _METRICS.exists() else ["there are no metrics whose removal could be seen"]
    machine.run("bustd", "run", "--dry-run")  # another pair that kills is refused beside the units
    standalone = int(Path("/run/bustd.pid").read_text())
    pids = [main_pid(KILLER), main_pid(MONITOR), standalone]
    faults += [f"PID {pid} does not run" for pid in pids if not Path(f"/proc/{pid}").exists()]
    if not Path(f"/proc/{standalone}/autogroup").read_text().endswith(" nice -20\n"):
        faults.append("the standalone pair's session has no priority")
    machine.run("apt-get", "remove", "-y", "bustd", seconds=300)
    faults += [f"PID {pid} still runs" for pid in pids if Path(f"/proc/{pid}").exists()]
    if not _CONFIG.exists():
        faults.append("the administrator's configuration is gone")
    sockets = ("/run/bustd/killer.sock", "/run/bustd/events")
    for path in ("/usr/bin/bustd", *sockets, str(_METRICS), "/usr/lib/systemd/system/bustd-killer.service"):
        if Path(path).exists():
            faults.append(f"{path} is still there")
    shutil.rmtree(_METRICS.parents[1])
    return {"faults": faults}


def purge(before):
    machine.run("apt-get", "purge", "-y", "bustd", seconds=300)
    left = sorted(everything() - before)
    return {"faults": [f"left behind: {', '.join(left[:20])}"] if left else [], "paths_before": len(before)}
