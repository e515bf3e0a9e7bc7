"""The guest's runner: does what job.json says, reports each step to the host, and switches the machine off."""

import json
import os
import traceback
from pathlib import Path

import daemons
import machine
import package
import promises
import sandbox
import scenario


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
    machine.make_program_file()
    before = package.everything() if job["promises"] else set()
    if job["daemon"] == "bustd":
        _told("install", lambda: {"log": daemons.install("/run/job/" + job["deb"]).splitlines()[-5:]})
    daemons.start(job["daemon"])
    for description in job["scenarios"]:
        _told(description["name"], lambda description=description: scenario.perform(description, job["daemon"]))
    if job["promises"]:
        for name, promise in [*sandbox.all_of(), *promises.all_of(), *package.all_of(job, before)]:
            _told(name, promise)


def _told(name, step):
    """A step with its beginning and its report; one that raises is a report too."""
    machine.emit("start", name=name)
    try:
        machine.emit("report", name=name, report=step())
    except Exception:
        machine.emit("report", name=name, report={"error": traceback.format_exc()})


if __name__ == "__main__":
    main()
