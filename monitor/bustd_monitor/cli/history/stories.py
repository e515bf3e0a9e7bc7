"""From entries to stories: each decision, with everything that the log says of what led to it and what came of it.

Pure. Any entry may be missing: the journal was rotated, the monitor was restarted, the machine has stopped. Then there
is what is left. Times are those of one boot, on the clock that nobody sets; the wall clock only names a story.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ...reporting import connection, events
from ..entries import Entry
from .lines import KILLER

_RECENT_US = 60_000_000
"""What comes this long after the last of a story may still belong to it; so may what came as long before its start."""
_LONGEST_US = 900_000_000
"""A victim whose end was not told yet may have this much grace."""
_KILLER_FIRST_US = 2_000_000
"""The killer may log a kill before the monitor logs its decision: it asks first, and then tells."""
_MOST_BEFORE = 50

_OF_A_KILL = (events.ANSWERED, events.ENDED, events.LIVES, events.CAME_BACK)
_ENDS = (events.ENDED, events.LIVES)
_WITHOUT_A_VICTIM = (events.NO_VICTIM, events.KERNEL_KILLED)
_NO_PART = (events.VERBOSE, events.WARNED, events.NOTED, events.READ_AGAIN)


class Moment(NamedTuple):
    """An entry, and when it was made: microseconds on a clock of its boot that never goes back."""

    at_us: int
    entry: Entry


class Story(NamedTuple):
    """One kill or crisis. `began`: its decision, or what is left of it; one of `moments`, which are in their order."""

    boot: str
    began: Moment
    moments: tuple[Moment, ...]


def stories(entries: Iterable[Entry]) -> list[Story]:
    """The stories in these entries, the oldest boot first, as the entries have the boots."""
    return [story for boot, moments in by_boot(entries).items() for story in _of_a_boot(boot, moments)]


def by_boot(entries: Iterable[Entry]) -> dict[str, list[Moment]]:
    """The moments of each boot by its _BOOT_ID ("" where the entries have none), both in their order."""
    boots: dict[str, list[Entry]] = {}
    for entry in entries:
        boots.setdefault(entry.text("_BOOT_ID"), []).append(entry)
    return {boot: _timed(of_it) for boot, of_it in boots.items()}


def is_killers(entry: Entry) -> bool:
    """Whether the killer wrote it: its unit says so in the journal, and its name in the log file."""
    unit = entry.text("_SYSTEMD_UNIT")
    return unit == f"{KILLER}.service" if unit else entry.text("SYSLOG_IDENTIFIER") == KILLER


def _timed(entries: list[Entry]) -> list[Moment]:
    """By the monotonic clock. Without it (the log file) in the order of the entries, where no step goes back."""
    known = [(entry.number("__MONOTONIC_TIMESTAMP"), entry) for entry in entries]
    timed = [Moment(at_us, entry) for at_us, entry in known if at_us is not None]
    if len(timed) == len(entries):
        return sorted(timed, key=lambda moment: moment.at_us)
    moments, at_us, before_us = [], 0, entries[0].time_us
    for entry in entries:
        at_us, before_us = at_us + max(entry.time_us - before_us, 0), entry.time_us
        moments.append(Moment(at_us, entry))
    return moments


class _Draft:
    """A story that may go on."""

    def __init__(self, began: Moment, before: Iterable[Moment]) -> None:
        self.began = began
        self.moments = [*before]
        self.is_answered = False
        self.is_over = False
        self.last_us = began.at_us

    def add(self, moment: Moment) -> None:
        self.moments.append(moment)
        self.last_us = max(self.last_us, moment.at_us)
        self.is_answered = self.is_answered or moment.entry.kind is events.ANSWERED
        self.is_over = self.is_over or moment.entry.kind in _ENDS

    def goes_on_at(self, at_us: int) -> bool:
        return at_us - self.last_us <= (_RECENT_US if self.is_over else _LONGEST_US)


def _of_a_boot(boot: str, moments: list[Moment]) -> Iterator[Story]:
    joined = _Joined()
    for moment in moments:
        if not is_killers(moment.entry):
            joined.hear(moment)
    for moment in moments:
        if is_killers(moment.entry):
            joined.hear_killer(moment)
    for draft in sorted(joined.drafts, key=lambda draft: draft.began.at_us):
        yield Story(boot, draft.began, tuple(sorted(draft.moments, key=lambda moment: moment.at_us)))


class _Joined:
    """The stories of one boot so far, and what was told recently that a story may begin with."""

    def __init__(self) -> None:
        self.drafts: list[_Draft] = []
        self._by_pid: dict[int, list[_Draft]] = {}
        self._before: deque[Moment] = deque(maxlen=_MOST_BEFORE)

    def hear(self, moment: Moment) -> None:
        """An entry of the monitor, in the order of time."""
        entry, kind = moment.entry, moment.entry.kind
        pid = entry.own_number("VICTIM_PID")
        if kind is events.DECIDED:
            self._add(self._decided(moment, pid) or self._begin(moment), moment)
        elif kind in _OF_A_KILL:
            known = self._open(moment) if pid is None else self._about(pid, moment)
            self._add(known or self._begin(moment), moment)
        elif kind in _WITHOUT_A_VICTIM:
            self._add(self._open(moment) or self._begin(moment), moment)
        elif kind not in _NO_PART or entry.message == connection.DRY_RUN:
            known = self._open(moment)
            if known is None:
                self._before.append(moment)
            else:
                self._add(known, moment)
                known.is_over = known.is_over or kind is events.STARTED  # another monitor knows nothing of it

    def _decided(self, moment: Moment, pid: int | None) -> _Draft | None:
        """The story that a decision goes on: None if it begins one."""
        if "BUSTD_VICTIM_COMM" not in moment.entry.fields:
            return self._about(pid, moment)  # an escalation
        known = self._open(moment)
        if "BUSTD_DECIDED_US" not in moment.entry.fields:
            return known  # the next, after a refusal
        is_same = known is not None and not known.is_answered and known is self._about(pid, moment)
        return known if is_same else None  # a first choice, again if the killer could not be asked

    def hear_killer(self, moment: Moment) -> None:
        """A line of the killer. A signal that no monitor has told of is a story too."""
        entry = moment.entry
        known = self._about(entry.own_number("VICTIM_PID"), moment)
        if known is None and entry.kind is events.ANSWERED and entry.own("OUTCOME") == "signalled":
            known = self._begin(moment)
        if known is not None:
            self._add(known, moment)

    def _add(self, draft: _Draft, moment: Moment) -> None:
        draft.add(moment)
        pid = moment.entry.own_number("VICTIM_PID")
        known = self._by_pid.setdefault(pid, []) if pid is not None else None
        if known is not None and draft not in known[-1:]:
            known.append(draft)

    def _begin(self, moment: Moment) -> _Draft:
        recent = [one for one in self._before if 0 <= moment.at_us - one.at_us <= _RECENT_US]
        self.drafts.append(_Draft(moment, recent))
        self._before.clear()
        return self.drafts[-1]

    def _open(self, moment: Moment) -> _Draft | None:
        """The last story, if its end was not told and it is recent."""
        last = self.drafts[-1] if self.drafts else None
        is_open = last is not None and not last.is_over and moment.at_us - last.last_us <= _RECENT_US
        return last if is_open else None

    def _about(self, pid: int | None, moment: Moment) -> _Draft | None:
        """The last story in which this process was asked for, while it goes on."""
        for draft in reversed(self._by_pid.get(pid, []) if pid is not None else []):
            has_begun = draft.began.at_us - _KILLER_FIRST_US <= moment.at_us
            if has_begun and draft.goes_on_at(moment.at_us):
                return draft
        return None
