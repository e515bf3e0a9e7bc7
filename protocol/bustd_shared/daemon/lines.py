"""The lines of a log, written without ever waiting: a daemon that waits for the reader of its log is a deadlock.

What they are written to has been made ready: `log.Log` does that, and the killer's stage 1 for its stage 2.
"""

from __future__ import annotations

import codecs
import os
import select
import time

from .packets import Socket

CRITICAL, WARNING, NOTICE, INFO, DEBUG = 2, 4, 5, 6, 7
"""Levels of syslog(3): not protected; a kill; a start, and what an administrator should know; all else; if verbose."""
PLAIN, JOURNAL, SYSLOG = -1, 0, 24
"""What a line begins with: nothing; its level, `<4>` (sd-daemon(3)); or level and facility (syslog(3)), and the PID."""


class Lines:
    """Writes the lines of one program to one place. One that can't be written at once is dropped and counted."""

    def __init__(
        self, program: str, fileno: int = 2, link: Socket | None = None, *, form: int = PLAIN, safe_bytes: int = 0
    ) -> None:
        """To `link` if there is one, in this form; else to `fileno`, plain and with the time.

        `safe_bytes`: how many bytes a write takes without blocking where poll(2) says writable; 0: no write blocks.
        """
        self.program = program
        self.dropped = 0
        self.fileno = fileno
        self.safe_bytes = safe_bytes
        self.link = link
        self.form = form

    def __call__(self, sentence: str, level: int = NOTICE) -> None:
        """Write one line."""
        self.dropped = 0 if self._write(self.line(sentence), level) else self.dropped + 1

    def line(self, sentence: str) -> str:
        """The sentence with unprintable characters escaped, and how many lines before it were dropped."""
        dropped = f" ({self.dropped} lines before this one were dropped)" if self.dropped else ""
        return printable(sentence) + dropped

    def _write(self, line: str, level: int) -> bool:
        try:
            if self.link is None:
                record = _encoded(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self.program}: {line}\n")
                return _written(self.fileno, record, self.safe_bytes)
            if self.form == SYSLOG:
                record = _encoded(f"<{SYSLOG + level}>{self.program}[{os.getpid()}]: {line}")
            else:
                record = _encoded(f"{f'<{level}>' if self.form == JOURNAL else ''}{self.program}: {line}\n")
            return self.link.send_now(record) == len(record)
        except OSError:
            return False


def _encoded(line: str) -> bytes:
    return line.encode("utf-8", "backslashreplace")


def printable(text: str | bytes) -> str:
    """The text with every character escaped that could disturb a terminal or forge a line."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else codecs.unicode_escape_encode(c)[0].decode() for c in text)


def where(error: BaseException) -> str:
    """The file and line where an exception was raised: the log has one line instead of a traceback."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"


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
