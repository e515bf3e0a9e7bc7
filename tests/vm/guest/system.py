"""What this machine is, and whether its systemd understands the units."""

import os
import platform

import machine


def all_of():
    """(name, what it stands for in the core set or "", step), as of the sandbox."""
    return [("system: systemd knows every key of the units", "the package is made for this systemd", versions)]


def versions():
    """The versions that matter to bustd."""
    said = machine.run("journalctl", "--boot", "--output=cat", "--no-pager", "_PID=1")
    seen = {"kernel": os.uname().release, "systemd": systemd(), "python": platform.python_version()}
    return {"faults": complaints(said), "versions": seen}


def complaints(said):
    """PID 1 names the file of a unit of ours only to say what is wrong with it."""
    return [line for line in said.splitlines() if "systemd/system/bustd" in line]


def systemd():
    """Its version as the distribution has it: "252.39-1~deb12u2"."""
    return machine.run("systemctl", "--version").split("(")[1].split(")")[0]
