"""`bustd selftest` with real systemd: what it says of the machine, who may run it, what a killed one leaves."""

import re
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import daemons
import machine
from daemons import KILLER, MONITOR, main_pid

_BUT = "the sandbox works, but this machine is not protected, because "
_AS_MALLORY = ["setpriv", "--reuid=mallory", "--regid=mallory", "--clear-groups"]
_LONGEST_S, _GONE_S = 300, 60
_COPY = "bustd-selftest-monitor.service"


def all_of():
    """(name, what it stands for in the core set or "", step) in the order in which they are taken."""
    return [
        ("selftest: inside the units", "a command that is run on a machine whose daemons run", inside),
        ("selftest: a dry run", "", dry_run),
        ("selftest: a rule that spares all", "", all_spared),
        ("selftest: a unit that has failed", "", unit_failed),
        ("selftest: as an ordinary user", "", of_a_user),
        ("selftest: nothing is left of a killed one", "", killed),
    ]


def inside():
    before = main_pid(MONITOR), main_pid(KILLER)
    code, said = _selftest()
    faults = [] if code == 0 else [f"selftest ended with {code}: {said}"]
    if "inside" not in said:
        faults.append("selftest did not say that it ran inside the units")
    if (main_pid(MONITOR), main_pid(KILLER)) != before:
        faults.append("selftest disturbed the daemons that protect the machine")
    return {"faults": faults + _left(), "said": said}


def dry_run():
    with _configured("dry_run = true\n"):
        return _not_protected("dry_run is set: the monitor never asks for a kill")


def all_spared():
    with _configured("[victims.never]\nnames = ['*']\n"):
        return _not_protected('victims.never.names has "*", which spares every process')


def unit_failed():
    with _failed():
        return _not_protected(f"{MONITOR} is failed")


def _not_protected(reason):
    """The copies kill their leak, and it says why nothing else would die."""
    code, said = _selftest()
    faults = []
    if code != 1 or f"{_BUT}{reason}" not in said or not said.startswith("selftest passed inside "):
        faults.append(f"where {reason}, selftest ended with {code}: {said}")
    return {"faults": faults + _left(), "said": said}


@contextmanager
def _configured(settings):
    daemons.configure(settings)
    try:
        yield
    finally:
        daemons.configure("")


@contextmanager
def _failed():
    """The monitor's unit has failed, and its configuration is right by now."""
    drop_in = Path(f"/run/systemd/system/{MONITOR}.d/once.conf")
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text("[Service]\nRestart=no\nExecStartPre=/bin/false\n")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", MONITOR, check=False)
    drop_in.unlink()
    drop_in.parent.rmdir()
    machine.run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        machine.run("systemctl", "restart", MONITOR)
        daemons.await_killer()


def of_a_user():
    """It is a standalone pair of that user's; the state of the units is told to any user."""
    code, said = _selftest(*_AS_MALLORY)
    wanted = r"selftest passed: the pair killed the leak.*\nthe installed units were not tested: that needs root"
    faults = [] if code == 0 and re.fullmatch(wanted, said) else [f"mallory's selftest ended with {code}: {said}"]
    with _configured("dry_run = true\n"):
        code, said = _selftest(*_AS_MALLORY)
    if code != 1 or f"{_BUT}dry_run is set" not in said:
        faults.append(f"where dry_run is set, mallory's selftest ended with {code}: {said}")
    return {"faults": faults, "said": said}


def killed():
    """By SIGKILL, while its copies run: no process, no unit and no file of it is there soon afterwards."""
    faults = []
    with subprocess.Popen(["bustd", "selftest"], stdout=subprocess.DEVNULL) as selftest:
        if not machine.within(_LONGEST_S, lambda: main_pid(_COPY) or selftest.poll() is not None):
            faults.append("the copies do not run")
        ran = [pid for pid in (main_pid(_COPY), *_children_of(selftest.pid)) if pid]
        selftest.kill()
    if len(ran) < 3:
        faults.append(f"it was killed too early or too late, with the processes {ran}")
    begun = time.monotonic()
    machine.within(_GONE_S, lambda: not (_left() or [pid for pid in ran if Path(f"/proc/{pid}").exists()]))
    faults += _left() + [f"process {pid} lives on" for pid in ran if Path(f"/proc/{pid}").exists()]
    return {"faults": faults, "gone_after_s": round(time.monotonic() - begun, 1)}


def _selftest(*how):
    done = subprocess.run([*how, "bustd", "selftest"], capture_output=True, text=True, timeout=_LONGEST_S, cwd="/")
    return done.returncode, (done.stdout + done.stderr).strip()


def _children_of(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _left():
    """What there is of a selftest, each as a fault."""
    files = [path for place in ("/run/systemd/system", "/run") for path in Path(place).glob("bustd-selftest*")]
    units = machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "bustd-selftest*").split("\n")
    return [f"selftest left {path}" for path in files] + [f"selftest left the unit {unit}" for unit in units if unit]
