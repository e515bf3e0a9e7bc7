"""What a captured killer tries: executed by stage 1 in place of stage 2, in its very process, after its lockdown.

Prints one line of JSON for each attempt: its name and "done" or the kernel's error. `sys.argv[1]` is the policy's
descriptor, as for stage 2. The plan is a JSON file beside it: see test_captured.py.
"""

import ctypes
import errno
import json
import os
import signal
import socket
import sys

PLAN = json.load(open(os.path.dirname(os.path.abspath(__file__)) + "/plan.json"))
PTRACE_ATTACH, PR_SET_PDEATHSIG, CLONE_NEWUSER = 16, 1, 0x10000000
libc = ctypes.CDLL(None, use_errno=True)


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


def write(path):
    with open(path, "wb") as file:
        file.write(b"x")


def read_input():
    if not os.read(0, 1):
        raise OSError(errno.ENODATA, "nothing")


def signal_to(number):
    return lambda: signal.pidfd_send_signal(os.pidfd_open(PLAN["victim"]), number)


ATTEMPTS = {
    "write root's file": lambda: write(PLAN["secret"]),
    "read root's file": lambda: open(PLAN["secret"], "rb").close(),
    "chmod root's file": lambda: os.chmod(PLAN["secret"], 0o666),
    "chmod root's shell to set-uid": lambda: os.chmod(PLAN["shell"], 0o4755),
    "chown root's file": lambda: os.chown(PLAN["secret"], os.getuid(), -1),
    "utime of root's file": lambda: os.utime(PLAN["secret"], (0, 0)),
    "setxattr on root's file": lambda: os.setxattr(PLAN["secret"], "user.x", b"y"),
    "truncate root's file": lambda: os.truncate(PLAN["secret"], 0),
    "create a file in root's directory": lambda: write(PLAN["place"] + "/new"),
    "create a file where every user may": lambda: write(PLAN["open"] + "/new"),
    "remove a file where every user may": lambda: os.unlink(PLAN["open"] + "/file"),
    "write a file that every user may write": lambda: write(PLAN["open"] + "/file"),
    "read what root types": read_input,
    "read /etc/shadow": lambda: open("/etc/shadow", "rb").close(),
    "write /proc/sys": lambda: write("/proc/sys/kernel/core_pattern"),
    "write oom_score_adj of another": lambda: write(f"/proc/{PLAN['victim']}/oom_score_adj"),
    "read the memory of another": lambda: open(f"/proc/{PLAN['victim']}/mem", "rb").close(),
    "read the environment of another": lambda: open(f"/proc/{PLAN['victim']}/environ", "rb").close(),
    "open root's device": lambda: os.close(os.open(PLAN["device"], os.O_RDWR)),
    "connect to a socket of root": lambda: connect(socket.AF_UNIX, PLAN["root_socket"]),
    "connect to an abstract socket": lambda: connect(socket.AF_UNIX, "\0" + PLAN["abstract"]),
    "connect by TCP": lambda: connect(socket.AF_INET, ("127.0.0.1", PLAN["port"])),
    "make a socket": lambda: socket.socket(socket.AF_UNIX).close(),
    "execute a program": lambda: execute("/bin/true"),
    "execute a set-uid program": lambda: execute(PLAN["set_uid"]),
    "execute this Python": lambda: execute(sys.executable, "-I", "-S", "-c", ""),
    "map another program by the loader": lambda: execute(PLAN["loader"], "/bin/true"),
    "trace another process": lambda: called(libc.ptrace(PTRACE_ATTACH, PLAN["victim"], None, None)),
    "become root": lambda: os.setuid(0),
    "take root's groups": lambda: os.setgroups([0]),
    "make a user namespace": lambda: called(libc.unshare(CLONE_NEWUSER)),
    "mount": lambda: called(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
    "kill(2)": lambda: os.kill(PLAN["victim"], signal.SIGCONT),
    "lower its own limits": lambda: called(libc.setpriority(0, 0, 0)),
    "take a limit of another": lambda: called(libc.prlimit(PLAN["victim"], 7, None, ctypes.create_string_buffer(16))),
    "memory that is written and executed": lambda: __import__("mmap").mmap(-1, 4096, prot=7).close(),
    "SIGSTOP to another user's process": signal_to(signal.SIGSTOP),
    "SIGUSR1 to another user's process": signal_to(signal.SIGUSR1),
    "SIGHUP to another user's process": signal_to(signal.SIGHUP),
    "signal 0 to another user's process": signal_to(0),
    "SIGCONT to another user's process": signal_to(signal.SIGCONT),
    "SIGTERM to another user's process": signal_to(signal.SIGTERM),
    "SIGKILL to another user's process": signal_to(signal.SIGKILL),
    "read what every user may": lambda: open("/etc/passwd", "rb").close(),
    "read the status of any process": lambda: open("/proc/1/status", "rb").close(),
    "list the processes": lambda: os.listdir("/proc"),
    "start a child": lambda: os.waitpid(os.fork() or os._exit(0), 0),
    "be dumpable again": lambda: called(libc.prctl(4, 1, 0, 0, 0)),
}


def outcome(attempt):
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return "done"


for name, attempt in ATTEMPTS.items():
    os.write(2, json.dumps([name, outcome(attempt)]).encode() + b"\n")
