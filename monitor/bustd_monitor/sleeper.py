"""The monitor's sleep, and what ends it early: a signal, a PSI trigger, a word of the killer, a new reader."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable

from .deciding.events import Event, Warned
from .sensing.triggers import Triggers

LONGEST_TURN_S = 2.0
"""Then a signal ends what the kernel makes this process wait for. A process that ends while it is read in /proc leaves
it to the reader to close what it had mapped, and a TCP socket with SO_LINGER makes that wait as long as its owner
likes."""


class Sleeper:
    """From here on SIGTERM, SIGINT and SIGHUP end a sleep and are remembered until they are asked for."""

    def __init__(self, triggers: Triggers, tell: Callable[[Event], None], ancestor: int = -1) -> None:
        """`ancestor`: the pidfd of a process whose end ends a sleep, -1 for none."""
        self._triggers = triggers.descriptors
        self._tell = tell
        self._received: set[int] = set()
        self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda received, _frame: self._received.add(received))
        signal.signal(signal.SIGALRM, lambda *_: None)
        self._poll = select.poll()  # kept: what is polled changes with the connection alone
        self._poll.register(self._pipe[0], select.POLLIN)
        for descriptor in self._triggers:
            self._poll.register(descriptor, select.POLLPRI)
        if ancestor >= 0:
            self._poll.register(ancestor, select.POLLIN)
        self._ancestor = ancestor
        self.ancestor_has_ended = False
        self._killer = self._readers = -1
        self.killer_speaks = self.reader_knocks = False
        """Whether the killer has something to say, or is gone; whether a reader wants in: so the last sleep found."""

    @property
    def has_triggers(self) -> bool:
        """Whether the kernel ends a sleep when programs stall."""
        return bool(self._triggers)

    def listen(self, killer: int, readers: int = -1) -> None:
        """The descriptors of the connection to the killer and of the socket for readers, -1 for none.

        They hold for each sleep from now on.
        """
        self._killer = self._instead_of(self._killer, killer)
        self._readers = self._instead_of(self._readers, readers)

    def _instead_of(self, before: int, now: int) -> int:
        if now != before:
            if before >= 0:
                self._poll.unregister(before)
            if now >= 0:
                self._poll.register(now, select.POLLIN)
        return now

    def sleep(self, wait_ms: int) -> bool:
        """Sleep for this time, or until something ends it. Whether something did.

        A PSI descriptor without a working trigger returns at once for ever: it is dropped.
        """
        awake_without_end()
        events = self._poll.poll(wait_ms)
        signal.setitimer(signal.ITIMER_REAL, LONGEST_TURN_S, LONGEST_TURN_S)
        if not events:
            self.killer_speaks = self.reader_knocks = False
            return False
        ready = dict(events)
        for broken in [fd for fd in self._triggers if ready.get(fd, 0) & select.POLLERR]:
            self._tell(Warned("a PSI trigger has stopped working: polling instead"))
            self._triggers = tuple(fd for fd in self._triggers if fd != broken)
            self._poll.unregister(broken)
        if self._pipe[0] in ready:
            os.read(self._pipe[0], 64)
        self.killer_speaks, self.reader_knocks = self._killer in ready, self._readers in ready
        self.ancestor_has_ended = self._ancestor in ready
        return True

    def received(self, *numbers: int) -> bool:
        """Whether one of these signals has come since the last time that this was asked."""
        came = self._received & set(numbers)
        self._received -= came
        return bool(came)

    def close(self) -> None:
        """Let go of the pipe. The signals keep their handlers."""
        for descriptor in self._pipe:
            os.close(descriptor)


def awake_without_end() -> None:
    """No turn is interrupted until the next sleep is over. An alarm outlives an execve, and its handler does not."""
    signal.setitimer(signal.ITIMER_REAL, 0)
