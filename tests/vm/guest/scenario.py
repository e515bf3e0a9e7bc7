"""One scenario: units into work.slice, the leak last, and a look at who is left. The host judges what is reported."""

import json
import re
import subprocess
import time
from contextlib import ExitStack

import daemons
import machine
import signals
import stall
import traces
from daemons import KILLER
from disturbances import PREPARATIONS, strike, thaw
from herd import Herd, services
from reaction import reaction

_LOOK_EVERY_S = 0.05
_AFTER_THE_LAST_DEATH_S = 6
_LONGEST_LOG = 60
_LOG_PATIENCE_S = 30
_CONDITION = re.compile(r"bustd-killer: signalled SIG\w+ to \d+ .* for (\w+)")


def perform(scenario, daemon, is_traced=False):
    """Prepare, run, undo whatever happened. The report as a dictionary."""
    with ExitStack() as undo:
        if scenario["swap"] != "none":
            machine.swap_on(scenario["swap"], scenario["swap_mib"])
            undo.callback(machine.swap_off, scenario["swap"])
        if daemon == "bustd" and scenario["settings"]:
            undo.callback(daemons.configure, "")
            daemons.configure(scenario["settings"])
        idle_before = daemons.inactivity(daemon)
        for name in scenario["prepare"]:
            prepare, take_back = PREPARATIONS[name]
            undo.callback(take_back)
            prepare()
        machine.settle()
        since, restarts = time.time(), daemons.restarts(daemon)
        killers = {daemons.main_pid(KILLER)} if daemon == "bustd" else set()
        signals.begin()
        report, sent, series = _observed(scenario, is_traced)
        report["restarts"] = {unit: count - restarts[unit] for unit, count in daemons.restarts(daemon).items()}
    report["inactive_before"], report["inactive_after"] = idle_before, daemons.inactivity(daemon)
    if daemon == "bustd":
        report |= _killed(sent, killers | {daemons.main_pid(KILLER)}, series)
    log = _log(scenario, daemon, since)
    if report["probe"] is None:
        log += daemons.log_of("probe.service", since=since).splitlines()
    report["conditions"] = [name for line in log for name in _CONDITION.findall(line)]
    report["said"] = {text: sum(text in line for line in log) for text in scenario["says"] + scenario["says_once"]}
    report["log"] = log[-_LONGEST_LOG:]
    return report


def _killed(sent, killers, series):
    """Whom the killer itself has signalled, and how soon the first time."""
    ours = [one for one in sent if one.sender in killers]
    report = {"signalled": [one.pid for one in ours]}
    if ours and series:
        report |= reaction(series, int(ours[0].seconds * 1e9))
    return report


def _log(scenario, daemon, since):
    """What the daemon has said; for a while until it has said what it should: the journal may be behind."""
    deadline = time.monotonic() + _LOG_PATIENCE_S
    while True:
        machine.run("journalctl", "--sync")
        log = daemons.log(daemon, since)
        is_whole = all(any(text in line for line in log) for text in scenario["says"] + scenario["says_once"])
        if daemon != "bustd" or is_whole or time.monotonic() > deadline:
            return log
        time.sleep(1)


def _observed(scenario, is_traced):
    """Start everything, watch until it is over, stop everything. The report, all signals, and the probe's samples."""
    results = {name: machine.PLACE / f"{name}.json" for name in ("probe", "program")}
    for path in results.values():
        path.unlink(missing_ok=True)
    units = [work["unit"] for work in scenario["work"]]
    with ExitStack() as stack:
        herd = Herd({unit: f"work.slice/{unit}.service" for unit in [*units, "program"]})
        others = Herd(services())
        stack.callback(herd.close)
        stack.callback(others.close)
        stack.callback(_stop, units)
        stack.callback(thaw)
        machine.start_unit(
            "probe",
            "system.slice",
            "root",
            [f"{machine.GUEST}/probe.py", str(results["probe"])],
            ["OOMScoreAdjust=-1000"],
        )
        machine.start_unit("program", "work.slice", "alice", [f"{machine.GUEST}/program.py", str(results["program"])])
        others.hold_newcomers()  # and no later ones: services have children that come and go
        trace = stack.enter_context(traces.recorded(scenario)) if is_traced else {}
        for work in scenario["work"][:-1]:
            time.sleep(work["wait_s"])
            _start_work(work)
            herd.look()
        time.sleep(scenario["work"][-1]["wait_s"])
        begun = time.monotonic()
        available_before = machine.meminfo()["MemAvailable"]
        _start_work(scenario["work"][-1])
        blow = _watch(scenario, herd, others, begun)
        over = time.monotonic()
        report = {
            "seconds": round(over - begun, 1),
            "available_before_mib": available_before >> 20,
            "units": {unit: _fate(unit, herd, begun) for unit in [*units, "program"]},
            "others_dead": {unit: [pid for pid, _, _ in dead] for unit, dead in others.dead.items()},
            "blow": blow,
        }
        sent = signals.end()  # before those are stopped that are left
    found = {name: json.loads(path.read_text()) if path.exists() else None for name, path in results.items()}
    probe = found["probe"] or {"summary": None, "series": None}
    program = stall.summary(found["program"] or [], begun, over)
    report["stood_still_ms"] = stall.stood_still_ms(probe["series"]["ns"], begun, over) if probe["series"] else 0
    return report | trace | {"probe": probe["summary"], "program": program}, sent, probe["series"]


def _start_work(work):
    machine.start_unit(
        work["unit"], "work.slice", work["user"], [f"{machine.GUEST}/workload.py", *work["run"]], work["properties"]
    )


def longest_seconds(scenario):
    """After so many it is over in any case: on a machine that stands still for a while, memory falls late."""
    return 2 * scenario["seconds"]


def _watch(scenario, herd, others, begun):
    """Until the victims are dead and a while has passed, or the time is over. Whom the blow hit, and when.

    The time begins when memory has fallen as far as it must, and as much has gone to swap as must.
    """
    blow, over_s, lowest, most_swapped = None, longest_seconds(scenario), 100, 0
    doomed = [work["unit"] for work in scenario["work"] if work["fate"] in ("dies", "thinned")]
    while True:
        herd.look()
        others.notice_deaths()
        now_s, (available_percent, swapped_mib) = time.monotonic() - begun, machine.shortage()
        lowest, most_swapped = min(lowest, available_percent), max(most_swapped, swapped_mib)
        if scenario["blow"] and blow is None and available_percent <= scenario["blow_available_percent"]:
            blow = {"pid": strike(scenario["blow"]), "seconds": round(now_s, 2)}
        if lowest <= scenario["available_falls_to"] and most_swapped >= scenario["swap_takes_mib"]:
            over_s = min(over_s, now_s + scenario["seconds"])
        if doomed and all(herd.dead.get(unit) and not herd.alive(unit) for unit in doomed):
            over_s = min(over_s, now_s + _AFTER_THE_LAST_DEATH_S)
        if now_s >= over_s:
            return blow
        time.sleep(_LOOK_EVERY_S)


def _fate(unit, herd, begun):
    """How many are left, who died when, and how the main process ended (as waitid(2) has it)."""
    shown = machine.show(f"{unit}.service", "ExecMainPID", "ExecMainCode", "ExecMainStatus")
    return {
        "alive": herd.alive(unit),
        "dead": [
            {"pid": pid, "name": name, "seconds": round(t - begun, 2)} for pid, name, t in herd.dead.get(unit, [])
        ],
        "main_pid": int(shown.get("ExecMainPID") or 0),
        "main_code": int(shown.get("ExecMainCode") or 0),
        "main_status": int(shown.get("ExecMainStatus") or 0),
    }


def _stop(units):
    """What is left of a leak gets SIGKILL at once; the probe and the program write their results on SIGTERM."""
    services = [f"{unit}.service" for unit in units]
    subprocess.run(["systemctl", "kill", "--signal=SIGKILL", *services], capture_output=True)
    services += ["program.service", "probe.service"]
    try:
        subprocess.run(["systemctl", "stop", *services], capture_output=True, timeout=60)
    finally:
        subprocess.run(["systemctl", "reset-failed", *services], capture_output=True)
