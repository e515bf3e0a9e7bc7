"""A captured killer, and a captured monitor, inside its unit: in its very process, after its lockdown, all is tried.

The programs are tests/hostile/captured_killer.py, in place of the one that stage 1 executes, and captured_monitor.py
there, in place of the monitor's start.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import daemons
import machine
from daemons import KILLER, MONITOR, main_pid

_PACKAGES = Path("/usr/lib/python3/dist-packages")
_SERVE = _PACKAGES / "bustd_killer/serve.py"
_START = _PACKAGES / "bustd_monitor/start.py"
_BUS = _PACKAGES / "captured_bus.py"
_PLAN = _SERVE.with_name("plan.json")
_PLACE = Path("/srv/captured")
_ATTEMPTS_AT_LEAST, _OF_THE_MONITOR_AT_LEAST = 40, 60
_LAST, _LAST_OF_THE_MONITOR = "be dumpable again", "write a setting of the kernel"
_PATIENCE_S = 30

LEFT = {
    *(f"{name} to another user's process" for name in ("SIGKILL", "SIGTERM", "SIGCONT", "signal 0")),
    *(f"{name} to another user's process" for name in ("SIGSTOP", "SIGUSR1", "SIGHUP")),
    *("read what every user may", "read the status of any process", "list the processes"),
    *("start a child", "be dumpable again", "execute this Python", "map another program by the loader"),
}
"""What a killer can do. THREATS.md has the same list, and a test compares the two."""

LEFT_TO_THE_MONITOR = {
    *("read what every user may", "read the status of any process", "list the processes"),
    *("make a local socket", "connect to a socket that every user may", "start a child"),
    *("execute this Python", "map another program by the loader"),
    *("execute a program", "execute a set-uid program", "make a terminal", "connect to the bus"),
    *("ask systemd for the state of a unit", "say what it likes of its unit", "write to the journal"),
    *("limit the time of a process of its own user", "read the memory of a process of its own user"),
    "write oom_score_adj of a process of its own user",
}
"""The same of a monitor."""


def captured_killer():
    """The step: what was done and is not in THREATS.md's list, and what is there and was refused."""
    machine.run("systemctl", "stop", MONITOR, KILLER)
    kept = _SERVE.read_bytes()
    victim = subprocess.Popen(["sleep", "600"])
    since = time.time()
    try:
        with (
            socket.socket(socket.AF_UNIX) as roots,
            socket.socket(socket.AF_UNIX) as abstract,
            socket.create_server(("127.0.0.1", 0)) as tcp,
        ):
            _PLAN.write_text(json.dumps(_plan(victim.pid, roots, abstract, tcp)))
            shutil.copy(f"{machine.GUEST}/captured_killer.py", _SERVE)
            machine.run("systemctl", "start", KILLER)
            told = _told(since)
        machine.run("systemctl", "stop", KILLER, "bustd-killer.socket", check=False)
    finally:
        _SERVE.write_bytes(kept)
        _PLAN.unlink(missing_ok=True)
        victim.kill()
        victim.wait()
        shutil.rmtree(_PLACE, ignore_errors=True)
        machine.run("systemctl", "start", "bustd-killer.socket", MONITOR)
    daemons.await_killer()
    return _judged("a captured killer", told, LEFT, _ATTEMPTS_AT_LEAST)


def captured_monitor():
    """The same step for the monitor."""
    machine.run("systemctl", "stop", MONITOR)
    kept, faults, since = _START.read_bytes(), [], time.time()
    own = subprocess.Popen(["sleep", "600"], user="bustd", group="bustd", extra_groups=[])
    other = subprocess.Popen(["sleep", "600"])
    terminal, roots_terminal = os.openpty()
    try:
        with (
            socket.socket(socket.AF_UNIX) as roots,
            socket.socket(socket.AF_UNIX) as abstract,
            socket.socket(socket.AF_UNIX) as open_to_all,
            socket.create_server(("127.0.0.1", 0)) as tcp,
        ):
            plan = _plan(other.pid, roots, abstract, tcp) | _of_the_monitor(own.pid, os.ttyname(roots_terminal))
            open_to_all.bind(plan["open_socket"])
            Path(plan["open_socket"]).chmod(0o666)
            open_to_all.listen()
            program = Path(machine.GUEST, "captured_monitor.py").read_text().replace("PLAN = {}", f"PLAN = {plan!r}")
            _START.write_text(f"{kept.decode()}\n{program}")
            shutil.copy(f"{machine.GUEST}/captured_bus.py", _BUS)
            machine.run("systemctl", "start", "--no-block", MONITOR)
            told = _told_by_the_monitor(since)
        if main_pid(MONITOR) == other.pid:
            faults.append("a captured monitor named a process of root's as that of its unit")
        if machine.show(MONITOR, "StatusText")["StatusText"] != "forged":
            faults.append("what it said in the status of its unit is not there")
        if "forged" in _said(KILLER, since):
            faults.append("a captured monitor forged an entry of the killer's")
        faults += [f"PID {process.pid} has ended" for process in (own, other) if process.poll() is not None]
        machine.run("systemctl", "stop", MONITOR, check=False)
    finally:
        _START.write_bytes(kept)
        _BUS.unlink(missing_ok=True)
        for process in (own, other):
            process.kill()
            process.wait()
        os.close(terminal)
        os.close(roots_terminal)
        shutil.rmtree(_PLACE, ignore_errors=True)
        machine.run("systemctl", "reset-failed", MONITOR, check=False)
        machine.run("systemctl", "start", MONITOR)
    daemons.await_killer()
    judged = _judged("a captured monitor", told, LEFT_TO_THE_MONITOR, _OF_THE_MONITOR_AT_LEAST)
    return judged | {"faults": faults + judged["faults"]}


def _judged(who, told, left, at_least):
    """What was done and is not in THREATS.md's list, and what is there and was refused."""
    done = {name for name, outcome in told.items() if outcome == "done"}
    faults = [f"{who} can: {name}" for name in sorted(done - left)]
    faults += [f"{who} can't, but THREATS.md says so: {name}" for name in sorted(left - done)]
    if len(told) < at_least:
        faults.append(f"only {len(told)} attempts were made")
    return {"faults": faults, "refused": {name: outcome for name, outcome in told.items() if outcome != "done"}}


def _of_the_monitor(own, terminal):
    """What a monitor attacks beside what a killer does."""
    log = _PLACE / "log"
    log.touch(0o600)
    return {
        "what": "everything",
        "pause_s": 0,
        "stay_s": 600,
        "own": own,
        "terminal": terminal,
        "log": str(log),
        "roots_socket": str(_PLACE / "root.sock"),
        "open_socket": str(_PLACE / "open.sock"),
        "bus": "/run/dbus/system_bus_socket",
        "unit": "systemd-journald.service",
        "group": "bustd.slice/bustd-monitor.service",
    }


def _plan(victim, roots, abstract, tcp):
    """What there is to attack: root's files, sockets and process, and what every user may write."""
    shutil.rmtree(_PLACE, ignore_errors=True)
    opened = _PLACE / "open"
    opened.mkdir(parents=True)
    opened.chmod(0o777)
    secret, shell, file = _PLACE / "secret", _PLACE / "shell", opened / "file"
    secret.write_text("root's\n")
    secret.chmod(0o600)
    shutil.copy("/bin/sh", shell)
    file.write_text("every user's\n")
    file.chmod(0o666)
    roots.bind(str(_PLACE / "root.sock"))
    (_PLACE / "root.sock").chmod(0o600)
    roots.listen()
    abstract.bind("\0captured")
    abstract.listen()
    return {
        "secret": str(secret),
        "shell": str(shell),
        "place": str(_PLACE),
        "open": str(opened),
        "device": "/dev/mem",
        "set_uid": "/usr/bin/su",
        "loader": "/lib64/ld-linux-x86-64.so.2",
        "root_socket": str(_PLACE / "root.sock"),
        "abstract": "captured",
        "port": tcp.getsockname()[1],
        "victim": victim,
        "other": victim,
    }


def _told(since):
    """What became of each attempt, once all of them were made."""
    due = time.monotonic() + _PATIENCE_S
    told = {}
    while _LAST not in told and time.monotonic() < due:
        time.sleep(0.5)
        told = dict(json.loads(line) for line in _said(KILLER, since).splitlines() if line.startswith('["'))
    return told


def _told_by_the_monitor(since):
    due = time.monotonic() + _PATIENCE_S
    told = {}
    while _LAST_OF_THE_MONITOR not in told and time.monotonic() < due:
        time.sleep(0.5)
        told = dict(re.findall(r"^attempt: (.*): (\S+)$", _said(MONITOR, since), re.MULTILINE))
    return told


def _said(unit, since):
    return machine.run("journalctl", "-u", unit, "-o", "cat", "--no-pager", f"--since=@{int(since)}")
