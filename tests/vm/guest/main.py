"""The guest's runner: does what job.json says, reports each step to the host, and switches the machine off."""

import json
import os
import resource
import traceback
from functools import partial
from pathlib import Path

import daemons
import machine
import package
import promises
import sandbox
import scenario

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
    before = package.everything() if job["promises"] else set()
    if job["daemon"] == "bustd":
        _told("install", 400, lambda: daemons.install("/run/job/" + job["deb"]))
    daemons.start(job["daemon"])
    for description in job["scenarios"]:
        step = partial(scenario.perform, description, job["daemon"], job["traces"])
        _told(description["name"], scenario.longest_seconds(description) + _SPARE_S, step)
    if job["promises"]:
        for name, core, promise in [*sandbox.all_of(), *promises.all_of(), *package.all_of(job, before)]:
            if core or job["promises"] == "all":
                _told(name, 600, promise)


def _told(name, seconds, step):
    """A step with its beginning, the time after which the host may give it up, and its report, be it an exception."""
    machine.emit("start", name=name, seconds=seconds)
    try:
        machine.emit("report", name=name, report=step())
    except Exception:
        machine.emit("report", name=name, report={"error": traceback.format_exc()})


if __name__ == "__main__":
    main()
