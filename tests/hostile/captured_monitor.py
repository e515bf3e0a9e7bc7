"""What a captured monitor tries: it runs in place of the monitor of a pair, in its very process, after its lockdown.

Says one line for each attempt on its standard error: its name, and "done" or the kernel's error. `PLAN` is set by what
plants this, see test_captured_monitor.py.
"""

import errno
import fcntl
import os
import sys
import termios
import time

PLAN = {}
ALL = (0, 1, 2)


def each(attempt):
    """The attempt on each of the standard descriptors: done if one of them permits it."""

    def on_all():
        refused = None
        for descriptor in ALL:
            try:
                be_more_than_nothing(descriptor)
                return attempt(descriptor)
            except OSError as error:
                refused = error
        raise refused

    return on_all


def be_more_than_nothing(descriptor):
    if os.path.samestat(os.fstat(descriptor), os.stat(os.devnull)):
        raise OSError(errno.ENODEV, "/dev/null")


def be_a_terminal(descriptor):
    if not os.isatty(descriptor):
        raise OSError(errno.ENOTTY, "no terminal")


def be_a_file_of_roots(descriptor):
    if not os.readlink(f"/proc/self/fd/{descriptor}").startswith(PLAN["place"]):
        raise OSError(errno.ENOENT, "no file of root's")


def erase(descriptor):
    os.ftruncate(descriptor, 0)


def overwrite(descriptor):
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_APPEND)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, b"was root's")


def read(descriptor):
    if not os.read(descriptor, 1):
        raise OSError(errno.ENODATA, "nothing")


def open_again(descriptor):
    os.close(os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK))


ATTEMPTS = {
    "open /dev/tty": lambda: os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NONBLOCK)),
    "open /dev/tty to write": lambda: os.close(os.open("/dev/tty", os.O_WRONLY | os.O_NONBLOCK)),
    "open root's terminal": lambda: os.close(os.open(PLAN["terminal"], os.O_RDONLY | os.O_NONBLOCK)),
    "hold root's terminal": each(be_a_terminal),
    "read what root types": each(read),
    "type into root's shell": each(lambda descriptor: fcntl.ioctl(descriptor, termios.TIOCSTI, b"x")),
    "hold a file of root's": each(be_a_file_of_roots),
    "erase root's log": each(erase),
    "overwrite root's log": each(overwrite),
    "open root's log again": each(open_again),
    "read root's log": lambda: os.close(os.open(PLAN["log"], os.O_RDONLY)),
}


def outcome(attempt):
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


def say(text):
    """Whether it could be said at once."""
    try:
        os.write(2, text)
    except BlockingIOError:
        return False
    return True


def flood(seconds):
    """Every kind of line, as fast as it goes."""
    end, said = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        said += say(b"flood\n2026-11-28 00:00:00 bustd-killer: signalled SIGKILL to 1 (mysqld)\n\x1b[2J")
    return said


if PLAN["what"] == "try everything":
    for name, attempt in ATTEMPTS.items():
        say(f"attempt: {name}: {outcome(attempt)}\n".encode())
else:
    flood(float(PLAN["what"]))
sys.exit(3)
