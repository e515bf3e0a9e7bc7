"""A log that cannot block: a daemon that waits for the reader of its log during a memory crisis is a deadlock.

A socket is written with MSG_DONTWAIT. A pipe or terminal is opened a second time, with O_NONBLOCK: set on the shared
descriptor, it would make the next `cat` on that terminal fail. A line that can't be written is dropped and counted.
"""

from __future__ import annotations

import codecs
import os
import select
import stat
import time

from .packets import AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_DGRAM, Socket

_escape = codecs.getencoder("unicode_escape")
"""Looked up once, at start: the first use imports a module, which must not happen in a crisis."""

_SYSLOG_SOCKET = "/dev/log"
_DAEMON_NOTICE = b"<29>"
"""syslog(3): facility daemon, severity notice."""


class Log:
    """Writes the lines of one program to one place. A child should inherit `fileno` as its standard error."""

    def __init__(self, program: str, fileno: int = 2, *, syslog: Socket | None = None) -> None:
        """`syslog`: a connection to the system log (see `syslog_socket`), which gets the lines instead of `fileno`."""
        self.program = program
        self.dropped = 0
        self.fileno = fileno
        self._socket = syslog
        self._to_syslog = syslog is not None
        if self._socket is None and stat.S_ISSOCK(os.fstat(fileno).st_mode):
            self._socket = Socket(fileno=os.dup(fileno))
        elif self._socket is None:
            self.fileno = _without_blocking(fileno)
        self._safe_bytes = _safe_bytes(self.fileno)

    def __call__(self, sentence: str) -> None:
        """Write one line, with unprintable characters escaped."""
        line = printable(sentence)
        if self.dropped:
            line = f"{line} ({self.dropped} lines before this one were dropped)"
        if self._write(line):
            self.dropped = 0
        else:
            self.dropped += 1

    def _write(self, line: str) -> bool:
        try:
            if self._to_syslog and self._socket is not None:
                record = f"{self.program}[{os.getpid()}]: {line}".encode("utf-8", "backslashreplace")
                self._socket.send(_DAEMON_NOTICE + record, MSG_DONTWAIT | MSG_NOSIGNAL)
                return True
            if self._socket is not None:
                record = f"{self.program}: {line}\n".encode("utf-8", "backslashreplace")
                return self._socket.send(record, MSG_DONTWAIT | MSG_NOSIGNAL) == len(record)
            stamp = time.strftime("%Y-%m-%d %H:%M:%S")
            record = f"{stamp} {self.program}: {line}\n".encode("utf-8", "backslashreplace")
            return _written(self.fileno, record, self._safe_bytes)
        except OSError:
            return False


def printable(text: str | bytes) -> str:
    """The text with every character escaped that could disturb a terminal or forge a line."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c)[0].decode() for c in text)


def where(error: BaseException) -> str:
    """The file and line where an exception was raised: the log has one line instead of a traceback."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"


def _without_blocking(fileno: int) -> int:
    """A descriptor for the same pipe or terminal that never blocks; `fileno` itself where there can be none.

    A monitor that has changed its user may not open its pipe again: it inherits the one that the killer opened so.
    """
    mode = os.fstat(fileno).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)) or not os.get_blocking(fileno):
        return fileno
    try:
        return os.open(f"/proc/self/fd/{fileno}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return fileno


def _safe_bytes(fileno: int) -> int:
    """How many bytes a write takes without blocking where poll(2) says writable; 0: no write blocks, without poll.

    For a pipe that is PIPE_BUF (pipe(7)); a terminal only promises room for one byte.
    """
    mode = os.fstat(fileno).st_mode
    if not os.get_blocking(fileno) or not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        return 0
    return select.PIPE_BUF if stat.S_ISFIFO(mode) else 1


def _written(fileno: int, record: bytes, safe_bytes: int) -> bool:
    """Write the record without waiting for a reader. Whether the whole record was written. Raises OSError."""
    if not safe_bytes:
        return os.write(fileno, record) == len(record)
    poll = select.poll()
    poll.register(fileno, select.POLLOUT)
    for start in range(0, len(record), safe_bytes):
        if not any(events & select.POLLOUT for _, events in poll.poll(0)):
            return False
        os.write(fileno, record[start : start + safe_bytes])
    return True


def syslog_socket() -> Socket | None:
    """A connection to the system log; None where there is none."""
    link = Socket(AF_UNIX, SOCK_DGRAM)
    try:
        link.connect(_SYSLOG_SOCKET)
    except OSError:
        link.close()
        return None
    return link
