"""What the service manager is told (sd_notify(3), sd_watchdog_enabled(3)): ready, protected or not, alive, stopping.

One datagram a turn at most, and none while nothing is new. It never blocks: in a crisis PID 1 may be the one that does
not read. What could not be sent is not lost, because every turn sends what has not been sent yet.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from bustd_shared.daemon.packets import AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_DGRAM, Socket


class ServiceManager:
    """Its socket is made here and kept: in a crisis no descriptor may be free. Without one it is silent.

    The address is looked up at every send, as libsystemd does: a manager that is replaced makes a new socket. The
    environment is left as it is: a monitor that re-executes itself finds the same.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._socket = Socket(AF_UNIX, SOCK_DGRAM) if self._address else None
        self._watchdog_ms = _watchdog_ms(environment)
        self._has_read = self._was_ready = False
        self._status = ""
        self._feed_due_ms: int | None = None

    def tell(self, now_ms: int, status: str, *, has_read: bool) -> None:
        """At the end of each turn: what has changed, and that the loop is alive.

        The first reading that made sense makes the service ready, and begins its watchdog. From then on a turn that
        finds /proc/meminfo unreadable feeds the watchdog as well: it has looked and come back, it is not wedged, and a
        new start would look at the same file with less memory of what was before. The status says what is wrong.
        """
        self._has_read = self._has_read or has_read
        quarter_ms = self._watchdog_ms // 4
        is_hungry = self._feed_due_ms is None or now_ms >= self._feed_due_ms - quarter_ms
        feeds = quarter_ms > 0 and self._has_read and is_hungry
        lines = ["READY=1"] if self._has_read and not self._was_ready else []
        if status != self._status:
            lines.append(f"STATUS={status}")
        if feeds:
            lines.append("WATCHDOG=1")
        was_sent = not lines or self._send(lines)
        if was_sent:
            self._was_ready, self._status = self._has_read, status
        if feeds:
            self._feed_due_ms = now_ms + (2 * quarter_ms if was_sent else quarter_ms // 2)

    def due_ms(self) -> int | None:
        """When the next turn must begin (monotonic milliseconds): half of the watchdog's interval after it was fed.

        A turn feeds it once a quarter has passed. So the turns that come anyway feed it, and where no sleep is longer
        than half of the interval none is cut short, but for the one after an early wake-up. None without a watchdog.
        """
        return self._feed_due_ms if self._socket is not None else None

    def stopping(self) -> None:
        """The last word. Its status stays to be seen after the end."""
        self._send(["STOPPING=1", "STATUS=stopped: nobody is watching"])

    def close(self) -> None:
        """Let go of the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, lines: list[str]) -> bool:
        """Whether the manager has it, or there is none to have it. Its errors are nobody's business but its own."""
        if self._socket is None:
            return True
        try:
            self._socket.sendto("\n".join(lines).encode(), MSG_DONTWAIT | MSG_NOSIGNAL, self._address)
        except OSError:
            return False
        return True


def _address(name: str) -> str:
    """For sendto: a path as it is, an abstract name with its NUL byte; "" if it is neither (sd_notify(3) has vsock)."""
    return "\0" + name[1:] if name.startswith("@") else name if name.startswith("/") else ""


def _watchdog_ms(environment: Mapping[str, str]) -> int:
    """The interval after which a silent service is ended, 0 if there is none or if it is another process's."""
    interval_us = environment.get("WATCHDOG_USEC", "")
    is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    return int(interval_us) // 1000 if is_ours and interval_us.isdecimal() else 0
