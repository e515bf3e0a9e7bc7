"""Who was there and who is not any more: the processes of units, each held by its pidfd from when it was first seen."""

import os
import select
import time
from pathlib import Path

import machine

_UNTRACKED = ("(udev-worker)", "(sd-pam)", "systemd-run", "systemctl", "sshd-session")
"""They come and go by themselves."""


class Herd:
    """The processes below some control groups, those that `look` has seen: it must be called often enough."""

    def __init__(self, groups):
        self._groups = groups
        self._held = {}
        self._newcomers = []
        self._poll = select.poll()
        self.dead = {}
        """By group: (PID, name, monotonic seconds) of each that has ended."""

    def look(self):
        """Take hold of new processes, and notice those that have ended."""
        self.hold_newcomers()
        self.notice_deaths()

    def hold_newcomers(self):
        """Take hold of those that are not held yet."""
        self._name_again()
        for group, cgroup in self._groups.items():
            known = {pid for pid, _, of in self._held.values() if of == group}
            for pid in machine.processes_of(cgroup):
                if pid not in known:
                    self._hold(pid, group)

    def notice_deaths(self):
        """Of those that are held."""
        for descriptor, _ in self._poll.poll(0):
            pid, name, group = self._let_go(descriptor)
            self.dead.setdefault(group, []).append((pid, name, time.monotonic()))

    def alive(self, group):
        """How many of a group are left."""
        return sum(of == group for _, _, of in self._held.values())

    def close(self):
        """Let go of all."""
        for descriptor in self._held:
            os.close(descriptor)
        self._held.clear()

    def _hold(self, pid, group):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        name = _name(pid) or "?"
        if _comes_and_goes(name):
            os.close(descriptor)
            return
        self._held[descriptor] = pid, name, group
        self._newcomers.append(descriptor)
        self._poll.register(descriptor, select.POLLIN)

    def _name_again(self):
        """A fork has the name of its parent until it gives itself another, as the workers of systemd-udevd do."""
        for descriptor in self._held.keys() & self._newcomers:
            pid, name, group = self._held[descriptor]
            now = _name(pid) or name
            if _comes_and_goes(now):
                self._let_go(descriptor)
            else:
                self._held[descriptor] = pid, now, group
        self._newcomers.clear()

    def _let_go(self, descriptor):
        self._poll.unregister(descriptor)
        os.close(descriptor)
        return self._held.pop(descriptor)


def _name(pid):
    """What it calls itself now, None if it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip()
    except OSError:
        return None


def _comes_and_goes(name):
    return name in _UNTRACKED or name.startswith("(sd-")


def services():
    """The control groups of everything that runs and is not part of a scenario: nobody there may die."""
    found = {"init.scope": "init.scope"}
    for parent in ("system.slice", "bustd.slice"):
        for path in Path("/sys/fs/cgroup", parent).glob("*.service"):
            found[path.name] = f"{parent}/{path.name}"
    return found
