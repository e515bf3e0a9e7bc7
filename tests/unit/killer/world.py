"""A world of processes for the tests of aim and flight: facts as the test decides, held by real descriptors.

Real descriptors, so that tests/conftest.py finds each one that is not closed.
"""

from __future__ import annotations

import os

import pytest

from bustd_killer import facts
from bustd_killer.aim import Aim
from bustd_killer.facts import Facts, Victim
from bustd_protocol.messages import Reason
from bustd_shared.kernel.procfs import Stat


class World:
    """PID to its facts, to the reason why it can't be opened, or to the error that opening it raises."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.processes: dict[int, Facts | Reason | OSError] = {}
        self.opened: list[int] = []
        self.ancestors: dict[int, set[int]] = {}
        monkeypatch.setattr(facts, "open_victim", self._open)
        monkeypatch.setattr(facts, "group_members", self._members)
        monkeypatch.setattr(facts, "descends_from", self._descends)

    def _open(self, pid: int, proc: str = "/proc") -> Victim | Reason:
        self.opened.append(pid)
        found = self.processes.get(pid, Reason.GONE)
        if isinstance(found, OSError):
            raise found
        if isinstance(found, Reason):
            return found
        return Victim(pid, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), found)

    def _members(self, group: int, proc: str = "/proc") -> list[int]:
        return [
            pid for pid, found in self.processes.items() if not isinstance(found, Facts) or found.stat.group == group
        ]

    def _descends(self, stat: Stat, ancestor: int, proc: str = "/proc") -> bool:
        return ancestor in self.ancestors.get(stat.start_ticks, set())


def close(aimed: object) -> list[int]:
    """Let go of the victims of an aim, or of a list of them; returns their PIDs."""
    assert isinstance(aimed, Aim | list), f"aimed at {aimed}"
    victims: list[Victim] = list(aimed.victims) if isinstance(aimed, Aim) else aimed
    for victim in victims:
        os.close(victim.pidfd)
    return [victim.pid for victim in victims]
