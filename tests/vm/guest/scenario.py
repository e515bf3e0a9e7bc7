"""One scenario: units into work.slice, the leak last, and a look at who is left. The host judges what is reported."""

import json
import subprocess
import time

import daemons
import machine
from disturbances import BLOWS, PREPARATIONS
from herd import Herd, services

_LOOK_EVERY_S = 0.05
_AFTER_THE_LAST_DEATH_S = 3
_PYTHON = ("/usr/bin/python3", "-s", "-E")
_GUEST = "/run/job/guest"
_LONGEST_LOG = 60


def perform(scenario, daemon):
    """Prepare, run, undo. The report as a dictionary."""
    undo = []
    try:
        machine.swap_on(scenario["swap"], scenario["swap_mib"])
        undo.append(lambda: machine.swap_off(scenario["swap"]))
        for name in scenario["prepare"]:
            prepare, take_back = PREPARATIONS[name]
            prepare()
            undo.append(take_back)
        if daemon == "bustd" and scenario["settings"]:
            daemons.configure(scenario["settings"])
            undo.append(lambda: daemons.configure(""))
        machine.settle()
        return _observed(scenario, daemon)
    finally:
        for take_back in reversed(undo):
            take_back()


def _observed(scenario, daemon):
    """Start everything, watch until it is over, stop everything."""
    since = time.time()
    results = {name: machine.PLACE / f"{name}.json" for name in ("probe", "program")}
    for path in results.values():
        path.unlink(missing_ok=True)
    units = [work["unit"] for work in scenario["work"]]
    herd = Herd({unit: f"work.slice/{unit}.service" for unit in [*units, "program"]})
    others = Herd(services())
    try:
        _start("probe", "system.slice", "root", [f"{_GUEST}/probe.py", str(results["probe"])], ["OOMScoreAdjust=-1000"])
        _start("program", "work.slice", "alice", [f"{_GUEST}/program.py", str(results["program"])])
        others.look()
        for work in scenario["work"][:-1]:
            _start_work(work)
            herd.look()
        begun = time.monotonic()
        available_before = machine.meminfo()["MemAvailable"]
        if scenario["work"]:
            _start_work(scenario["work"][-1])
        blow_s = _watch(scenario, herd, others, begun)
        report = {
            "seconds": round(time.monotonic() - begun, 1),
            "available_before_mib": available_before >> 20,
            "units": {unit: _fate(unit, herd, begun) for unit in [*units, "program"]},
            "others_dead": {unit: [name for _, name, _ in dead] for unit, dead in others.dead.items()},
            "blow_s": blow_s,
        }
    finally:
        for unit in [*units, "program", "probe"]:
            _stop(unit)
        herd.close()
        others.close()
    for name, path in results.items():
        report[name] = json.loads(path.read_text()) if path.exists() else None
    for unit in scenario["prepare"]:
        if unit == "stopped-journal":  # whatever it has to say is heard again when journald is
            PREPARATIONS[unit][1]()
    report["log"] = daemons.log(daemon, since)[-_LONGEST_LOG:]
    return report


def _start_work(work):
    _start(work["unit"], "work.slice", work["user"], [f"{_GUEST}/workload.py", *work["run"]], work["properties"])


def _start(unit, group, user, command, properties=()):
    """A transient unit; returns when it says that it is ready."""
    settings = [
        "Type=notify",
        "NotifyAccess=all",
        "RemainAfterExit=yes",
        f"User={user}",
        "TimeoutStartSec=60",
        *properties,
    ]
    options = [f"--property={setting}" for setting in settings]
    machine.run("systemd-run", "--quiet", f"--unit={unit}", f"--slice={group}", *options, *_PYTHON, *command)


def _watch(scenario, herd, others, begun):
    """Until the victims are dead and a while has passed, or the time is over. When the blow fell, if it did."""
    blow, blow_s, over_s = scenario["blow"], None, None
    doomed = [work["unit"] for work in scenario["work"] if work["fate"] == "dies"]
    while True:
        herd.look()
        others.look()
        now_s = time.monotonic() - begun
        if blow and blow_s is None and machine.available_percent() <= scenario["blow_available_percent"]:
            BLOWS[blow]()
            blow_s = round(now_s, 2)
        if over_s is None and doomed and all(herd.dead.get(unit) and not herd.alive(unit) for unit in doomed):
            over_s = now_s + _AFTER_THE_LAST_DEATH_S
        if now_s >= scenario["seconds"] or (over_s is not None and now_s >= over_s):
            return blow_s
        time.sleep(_LOOK_EVERY_S)


def _fate(unit, herd, begun):
    """How many are left, who died when, and how the main process ended (as waitid(2) has it)."""
    shown = machine.show(f"{unit}.service", "ExecMainCode", "ExecMainStatus", "Result", "MainPID")
    return {
        "alive": herd.alive(unit),
        "dead": [[name, round(when - begun, 2)] for _, name, when in herd.dead.get(unit, [])],
        "main_code": int(shown.get("ExecMainCode") or 0),
        "main_status": int(shown.get("ExecMainStatus") or 0),
        "result": shown.get("Result", ""),
    }


def _stop(unit):
    """The probe and the program write their results on SIGTERM; what is left of a leak gets SIGKILL at once."""
    if unit not in ("probe", "program"):
        subprocess.run(["systemctl", "kill", "--signal=SIGKILL", f"{unit}.service"], capture_output=True)
    subprocess.run(["systemctl", "stop", f"{unit}.service"], capture_output=True, timeout=60)
    subprocess.run(["systemctl", "reset-failed", f"{unit}.service"], capture_output=True)
