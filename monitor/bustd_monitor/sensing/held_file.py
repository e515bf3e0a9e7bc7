"""A file of the kernel that is opened once and read many times: in a crisis there may be no free descriptor."""

from __future__ import annotations

import os


class HeldFile:
    """Nothing here raises OSError: `trouble` says why the file could not be opened or read, "" if it could."""

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
        """Whether the file exists and could be opened."""
        return self._descriptor >= 0

    def read(self, most_bytes: int = 0) -> bytes:
        """The file's bytes now, b"" if it can't be read. `most_bytes`: its beginning is enough."""
        if self._descriptor < 0:
            return b""
        try:
            return os.pread(self._descriptor, most_bytes or self._most_bytes, 0)
        except OSError as error:
            self.trouble = f"{self._path}: {error.strerror}"
            return b""

    def close(self) -> None:
        """Close it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
