"""The file that a trace is written to. It must lose no more than a second, even to a kernel that panics."""

from __future__ import annotations

import os
import threading

_SYNC_S = 0.5


class Full(Exception):
    """The trace has reached its largest size."""


class TraceFile:
    """A new file, only for its owner: process names, and command lines if they are recorded, are in it.

    Each frame goes to the kernel as it comes, whole or not at all. A thread asks the kernel to put them on the disk:
    that can take long while memory is short, and the readings must not wait for it.
    """

    def __init__(self, path: str, most_bytes: int) -> None:
        """Raises OSError; FileExistsError too, because a trace that was recorded once can't be recorded again."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._most_bytes = most_bytes
        self.size = 0
        self._is_over = threading.Event()
        self._syncing = threading.Thread(target=self._sync, daemon=True)
        self._syncing.start()

    def write(self, frame: bytes) -> None:
        """Raises Full, and OSError (ENOSPC, EIO): then the file ends with the frame before."""
        if self.size + len(frame) > self._most_bytes:
            raise Full
        left = frame
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            if len(left) < len(frame):
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(frame)

    def close(self) -> None:
        """What is written is on the disk when this returns. Raises OSError."""
        self._is_over.set()
        self._syncing.join()
        try:
            os.fdatasync(self._descriptor)
        finally:
            os.close(self._descriptor)

    def _sync(self) -> None:
        while not self._is_over.wait(_SYNC_S):
            try:
                os.fdatasync(self._descriptor)
            except OSError:
                return  # close() says so
