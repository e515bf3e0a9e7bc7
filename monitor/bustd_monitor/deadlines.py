"""When the killer must have answered, and when it is asked whether it is alive. Times are monotonic milliseconds."""

from __future__ import annotations

from bustd_protocol.messages import Exited, KillerHello, Message, Pong, Verdict

_EXIT_SPARE_MS = 2000
"""The killer says that a kill is over at the end of its own patience; this much later it counts as gone."""


def earliest(*times_ms: int | None) -> int | None:
    """The first of these times; None: nothing is due at any of them."""
    return min([time_ms for time_ms in times_ms if time_ms is not None], default=None)


class Deadlines:
    """Of one connection at a time. `answer_ms`: how long a verdict, or the answer to a ping, may take."""

    def __init__(self, answer_ms: int) -> None:
        self._answer_ms = answer_ms
        self._answer_due_ms: int | None = None
        self._pong_due_ms: int | None = None
        self._exit_patience_ms = 0
        self._pinged_ms: int | None = None

    def asked(self, now_ms: int) -> None:
        """A request was sent: a verdict is due."""
        self._answer_due_ms = now_ms + self._answer_ms

    def heard(self, message: Message, now_ms: int, *, owes_verdict: bool, is_flying: bool) -> None:
        """The killer has said this. `owes_verdict`: it has not answered an escalation that crossed it.

        `is_flying`: a kill is in flight now, whatever this answers.
        """
        if isinstance(message, KillerHello):
            self._exit_patience_ms = message.term_grace_ms + message.stuck_ms + _EXIT_SPARE_MS
            if message.flight_id:
                self._answer_due_ms = now_ms + self._exit_patience_ms
        elif isinstance(message, Verdict):
            self._answer_due_ms = now_ms + self._exit_patience_ms if is_flying else None
        elif isinstance(message, Exited) and not owes_verdict:
            self._answer_due_ms = None
        elif isinstance(message, Pong):
            self._pong_due_ms = None

    def must_ping(self, now_ms: int, every_ms: int) -> bool:
        """Whether it is time for a ping: `every_ms` after the last one, if that was answered."""
        if self._pinged_ms is None:
            self._pinged_ms = now_ms
        return self._pong_due_ms is None and now_ms >= self._pinged_ms + every_ms

    def ping_due_ms(self, every_ms: int) -> int | None:
        """When `must_ping` will be true; None: before that an answer is due."""
        return None if self._pinged_ms is None or self._pong_due_ms is not None else self._pinged_ms + every_ms

    def pinged(self, now_ms: int) -> None:
        """A ping was sent: its answer is due."""
        self._pinged_ms, self._pong_due_ms = now_ms, now_ms + self._answer_ms

    def are_over(self, now_ms: int) -> bool:
        """Whether an answer is overdue: the killer counts as gone."""
        due_ms = self.due_ms()
        return due_ms is not None and now_ms >= due_ms

    def due_ms(self) -> int | None:
        """When the first of them is over, None if nothing is due."""
        return earliest(self._answer_due_ms, self._pong_due_ms)

    def forget(self) -> None:
        """The connection is gone, and with it what was due."""
        self._answer_due_ms = self._pong_due_ms = None
