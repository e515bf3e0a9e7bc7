"""The file that a trace is written to. At most one second of it is lost, even if the kernel panics."""

from __future__ import annotations

import os
import threading

_SYNC_S = 0.5


class Full(Exception):
    """The trace has reached its largest size."""


class TraceFile:
    """A new file that only its owner can read, because it contains process names and perhaps command lines.

    Each frame is written at once, whole or not at all. A thread syncs the file to the disk: that can take long while
    memory is short, and the readings must not wait for it.
    """

    def __init__(self, path: str, most_bytes: int) -> None:
        """Raises OSError; FileExistsError if the file exists, because what it recorded can't be recorded again."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)
        self._most_bytes = most_bytes
        self.size = 0
        self._is_over = threading.Event()
        self._syncing = threading.Thread(target=self._sync, daemon=True)
        self._syncing.start()

    def write(self, frame: bytes) -> None:
        """Write a frame. Raises Full and OSError (ENOSPC, EIO): the file then ends with the frame before."""
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
        """Close the file; all of it is on the disk when this returns. Raises OSError."""
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
                return  # close() raises it
