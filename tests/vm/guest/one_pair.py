"""The lock of the one pair with real systemd: who is first, what the second says, and who needs no lock."""

import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import daemons
import machine
from daemons import KILLER, MONITOR, log_of, main_pid

_LOCK = Path("/run/bustd/lock")
_BY_HAND = "by-hand.service"
_AS_MALLORY = ["setpriv", "--reuid=mallory", "--regid=mallory", "--clear-groups"]
_REFUSED = {"ActiveState": "failed", "ExecMainStatus": "73", "NRestarts": "0"}
_START_S, _LOOKS, _WATCHED_S = 120, 20, 20


def all_of():
    """(name, what it stands for in the core set or "", step) in the order in which they are taken."""
    return [
        ("one pair: its lock is there from the boot", "", lock_of_tmpfiles),
        ("one pair: bustd beside the units", "", bustd_beside_the_units),
        ("one pair: the units beside bustd", "", units_beside_bustd),
        ("one pair: who needs no lock", "", without_a_lock),
    ]


def lock_of_tmpfiles():
    faults, seen = [], _shown_lock()
    for unit in (MONITOR, KILLER, "bustd-killer.socket"):
        machine.run("systemctl", "stop", unit)
    _LOCK.unlink()
    machine.run("systemd-tmpfiles", "--create", "--boot", "--prefix=/run/bustd")
    again = _shown_lock()
    machine.run("systemctl", "start", MONITOR)
    daemons.await_killer()
    for shown in (seen, again):
        if shown != "root:bustd-killer 660 fifo":
            faults.append(f"the lock is {shown}")
    if "warning: whether another pair" in log_of(KILLER, since=time.time() - _START_S):
        faults.append("the killer of the units did not find its lock")
    return {"faults": faults, "lock": seen}


def _shown_lock():
    return machine.run("stat", "-c", "%U:%G %a %F", str(_LOCK)).strip()


def bustd_beside_the_units():
    """In the foreground, as `make run` starts it too, and in the background."""
    faults, first, said = [], main_pid(KILLER), []
    for words in (["bustd", "-n"], ["bustd"], ["bustd", "run"]):
        done = subprocess.run(words, capture_output=True, text=True, timeout=_START_S)
        said.append(done.stderr.strip())
        wanted = f"a pair protects this machine already, with the killer {first}: it is {KILLER}, and `systemctl stop"
        if done.returncode != os.EX_CANTCREAT or wanted not in done.stderr:
            faults.append(f"{' '.join(words)} ended with {done.returncode} and said: {done.stderr}")
    if main_pid(KILLER) != first or daemons.inactivity("bustd"):
        faults.append("the units were disturbed")
    return {"faults": faults, "said": said}


def units_beside_bustd():
    """The killer of the units ends with 73, and is not started again but by the monitor's next, rarer connections."""
    faults = []
    machine.run("systemctl", "stop", MONITOR, KILLER)
    with _by_hand("bustd", "-n") as said:
        if not _starts(said):
            return {"faults": [f"`bustd -n` does not start: {said()}"]}
        since, first = time.time(), main_pid(_BY_HAND)
        machine.run("systemctl", "start", MONITOR)
        time.sleep(_WATCHED_S)
        told, status = log_of(KILLER, since=since), machine.show(MONITOR, "StatusText")["StatusText"]
        is_left_alone = machine.within(_START_S, lambda: _shown_killer() == _REFUSED)  # between two tries
        shown = _shown_killer()
        refusals = told.count(f"NOT STARTED: a pair protects this machine already, with the killer {first}: ")
    daemons.await_killer()  # nobody has to start it: the lock is free, and the monitor connects again
    if not is_left_alone:
        faults.append(f"the killer beside `bustd -n` is {shown}")
    if not 1 <= refusals <= 12:
        faults.append(f"{refusals} starts in {_WATCHED_S} s: {told}")
    if "NOT PROTECTED" not in status:
        faults.append(f"the monitor's status was: {status}")
    return {"faults": faults, "starts_in_20_s": refusals, "status": status, "said": told.splitlines()[-3:]}


def _shown_killer():
    return machine.show(KILLER, *_REFUSED)


def without_a_lock():
    """Each of these starts although the units have the lock."""
    faults, killer = [], main_pid(KILLER)
    restricted = ["bustd", "-n", "--only-descendants-of", str(os.getpid())]
    for words in (["bustd", "-n", "--dry-run"], restricted, [*_AS_MALLORY, "bustd", "-n"]):
        with _by_hand(*words) as said:
            if not _starts(said):
                faults.append(f"{' '.join(words)} does not start: {said()}")
    if main_pid(KILLER) != killer or daemons.inactivity("bustd"):
        faults.append("the units were disturbed")
    return {"faults": faults}


def _starts(said):
    """Whether it starts. It may be an ordinary user's, with no priority: a step that looks often delays it."""
    for _ in range(_LOOKS):
        time.sleep(_START_S / _LOOKS)
        if "connected to the killer" in said():
            return True
    return False


@contextmanager
def _by_hand(*command):
    """A pair in a unit of its own, until the end of the block. Yields what tells what it has said."""
    since = time.time()
    machine.run("systemd-run", "--quiet", "--collect", f"--unit={_BY_HAND}", *command)
    try:
        yield lambda: log_of(_BY_HAND, since=since)
    finally:
        machine.run("systemctl", "stop", _BY_HAND, check=False)
