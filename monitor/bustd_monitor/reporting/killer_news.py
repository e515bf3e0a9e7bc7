"""What the log is told of the connection to the killer: what is news at once, and the same with growing pauses.

A killer that says Hello and hangs up would fill the log, once a second while memory is short. So a killer is told of at
once only if none was told of recently, else as soon as the pause is over and it is still there. The end of a connection
that was told of is always told: the last of these lines says whether this machine is protected.
"""

from __future__ import annotations

from collections.abc import Callable

from ..deciding.events import Event, NotProtected, Ready, Warned
from . import connection
from .repeated import Repeated

LASTS_MS = 10_000
"""After this time a connection has lasted, and everything is news again."""
_CONNECTED, _LOST = "connected", "lost"


class KillerNews:
    """Times are monotonic milliseconds. `due_ms`: when `keep` must be called, None while nothing is left to say."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._repeated = Repeated(tell)
        self._left: tuple[Event, ...] = ()
        """What there is to say of the killer that was met last."""
        self._is_said = False
        self._lasts_ms: int | None = None
        self._says_version = True
        self.due_ms: int | None = None

    def unreachable(self, now_ms: int) -> None:
        """Memory is short, and there is no killer."""
        self._repeated.tell(NotProtected(connection.UNREACHABLE), now_ms, connection.UNREACHABLE)

    def not_connected(self, trouble: str, now_ms: int, key: str) -> None:
        """An attempt to connect has failed. `key`: what makes it the same trouble."""
        self._repeated.tell(NotProtected(connection.not_connected(trouble)), now_ms, key)

    def met(self, killer_pid: int, warnings: tuple[str, ...], now_ms: int) -> bool:
        """A killer has said Hello. Whether that was told: if not, it is told later, if it stays."""
        self._says_version = True
        self._left = (Ready(killer_pid), *(Warned(warning) for warning in warnings))
        self._lasts_ms = now_ms + LASTS_MS
        self.due_ms = min(self._repeated.due_ms(_CONNECTED), self._lasts_ms)
        self.keep(now_ms)
        return self._is_said

    def keep(self, now_ms: int) -> None:
        """Say what is left to say, if it is time to."""
        if self.due_ms is None or now_ms < self.due_ms:
            return
        self._forget_if_lasted(now_ms)
        ready, *warnings = self._left
        self._repeated.tell(ready, now_ms, _CONNECTED)
        for warning in warnings:
            self._tell(warning)
        self._is_said, self.due_ms = True, None

    def lost(self, why: str, now_ms: int) -> None:
        """The connection is gone."""
        event = NotProtected(connection.lost(why))
        if self._end(now_ms):
            self._tell(event)
        else:
            self._repeated.tell(event, now_ms, _LOST)

    def lost_for_its_version(self, why: str, now_ms: int) -> None:
        """It speaks another version of the protocol: said once, until one speaks the right one."""
        self._end(now_ms)
        if self._says_version:
            self._tell(NotProtected(connection.lost(why)))
            self._says_version = False

    def _end(self, now_ms: int) -> bool:
        """Of a killer that is gone nothing is left to say. Whether it was told of."""
        self._forget_if_lasted(now_ms)
        was_said, self._is_said, self.due_ms, self._lasts_ms = self._is_said, False, None, None
        return was_said

    def _forget_if_lasted(self, now_ms: int) -> None:
        if self._lasts_ms is not None and now_ms >= self._lasts_ms:
            self._repeated.forget()
