"""Takes the memory of victims that have their SIGKILL, however slow they are to die: process_mrelease(2).

The call waits for the lock of the victim's memory, which the victim can hold for ever (a page of a FUSE file under it).
So one thread makes it, and nothing waits for that thread. It needs no privilege, only a pidfd that was opened before.
"""

from __future__ import annotations

import os
from _thread import stack_size, start_new_thread

from bustd_shared.daemon import libc

MOST_HELD = 8
"""Of a batch the largest: each takes a descriptor."""

_STACK_BYTES = 262_144


class Reclaimer:
    """Holds the victims of one request, until they have their SIGKILL or are not to die after all."""

    def __init__(self) -> None:
        """Starts the thread. Without one (no more tasks) nothing is taken: the kernel does it when the victim exits."""
        self._held: list[int] = []
        self._work = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._work[1], False)
        before = stack_size(_STACK_BYTES)
        try:
            start_new_thread(self._take, ())
        except RuntimeError:
            pass
        finally:
            stack_size(before)

    def hold(self, pids: list[int]) -> None:
        """The victims of the next request; those of the one before are let go."""
        self.drop()
        for pid in pids[:MOST_HELD]:
            try:
                self._held.append(os.pidfd_open(pid))
            except OSError:
                continue  # it is gone, or there is no descriptor

    def release(self) -> None:
        """They have their SIGKILL: hand them to the thread."""
        for pidfd in self._held:
            try:
                os.write(self._work[1], pidfd.to_bytes(4, "little"))
            except OSError:  # the thread hangs, and the pipe is full
                os.close(pidfd)
        self._held = []

    def drop(self) -> None:
        """They are gone, or do not die."""
        for pidfd in self._held:
            os.close(pidfd)
        self._held = []

    def close(self) -> None:
        """End the thread, as soon as it does not hang."""
        self.drop()
        os.close(self._work[1])

    def _take(self) -> None:
        while packed := os.read(self._work[0], 4):
            pidfd = int.from_bytes(packed, "little")
            libc.process_mrelease(pidfd)
            os.close(pidfd)
        os.close(self._work[0])
