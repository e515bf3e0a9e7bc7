"""Takes back the memory of victims that have their SIGKILL, however slowly they exit: process_mrelease(2).

The call waits for a lock of the victim's memory, which the victim can hold for ever (while a page of a FUSE file is
read). So one thread makes the call, and nothing waits for that thread: not the loop, not the end of the process. It
needs no privilege. On a process that has no SIGKILL the call does nothing, so a wrong PID does no harm.
"""

from __future__ import annotations

import os
import select
import time
from _thread import allocate_lock, stack_size, start_new_thread

from bustd_shared.daemon import mrelease

MOST_HELD = 8
"""The victim and the largest of its members: each takes a descriptor."""

_STACK_BYTES = 256 * 1024
_TRIES, _PAUSE_S = 20, 0.05
"""The killer sends SIGKILL by itself when a SIGTERM's grace is over. It does not say so, and it may be late."""


class Reclaimer:
    """Holds the victims of one request until they have their SIGKILL, or do not die.

    The thread has at most one batch in its hands, and one more waits: however long it hangs, no more than 3 * MOST_HELD
    descriptors are taken.
    """

    def __init__(self) -> None:
        """Start the thread. Without one (no further task is permitted) the kernel takes the memory at the exit."""
        self.due_ms: int | None = None
        """When `keep` must be called: those that are held have their SIGKILL then."""
        self._held: list[int] = []
        self._waiting: list[int] = []
        self._lock = allocate_lock()
        self._wakeup = allocate_lock()
        self._wakeup.acquire()
        self._is_closed = False
        stack_size(_STACK_BYTES)
        try:
            start_new_thread(self._work, ())
        except RuntimeError:  # TasksMax=, ENOMEM
            self._is_closed = True

    def hold(self, pids: list[int]) -> None:
        """The victims of the request that is under way, at most MOST_HELD; those of the one before are let go."""
        self.drop()
        for pid in pids[:MOST_HELD]:
            try:
                self._held.append(os.pidfd_open(pid))
            except OSError:
                continue  # it is gone, or there is no descriptor

    def release_at(self, at_ms: int) -> None:
        """They will have their SIGKILL at this time (monotonic milliseconds), or a moment later."""
        self.due_ms = at_ms

    def keep(self, now_ms: int) -> None:
        """Do what is due."""
        if self.due_ms is not None and now_ms >= self.due_ms:
            self.release()

    def release(self) -> None:
        """They have their SIGKILL, or will have it in a moment: hand them to the thread."""
        self.due_ms = None
        if self._is_closed:
            self.drop()
        elif self._held:
            with self._lock:
                unseen, self._waiting = self._waiting, self._held
            self._held = []
            _close(unseen)
            self._wake()

    def drop(self) -> None:
        """They are gone, or do not die."""
        self.due_ms = None
        held, self._held = self._held, []
        _close(held)

    def close(self) -> None:
        """Let go of everything. The thread ends as soon as it does not hang."""
        self.drop()
        self._is_closed = True
        with self._lock:
            unseen, self._waiting = self._waiting, []
        _close(unseen)
        self._wake()

    def _wake(self) -> None:
        try:
            self._wakeup.release()
        except RuntimeError:  # it was not seen yet that the last one came
            pass

    # --- the thread

    def _work(self) -> None:
        while True:
            self._wakeup.acquire()
            if self._is_closed:
                return
            with self._lock:
                batch, self._waiting = self._waiting, []
            self._take(batch)

    def _take(self, batch: list[int]) -> None:
        """Take their memory, with a few tries. A batch that comes meanwhile is more urgent."""
        for _ in range(_TRIES):
            left = []
            for pidfd in batch:
                if mrelease.process_mrelease(pidfd) or _has_exited(pidfd):
                    os.close(pidfd)
                else:
                    left.append(pidfd)
            batch = left
            if not batch or self._waiting or self._is_closed:
                break
            time.sleep(_PAUSE_S)
        _close(batch)


def _has_exited(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _close(pidfds: list[int]) -> None:
    for pidfd in pidfds:
        os.close(pidfd)
