"""A file of the kernel that is opened once and read again and again: in a crisis there may be no descriptor left."""

from __future__ import annotations

import os


class HeldFile:
    """`trouble` says why it could not be opened, or once not be read, "" if neither. Nothing here raises OSError."""

    def __init__(self, path: str, most_bytes: int) -> None:
        self._path, self._most_bytes = path, most_bytes
        self._descriptor = -1
        self.trouble = ""
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self.trouble = f"{path}: {error.strerror}"

    @property
    def is_open(self) -> bool:
        """Whether there is such a file, and it may be read."""
        return self._descriptor >= 0

    def read(self) -> bytes:
        """What it says now, b"" if it can't be read."""
        if self._descriptor < 0:
            return b""
        try:
            return os.pread(self._descriptor, self._most_bytes, 0)
        except OSError as error:
            self.trouble = f"{self._path}: {error.strerror}"
            return b""

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
