"""The guest's runner: does what job.json says, reports each step to the host, and switches the machine off.

A story goes on after a reboot: this runner is started at each boot.
"""

import json
import os
import resource
import signal
import time
import traceback
from functools import partial
from pathlib import Path

import daemons
import machine
import one_pair
import package
import promises
import sandbox
import scenario
import selftests
import story
import system
from heartbeat import Heartbeat

_SPARE_S = 240
_OF_THE_UNITS = (sandbox, system, selftests, one_pair, promises)


def main():
    job = json.loads(Path("/run/job/job.json").read_text())
    machine.PLACE.mkdir(exist_ok=True)
    machine.PLACE.chmod(0o1777)
    try:
        perform = story.perform if job["is_story"] else _perform
        if perform(job, partial(_told, _prepared())):
            signal.pause()  # until the machine is down
        machine.emit("done")
    except BaseException:
        machine.emit("broken", why=traceback.format_exc())
    os.system("systemctl poweroff --force --force")


def _prepared():
    """The heartbeat of a runner that stays in memory, and may hold a pidfd for each process that is watched."""
    machine.lock_memory()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return Heartbeat()


def _perform(job, tell):
    machine.make_program_file()
    before = package.everything() if job["promises"] else set()
    if job["daemon"] == "bustd":
        tell("install", 400, lambda: daemons.install("/run/job/" + job["deb"]))
    daemons.start(job["daemon"])
    for description in job["scenarios"]:
        step = partial(scenario.perform, description, job["daemon"], job["traces"])
        tell(description["name"], scenario.longest_seconds(description) + _SPARE_S, step)
    if job["promises"]:
        of_the_units = [step for room in _OF_THE_UNITS for step in room.all_of()]
        for name, core, promise in [*of_the_units, *package.all_of(job, before)]:
            if is_asked(name, core, job["promises"]):
                tell(name, 600, promise)


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
    return report


if __name__ == "__main__":
    main()
