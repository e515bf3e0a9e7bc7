"""What a captured monitor tries: it runs in place of a monitor, in its very process, after its lockdown.

Says one line for each attempt on its standard error: its name, and "done" or the kernel's error. `PLAN` is set by what
plants this: test_captured_monitor.py in a standalone pair, tests/vm/guest/captured.py in the unit.
"""

import ctypes
import errno
import fcntl
import os
import resource
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
    if os.fstat(descriptor).st_rdev == os.stat(os.devnull).st_rdev:
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
    """Raises OSError where the kernel refuses it; how the program then ends is its own business."""
    told, tell = os.pipe()
    if os.fork() == 0:
        try:
            os.execv(command[0], command)
        except OSError as error:
            os.write(tell, bytes([error.errno]))
        os._exit(1)
    os.close(tell)
    refused = os.read(told, 1)
    os.close(told)
    os.wait()
    if refused:
        raise OSError(refused[0], "refused")


def mapped(*command):
    """Whether it runs is for the loader to say."""
    pid = os.fork()
    if pid == 0:
        try:
            os.execv(command[0], command)
        finally:
            os._exit(1)
    if os.waitpid(pid, 0)[1]:
        raise OSError(errno.EACCES, "refused")


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as link:
        link.settimeout(1)
        link.connect(address)


def name_a_socket(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as link:
        link.bind(address)


def listen():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.listen()


def signalled_by_fcntl(pid):
    """By F_SETOWN the kernel signals a process when something comes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fcntl.fcntl(ours, fcntl.F_SETOWN, pid)
        fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC)


def write(path, data=b"x"):
    with open(path, "ab") as file:
        file.write(data)


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
    "read the memory of another user's process": lambda: open(f"/proc/{PLAN['other']}/mem", "rb").close(),
    "read the memory of a process of its own user": lambda: open(f"/proc/{PLAN['own']}/mem", "rb").close(),
    "create a file where every user may": lambda: write(PLAN["open"] + "/new"),
    "write a file that every user may write": lambda: write(PLAN["open"] + "/file"),
    "write oom_score_adj of a process of its own user": lambda: write(f"/proc/{PLAN['own']}/oom_score_adj", b"1000"),
    "read the environment of another user's process": lambda: open(f"/proc/{PLAN['other']}/environ", "rb").close(),
    "SIGTERM to another user's process": lambda: os.kill(PLAN["other"], signal.SIGTERM),
    "SIGTERM to a process of its own user": lambda: os.kill(PLAN["own"], signal.SIGTERM),
    "SIGTERM by a pidfd": lambda: signal.pidfd_send_signal(os.pidfd_open(PLAN["own"]), signal.SIGTERM),
    "have the kernel signal a process of its own user": lambda: signalled_by_fcntl(PLAN["own"]),
    "limit the time of a process of its own user": lambda: resource.prlimit(PLAN["own"], resource.RLIMIT_CPU, (9, 9)),
    "have a process of its own user run later": lambda: os.setpriority(os.PRIO_PROCESS, PLAN["own"], 19),
    "take a descriptor of a process of its own user": lambda: called(
        libc.syscall(438, os.pidfd_open(PLAN["own"]), 0, 0)
    ),
    "process_mrelease on a process that has no SIGKILL": lambda: called(
        libc.syscall(448, os.pidfd_open(PLAN["own"]), 0)
    ),
    "trace a process of its own user": lambda: called(libc.ptrace(PTRACE_ATTACH, PLAN["own"], None, None)),
    "connect by TCP": lambda: connect(socket.AF_INET, ("127.0.0.1", PLAN["port"])),
    "listen by TCP": lambda: socket.create_server(("127.0.0.1", 0)).close(),
    "connect to a socket that is root's alone": lambda: connect(socket.AF_UNIX, PLAN["roots_socket"]),
    "connect to a socket that every user may": lambda: connect(socket.AF_UNIX, PLAN["open_socket"]),
    "name a socket where every user may": lambda: name_a_socket(socket.AF_UNIX, PLAN["open"] + "/socket"),
    "name an abstract socket": lambda: name_a_socket(socket.AF_UNIX, "\0" + PLAN["abstract"] + "-of-the-monitor"),
    "listen": listen,
    "connect to an abstract socket": lambda: connect(socket.AF_UNIX, "\0" + PLAN["abstract"]),
    "execute a program": lambda: execute("/bin/true"),
    "execute a set-uid program": lambda: execute(PLAN["set_uid"]),
    "become root": lambda: os.setuid(0),
    "take root's groups": lambda: os.setgroups([0]),
    "be dumpable again": lambda: called(libc.prctl(4, 1, 0, 0, 0)),
    "run before everything else": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "mount": lambda: called(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
    "give calls to the kernel by io_uring": lambda: called(libc.syscall(425, 4, ctypes.create_string_buffer(120))),
    "make a terminal": lambda: os.close(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)),
    "make a file without a name": lambda: os.close(os.memfd_create("x")),
    "make a user namespace": lambda: called(libc.unshare(CLONE_NEWUSER)),
    "memory that is written and executed": lambda: __import__("mmap").mmap(-1, 4096, prot=7).close(),
    "read what every user may": lambda: open("/etc/passwd", "rb").close(),
    "read the status of any process": lambda: open("/proc/1/status", "rb").close(),
    "list the processes": lambda: os.listdir("/proc"),
    "make a local socket": lambda: socket.socket(socket.AF_UNIX).close(),
    "start a child": lambda: os.waitpid(os.fork() or os._exit(0), 0),
    "execute this Python": lambda: execute(sys.executable, "-I", "-S", "-c", ""),
    "map another program by the loader": lambda: mapped(PLAN["loader"], "/bin/true"),
}


def anywhere():
    """A new file in each directory of each file system that is mounted for writing, /proc excepted."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        uppermost = {fields[4]: fields[5].split(",") for fields in map(str.split, file)}
    for place in (place for place, options in uppermost.items() if "rw" in options and place != "/proc"):
        for directory, _, _ in os.walk(place):
            try:
                write(f"{directory}/new")
            except OSError:
                continue
            return
    raise OSError(errno.EROFS, "nowhere")


def by_the_bus(member, signature="", *words):
    import captured_bus  # is beside it in the unit alone

    if not captured_bus.is_permitted(PLAN["bus"], member, signature, words):
        raise OSError(errno.EACCES, "refused")


def tell_systemd(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(text, os.environ["NOTIFY_SOCKET"].replace("@", "\0", 1))


def journal_entry():
    """In the name of the killer: with its fields, and by a stream that says which unit it is of."""
    said = b"MESSAGE=forged\nSYSLOG_IDENTIFIER=bustd-killer\n"
    for name in (b"_SYSTEMD_UNIT", b"UNIT", b"OBJECT_SYSTEMD_UNIT"):
        said += name + b"=bustd-killer.service\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(said, "/run/systemd/journal/socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.connect("/run/systemd/journal/stdout")
        link.sendall(b"bustd-killer\nbustd-killer.service\n2\n0\n0\n0\n0\nforged\n")


OF_ITS_UNIT = {
    "connect to systemd's own socket": lambda: connect(socket.AF_UNIX, "/run/systemd/private"),
    "connect to the bus": lambda: connect(socket.AF_UNIX, PLAN["bus"]),
    "ask systemd for the state of a unit": lambda: by_the_bus("GetUnit", "s", PLAN["unit"]),
    "have systemd stop a unit": lambda: by_the_bus("StopUnit", "ss", PLAN["unit"], "replace"),
    "have systemd kill a unit": lambda: by_the_bus("KillUnit", "ssi", PLAN["unit"], "all", signal.SIGKILL),
    "have systemd start a unit": lambda: by_the_bus("StartUnit", "ss", "rescue.target", "replace"),
    "have systemd switch the machine off": lambda: by_the_bus("PowerOff"),
    "say what it likes of its unit": lambda: tell_systemd(f"STATUS=forged\nMAINPID={PLAN['other']}".encode()),
    "write to the journal": journal_entry,
    "write in any directory": anywhere,
    "leave its control group": lambda: write("/sys/fs/cgroup/cgroup.procs"),
    "raise the limit of its control group": lambda: write(f"/sys/fs/cgroup/{PLAN['group']}/memory.max"),
    "write a setting of the kernel": lambda: write("/proc/sys/vm/overcommit_memory"),
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


TRIED = {
    "root's terminal and files": OF_ROOTS,
    "the kernel": OF_THE_KERNEL,
    "everything": OF_ROOTS | OF_THE_KERNEL | OF_ITS_UNIT,
}

if PLAN["what"] in TRIED:
    for name, attempt in TRIED[PLAN["what"]].items():
        say(f"attempt: {name}: {outcome(attempt)}\n".encode())
        time.sleep(PLAN.get("pause_s", 0.06))  # the killer copies 20 lines a second
else:
    flood(float(PLAN["what"]))
time.sleep(PLAN.get("stay_s", 0))
sys.exit(3)
