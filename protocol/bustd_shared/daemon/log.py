"""A log that cannot block: what it writes to is made ready here, and `lines` writes.

A socket is written with MSG_DONTWAIT. A pipe or terminal is opened a second time, with O_NONBLOCK: set on the shared
descriptor, it would make the next `cat` on that terminal fail. A line that can't be written is dropped and counted.
"""

from __future__ import annotations

import os
import select
import stat

from .lines import JOURNAL, PLAIN, SYSLOG, Lines
from .lines import printable as printable
from .lines import where as where
from .packets import AF_UNIX, SOCK_DGRAM, Socket

_SYSLOG_SOCKET = "/dev/log"


class Log(Lines):
    """A child should inherit `fileno` as its standard error."""

    def __init__(
        self, program: str, fileno: int = 2, *, syslog: Socket | None = None, journal_stream: str = ""
    ) -> None:
        """`syslog`: a connection to the system log (see `syslog_socket`), which gets the lines instead of `fileno`.

        `journal_stream`: JOURNAL_STREAM of the environment. A line to the journal begins with its level, as `<4>`.
        """
        link = syslog
        if link is None and stat.S_ISSOCK(os.fstat(fileno).st_mode):
            link = Socket(fileno=os.dup(fileno))
        elif link is None:
            fileno = _without_blocking(fileno)
        form = SYSLOG if syslog is not None else JOURNAL if _is_stream(fileno, journal_stream) else PLAIN
        super().__init__(program, fileno, link, form=form, safe_bytes=_safe_bytes(fileno))


def _is_stream(fileno: int, journal_stream: str) -> bool:
    """Whether it is the stream that the service manager means: device and inode, in decimal (systemd.exec(5)).

    A process inherits the variable through every exec, but its standard error may have been redirected since.
    """
    status = os.fstat(fileno)
    return journal_stream == f"{status.st_dev}:{status.st_ino}"


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


def syslog_socket() -> Socket | None:
    """A connection to the system log; None where there is none."""
    link = Socket(AF_UNIX, SOCK_DGRAM)
    try:
        link.connect(_SYSLOG_SOCKET)
    except OSError:
        link.close()
        return None
    return link
