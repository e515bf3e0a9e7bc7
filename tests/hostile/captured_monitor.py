"""What a captured monitor tries: it runs in place of the monitor of a pair, in its very process, after its lockdown.

Says one line for each attempt on its standard error: its name, and "done" or the kernel's error. `PLAN` is set by what
plants this, see test_captured_monitor.py.
"""

import ctypes
import errno
import fcntl
import os
import signal
import socket
import sys
import termios
import time

PLAN = {}
ALL = (0, 1, 2)
PTRACE_ATTACH, CLONE_NEWUSER = 16, 0x10000000
libc = ctypes.CDLL(None, use_errno=True)


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


def called(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")


def execute(*command):
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(command[0], command)
        except OSError as error:
            os._exit(error.errno)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status > 0:
        raise OSError(status, "refused")


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as link:
        link.settimeout(1)
        link.connect(address)


def signalled_by_fcntl(pid):
    """By F_SETOWN the kernel signals a process when something comes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fcntl.fcntl(ours, fcntl.F_SETOWN, pid)
        fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC)


def write(path):
    with open(path, "ab") as file:
        file.write(b"x")


OF_ROOTS = {
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

OF_THE_KERNEL = {
    "read /etc/shadow": lambda: open("/etc/shadow", "rb").close(),
    "create a file where every user may": lambda: write(PLAN["open"] + "/new"),
    "write a file that every user may write": lambda: write(PLAN["open"] + "/file"),
    "write oom_score_adj of a process of its own user": lambda: write(f"/proc/{PLAN['own']}/oom_score_adj"),
    "read the environment of another user's process": lambda: open(f"/proc/{PLAN['other']}/environ", "rb").close(),
    "SIGTERM to another user's process": lambda: os.kill(PLAN["other"], signal.SIGTERM),
    "SIGTERM to a process of its own user": lambda: os.kill(PLAN["own"], signal.SIGTERM),
    "SIGTERM by a pidfd": lambda: signal.pidfd_send_signal(os.pidfd_open(PLAN["own"]), signal.SIGTERM),
    "have the kernel signal a process of its own user": lambda: signalled_by_fcntl(PLAN["own"]),
    "process_mrelease on a process that has no SIGKILL": lambda: called(
        libc.syscall(448, os.pidfd_open(PLAN["own"]), 0)
    ),
    "trace a process of its own user": lambda: called(libc.ptrace(PTRACE_ATTACH, PLAN["own"], None, None)),
    "connect by TCP": lambda: connect(socket.AF_INET, ("127.0.0.1", PLAN["port"])),
    "connect to an abstract socket": lambda: connect(socket.AF_UNIX, "\0" + PLAN["abstract"]),
    "execute a program": lambda: execute("/bin/true"),
    "execute a set-uid program": lambda: execute(PLAN["set_uid"]),
    "become root": lambda: os.setuid(0),
    "make a user namespace": lambda: called(libc.unshare(CLONE_NEWUSER)),
    "memory that is written and executed": lambda: __import__("mmap").mmap(-1, 4096, prot=7).close(),
    "read what every user may": lambda: open("/etc/passwd", "rb").close(),
    "read the status of any process": lambda: open("/proc/1/status", "rb").close(),
    "list the processes": lambda: os.listdir("/proc"),
    "make a local socket": lambda: socket.socket(socket.AF_UNIX).close(),
    "start a child": lambda: os.waitpid(os.fork() or os._exit(0), 0),
    "execute this Python": lambda: execute(sys.executable, "-I", "-S", "-c", ""),
    "map another program by the loader": lambda: execute(PLAN["loader"], "/bin/true"),
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


TRIED = {"root's terminal and files": OF_ROOTS, "the kernel": OF_THE_KERNEL}

if PLAN["what"] in TRIED:
    for name, attempt in TRIED[PLAN["what"]].items():
        say(f"attempt: {name}: {outcome(attempt)}\n".encode())
        time.sleep(0.06)  # the killer copies 20 lines a second
else:
    flood(float(PLAN["what"]))
sys.exit(3)
