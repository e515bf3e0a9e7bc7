"""The agent's loop: events, the session's bus and the clock come in; notifications, signals and marks go out."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bustd_shared.daemon.log import printable
from bustd_shared.kernel import process, procfs

from . import crisis, own_process, texts
from .candidates import Glance, NamedProcess
from .crisis import Crisis
from .desk import DEATHS, Desk, Dismissed, PressedKey
from .following import Follower, Following
from .own_process import CannotTouch
from .session_bus import SessionBus
from .sparing import MINUTES, Sparing, is_of_the_session

LOOK_MS = 1000
"""While a warning is on, the agent looks this often whether memory is back."""
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Agent:
    """What the agent knows, and what it does with what comes."""

    def __init__(self, bus: SessionBus, follower: Follower, sparing: Sparing) -> None:
        self._bus = bus
        self._follower = follower
        self._sparing = sparing
        self._desk = Desk(bus)
        self._crisis = Crisis(os.getuid())
        self._trouble = ""

    def turn(self) -> int | None:
        """Everything that can be done now; for how many milliseconds to wait then, None for as long as nothing comes.

        Raises NoBus.
        """
        for message in self._bus.received():
            done = self._desk.on(message, _now_ms())
            if isinstance(done, PressedKey):
                self._pressed(done.key)
            elif isinstance(done, Dismissed):
                dismiss = crisis.dismissed_deaths if done.place == DEATHS else crisis.dismissed_warning
                self._crisis = dismiss(self._crisis)
        for heard in self._follower.take():
            if isinstance(heard, Following):
                self._crisis = crisis.reconnected(self._crisis)
            else:
                self._crisis = crisis.heard(self._crisis, heard, _now_us(), self._look)
        now_ms = _now_ms()
        self._crisis = crisis.passed(self._crisis, now_ms)
        if self._crisis.alarm is not None:
            self._crisis = crisis.available(self._crisis, available_bytes())
        self._sparing.take_back(now_ms)
        retry_ms = self._desk.show(crisis.wanted(self._crisis), now_ms)
        self._complain()
        due = [one for one in (retry_ms, self._sparing.next_ms()) if one is not None]
        if self._crisis.alarm is not None:
            due.append(now_ms + LOOK_MS)
        return max(min(due) - now_ms, 0) if due else None

    def _look(self, target: NamedProcess) -> Glance:
        """What the user may do with a process. To end what the session depends on is no offer."""
        if is_of_the_session(target.comm.encode("utf-8", "surrogateescape")):
            return Glance()
        return Glance(own_process.may_end(target), self._sparing.may_spare(target))

    def _pressed(self, key: str) -> None:
        offered = crisis.offered(self._crisis, key)
        if offered is None:
            return
        target, choice = offered
        ends = choice == crisis.END
        try:
            if ends:
                own_process.ask_to_end(target)
                answer = texts.ending(target)
            else:
                self._sparing.spare(target, _now_ms())
                answer = texts.spared(target, MINUTES)
        except CannotTouch as why:
            answer = (texts.not_ended if ends else texts.not_spared)(target, str(why))
        _say(answer)
        self._crisis = crisis.answered(self._crisis, target, answer, self._look)

    def _complain(self) -> None:
        """Say once that nothing can be shown."""
        if self._desk.trouble != self._trouble:
            self._trouble = self._desk.trouble
            if self._trouble:
                _say(f"no notification can be shown: {self._trouble}")


def serve(bus: SessionBus, events_path: str, sparing: Sparing) -> None:
    """Run until a signal ends it. Every mark is taken back then. Raises NoBus."""
    sparing.take_back_leftovers()
    with _wakeable() as (woken, wake), _stopping() as is_stopped:
        follower = Follower(events_path, wake)
        poll = select.poll()
        poll.register(bus.fileno(), select.POLLIN)
        poll.register(woken, select.POLLIN)
        agent = Agent(bus, follower, sparing)
        follower.start()
        try:
            while not is_stopped():
                poll.poll(agent.turn())
                _drain(woken)
        finally:
            follower.stop()
            sparing.take_back()


def available_bytes() -> int:
    """MemAvailable now, 0 if it can't be read."""
    meminfo = procfs.parse_meminfo(process.read_file("/proc/meminfo") or b"")
    return (meminfo.available or 0) if meminfo is not None else 0


@contextmanager
def _wakeable() -> Iterator[tuple[int, Callable[[], None]]]:
    """A descriptor that becomes readable when a signal comes, or when the function is called in any thread.

    The interpreter writes to it in the signal's own handler: what a Python handler writes comes too late for a signal
    between its last look and the poll.
    """
    woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def wake() -> None:
        try:
            os.write(waker, b"\0")
        except OSError:
            pass  # it is full, and so readable; or the program ends

    before = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    try:
        yield woken, wake
    finally:
        signal.set_wakeup_fd(before)
        for descriptor in (woken, waker):
            os.close(descriptor)


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Whether a signal has come that ends the agent."""
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in _STOPPING}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _drain(descriptor: int) -> None:
    try:
        while os.read(descriptor, 4096):
            pass
    except BlockingIOError:
        pass


def _now_us() -> int:
    return time.monotonic_ns() // 1000


def _now_ms() -> int:
    return _now_us() // 1000


def _say(sentence: str) -> None:
    sys.stderr.write(f"bustd notify: {printable(sentence)}\n")
    sys.stderr.flush()
