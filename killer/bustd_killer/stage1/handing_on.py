"""Handing the policy to stage 2: through a pipe that survives the exec."""

from __future__ import annotations

import fcntl
import os

import msgpack

from ..policy import Policy

LIMITS = (
    *("claimed_percent", "minimum_mib", "minimum_percent", "available_percent"),
    *("burst", "interval_ms", "per_minute", "term_ms", "stuck_ms"),
)
"""The fields that are killer.toml's, under their names there."""


class TooLong(Exception):
    """The rules don't fit into a pipe; the message is a sentence that says so."""


def handed_on(policy: Policy) -> int:
    """A descriptor that `received` reads the policy from, after an exec. Raises TooLong, and OSError."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    packed: bytes = msgpack.packb(list(policy))
    try:
        room = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)
        if len(packed) > room:
            try:
                room = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, len(packed))
            except OSError:
                pass  # more than fs.pipe-max-size
        if len(packed) > room or os.write(writer, packed) != len(packed):
            raise TooLong(f"the rules in [protect] take {len(packed)} bytes; {room} is the most (fs.pipe-max-size)")
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    return reader
