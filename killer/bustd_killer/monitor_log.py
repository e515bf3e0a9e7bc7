"""The log of the pair's monitor: it has a socket for a standard error, and what it sends is copied to root's log here.

So a captured monitor holds neither root's terminal nor root's file. Only the killer of a pair loads this.
"""

from __future__ import annotations

import select

from bustd_shared.daemon.lines import Lines
from bustd_shared.daemon.packets import Socket

from .rate import Bucket

LINES_PER_SECOND, LINE_BYTES = 20, 4096


class MonitorLog:
    """Each packet is one line. What is too much waits in the socket, and the monitor drops what does not fit there."""

    def __init__(self, link: Socket, log: Lines, now_ms: int) -> None:
        link.setblocking(False)
        self._link, self._log = link, log
        self._lines = Bucket(LINES_PER_SECOND, LINES_PER_SECOND, now_ms)
        self._has_ended = False

    def watch(self, poll: select.poll, now_ms: int) -> int | None:
        """Have `poll` wait for the next line. Where none may be copied yet: when the next one may."""
        if self._has_ended:
            return None
        if wait_ms := self._lines.wait_ms(now_ms):
            return now_ms + wait_ms
        poll.register(self._link.fileno(), select.POLLIN)
        return None

    def copy(self, now_ms: int) -> bool:
        """Copy the next line, escaped and under the monitor's name; whether there was one that might be copied."""
        if self._has_ended or self._lines.wait_ms(now_ms):
            return False
        try:
            packet, is_cut, _ = self._link.receive_packet(LINE_BYTES)
        except OSError as error:
            self._has_ended = not isinstance(error, BlockingIOError)
            return False
        self._has_ended = not packet
        if packet:
            self._lines.take(now_ms)
            said = packet.decode("utf-8", "backslashreplace").removeprefix(f"{self._log.program}: ").removesuffix("\n")
            self._log(f"{said} (cut off)" if is_cut else said)
        return not self._has_ended
