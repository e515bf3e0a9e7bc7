"""A world of processes for the tests of aim and flight: facts as the test decides, held by real descriptors.

Real descriptors, so that tests/conftest.py finds each one that is not closed.
"""

from __future__ import annotations

import os

import pytest

from bustd_killer import facts
from bustd_killer.aim import Aim
from bustd_killer.facts import Victim
from bustd_protocol.members import packed_members
from bustd_protocol.messages import KillRequest, Reason, Scope
from bustd_shared.kernel.process import ProcEntry
from bustd_shared.kernel.procfs import Stat

from .making import request


class World:
    """PID to what it is, to the reason why it can't be opened, or to the error that opening it raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.processes: dict[int, ProcEntry | Reason | OSError] = {}
        self.opened: list[int] = []
        self.ancestors: dict[int, set[int]] = {}
        monkeypatch.setattr(facts, "open_victim", self._open)
        monkeypatch.setattr(facts, "descends_from", self._descends)

    def group_request(self, *members: int, pid: int = 4711, **changed: object) -> KillRequest:
        """A request for the process group (or another scope in `changed`) with these members, as they are now."""
        return request(pid, **{"scope": Scope.GROUP, "members": self.packed(*members)} | changed)

    def packed(self, *members: int) -> bytes:
        """These members as the monitor names them; 1 is the start time of one that is not there."""
        found = [(pid, self.processes.get(pid)) for pid in members]
        return packed_members((pid, it.stat.start_ticks if isinstance(it, ProcEntry) else 1) for pid, it in found)

    def _open(self, pid: int, proc: str = "/proc") -> Victim | Reason:
        self.opened.append(pid)
        found = self.processes.get(pid, Reason.GONE)
        if isinstance(found, OSError):
            raise found
        if isinstance(found, Reason):
            return found
        return Victim(pid, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), found)

    def _descends(self, stat: Stat, ancestor: int, _pidfd: int, proc: str = "/proc") -> bool:
        return not ancestor or ancestor in self.ancestors.get(stat.start_ticks, set())


def close(aimed: object) -> list[int]:
    """Let go of the victims of an aim, or of a list of them; returns their PIDs."""
    assert isinstance(aimed, Aim | list), f"aimed at {aimed}"
    victims: list[Victim] = list(aimed.victims) if isinstance(aimed, Aim) else aimed
    for victim in victims:
        os.close(victim.pidfd)
    return [victim.pid for victim in victims]
