"""A captured killer inside its unit: in its very process, after its lockdown, everything is tried.

The program is tests/hostile/captured_killer.py, in place of the one that stage 1 executes.
"""

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import daemons
import machine
from daemons import KILLER, MONITOR

_SERVE = Path("/usr/lib/python3/dist-packages/bustd_killer/serve.py")
_PLAN = _SERVE.with_name("plan.json")
_PLACE = Path("/srv/captured")
_ATTEMPTS_AT_LEAST = 40
_LAST = "be dumpable again"
_PATIENCE_S = 30

LEFT = {
    *(f"{name} to another user's process" for name in ("SIGKILL", "SIGTERM", "SIGCONT", "signal 0")),
    *(f"{name} to another user's process" for name in ("SIGSTOP", "SIGUSR1", "SIGHUP")),
    *("read what every user may", "read the status of any process", "list the processes"),
    *("start a child", "be dumpable again", "execute this Python", "map another program by the loader"),
}
"""What it can do. THREATS.md has the same list, and a test compares the two."""


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
    done = {name for name, outcome in told.items() if outcome == "done"}
    faults = [f"a captured killer can: {name}" for name in sorted(done - LEFT)]
    faults += [f"a captured killer can't, but THREATS.md says so: {name}" for name in sorted(LEFT - done)]
    if len(told) < _ATTEMPTS_AT_LEAST:
        faults.append(f"only {len(told)} attempts were made")
    return {"faults": faults, "refused": {name: outcome for name, outcome in told.items() if outcome != "done"}}


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
    }


def _told(since):
    """What became of each attempt, once all of them were made."""
    due = time.monotonic() + _PATIENCE_S
    told = {}
    while _LAST not in told and time.monotonic() < due:
        time.sleep(0.5)
        lines = machine.run(
            "journalctl", "-u", KILLER, "-o", "cat", "--no-pager", f"--since=@{int(since)}"
        ).splitlines()
        told = dict(json.loads(line) for line in lines if line.startswith('["'))
    return told
