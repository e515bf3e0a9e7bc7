"""The contents of small files of procfs and of control groups, where it makes no difference why one can't be read."""

from __future__ import annotations

from bustd_shared.kernel.cgroup_memory import parse_amount
from bustd_shared.kernel.process import MOST_BYTES, read_file


def contents(path: str, most_bytes: int = MOST_BYTES) -> bytes:
    """The file, b"" if it can't be read: what it tells of is gone, or forbidden, or no descriptor is left."""
    try:
        return read_file(path, most_bytes) or b""
    except OSError:
        return b""


def amount(path: str) -> int | None:
    """The bytes in a file that holds one amount, as memory.current does; None if it can't be read."""
    return parse_amount(contents(path))
