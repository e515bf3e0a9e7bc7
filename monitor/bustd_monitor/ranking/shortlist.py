"""The few processes that matter, found without looking closely at the many that do not."""

from __future__ import annotations

import os

from ..config import Matchers, Victims
from ..sensing import processes
from ..sensing.processes import Process
from . import order
from .order import Ranking, Terms

_ENOUGH_CANDIDATES = 16
_ENOUGH_LOOKED_AT = 48
_MOST_LOOKED_AT = 256
_NOTHING = Matchers((), (), (), ())


class Shortlist:
    """Finds candidates in the process table under `proc`. Command lines are remembered from before the crisis."""

    def __init__(self, proc: str = "/proc", *, only_descendants_of: int = 0) -> None:
        self._proc = proc
        self._only_descendants_of = only_descendants_of
        self._own = {os.getpid(), os.getppid()}
        self._commands: dict[tuple[int, int], str] = {}

    def rank(self, terms: Terms, refused: frozenset[tuple[int, int]] = frozenset()) -> Ranking:
        """The order in which to ask. `refused` are (PID, start time) that the killer has refused already."""
        close_look: list[Process] = []
        eligible = eligible_equals = last_score = 0
        for pid, score in self._by_score():
            process = processes.read_process(pid, score, self._proc)
            if process is None or (pid, process.start_ticks) in refused:
                continue
            process = process._replace(command=self._commands.get((pid, process.start_ticks), ""))
            close_look.append(process)
            helps = not order.why_spared(process, terms)
            eligible += helps
            eligible_equals = helps + (eligible_equals if score == last_score else 0)
            last_score = score
            if _is_enough(len(close_look), eligible, eligible_equals, terms.victims):
                break
        return order.rank(close_look, terms)

    def remember_commands(self, victims: Victims) -> None:
        """Read the command lines of those that are likely to be ranked: reading them later could block."""
        remembered = {}
        for pid, score in self._by_score()[: _MOST_LOOKED_AT if _asks_for_commands(victims) else _ENOUGH_CANDIDATES]:
            process = processes.read_process(pid, score, self._proc)
            if process is not None:
                key = (pid, process.start_ticks)
                known = self._commands.get(key)
                remembered[key] = processes.read_command(pid, self._proc) if known is None else known
        self._commands = remembered

    def _by_score(self) -> list[tuple[int, int]]:
        """(PID, oom_score), the highest score first; equal scores by resident memory."""
        found = [(score, pid) for score, pid in processes.scores(self._proc) if pid not in self._own]
        if self._only_descendants_of:
            ancestor = self._only_descendants_of
            found = [(score, pid) for score, pid in found if ancestor in processes.ancestors(pid, self._proc)]
        found.sort(reverse=True)
        if len(found) > _MOST_LOOKED_AT:
            # Only those that may be looked at closely: statm of thousands of equals would cost a file each.
            least = found[_MOST_LOOKED_AT - 1][0]
            found = [pair for pair in found if pair[0] >= least]
        sized = [(score, processes.resident_bytes(pid, self._proc), pid) for score, pid in found]
        sized.sort(reverse=True)
        return [(pid, score) for score, _, pid in sized]


def _is_enough(looked_at: int, eligible: int, eligible_equals: int, victims: Victims) -> bool:
    """With a candidate in hand nobody looks through a crowd of those too small to help, which share one low score.

    Where one of those with the present score would help, the others may hold more, in swap.
    """
    if looked_at >= _MOST_LOOKED_AT:
        return True
    past_the_crowd = looked_at >= _ENOUGH_LOOKED_AT and eligible > 0 and not eligible_equals
    enough = eligible >= _ENOUGH_CANDIDATES or past_the_crowd
    return enough and not _moves_places(victims)


def _asks_for_commands(victims: Victims) -> bool:
    return bool(victims.prefer.commands or victims.avoid.commands or victims.never.commands)


def _moves_places(victims: Victims) -> bool:
    """Whether somebody further down the scores could come first: a preference or an avoidance moves 300 points."""
    return victims.prefer != _NOTHING or victims.avoid != _NOTHING
