"""The guest's runner: does what job.json says, reports each step to the host, and switches the machine off."""

import json
import os
import resource
import time
import traceback
from functools import partial
from pathlib import Path

import daemons
import machine
import package
import promises
import sandbox
import scenario
import system
from heartbeat import Heartbeat

_SPARE_S = 240


def main():
    job = json.loads(Path("/run/job/job.json").read_text())
    machine.PLACE.mkdir(exist_ok=True)
    machine.PLACE.chmod(0o1777)
    try:
        _perform(job)
        machine.emit("done")
    except BaseException:
        machine.emit("broken", why=traceback.format_exc())
    os.system("systemctl poweroff --force --force")


def _perform(job):
    machine.lock_memory()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a pidfd for each process that is watched
    machine.make_program_file()
    heartbeat = Heartbeat()
    before = package.everything() if job["promises"] else set()
    if job["daemon"] == "bustd":
        _told(heartbeat, "install", 400, lambda: daemons.install("/run/job/" + job["deb"]))
    daemons.start(job["daemon"])
    for description in job["scenarios"]:
        step = partial(scenario.perform, description, job["daemon"], job["traces"])
        _told(heartbeat, description["name"], scenario.longest_seconds(description) + _SPARE_S, step)
    if job["promises"]:
        for name, core, promise in [
            *sandbox.all_of(),
            *system.all_of(),
            *promises.all_of(),
            *package.all_of(job, before),
        ]:
            if is_asked(name, core, job["promises"]):
                _told(heartbeat, name, 600, promise)


def is_asked(name, core, words):
    """Whether a promise is kept: the words are "all", "core", or names of promises."""
    return "all" in words or name in words or ("core" in words and core != "")


def _told(heartbeat, name, seconds, step):
    """A step with its beginning, the time after which the host may give it up, and its report, be it an exception.

    A scenario says itself how long the machine stood still; of other steps, and of an exception, the heartbeat does.
    """
    machine.emit("start", name=name, seconds=seconds)
    heartbeat.begin()
    begun = time.monotonic()
    try:
        report = step()
    except Exception:
        report = {"error": traceback.format_exc()}
    measured = {"took_s": round(time.monotonic() - begun, 1), "stood_still_ms": heartbeat.stood_still_ms()}
    machine.emit("report", name=name, report=measured | report)


if __name__ == "__main__":
    main()
