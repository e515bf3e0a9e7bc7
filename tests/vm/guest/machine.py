"""What the guest's runner does to its machine: commands, swap, mounts, files. Standard library only, like all here."""

import ctypes
import json
import os
import socket
import subprocess
import time
from pathlib import Path

PLACE = Path("/run/vm")
"""Where the programs of a scenario leave their results; everybody may write there."""

PROGRAM_FILE = Path("/var/tmp/vm-program-file")
"""What the user's program reads: 8 MiB on disk."""

TMPFS = Path("/run/vm-tmpfs")
"""A tmpfs for everybody, where a scenario prepares one."""

FROZEN = Path("/run/vm-frozen")
"""A file system for everybody that lets nobody write, where a scenario prepares one."""

GUEST = "/run/job/guest"
"""Where these programs are."""

_PYTHON = ("/usr/bin/python3", "-s", "-E")
_PORT = "/dev/ttyS1"
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_SYS_PIDFD_GETFD = 438
_SWAP_FILE = Path("/var/vm-swap")
_FILLER = Path("/var/vm-filler")
_libc = ctypes.CDLL(None, use_errno=True)


def emit(kind, **fields):
    """One line of JSON for the host."""
    line = (json.dumps({"kind": kind, **fields}) + "\n").encode()
    descriptor = os.open(_PORT, os.O_WRONLY | os.O_NOCTTY)
    try:
        while line:
            line = line[os.write(descriptor, line) :]
    finally:
        os.close(descriptor)


def run(*command, check=True, seconds=120):
    """A command's standard output. Raises RuntimeError with what it said, and TimeoutExpired."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}: {done.stderr or done.stdout}")
    return done.stdout


def ready():
    """Tell systemd that this unit has what it needs (sd_notify(3)); children forked later have nothing to say."""
    address = os.environ.pop("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.sendto(b"READY=1", address.replace("@", "\0", 1))


def lock_memory(*, only_used=False):
    """This process stays in memory, whatever the scenario does to the others. Raises OSError.

    `only_used`: each page from when it is used; a forked process gets no copy of those that it never touches.
    """
    if _libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | (_MCL_ONFAULT if only_used else 0)):
        raise OSError(ctypes.get_errno(), "mlockall")


def descriptor_of(pid, number):
    """A copy of another process's descriptor (pidfd_getfd(2)). Raises OSError."""
    pidfd = os.pidfd_open(pid)
    try:
        copy = _libc.syscall(_SYS_PIDFD_GETFD, pidfd, number, 0)
    finally:
        os.close(pidfd)
    if copy < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
    return copy


def meminfo():
    """/proc/meminfo in bytes."""
    pairs = (line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def shortage():
    """MemAvailable as a share of MemTotal in percent, and how many MiB of swap are in use."""
    now = meminfo()
    return 100 * now["MemAvailable"] / now["MemTotal"], (now["SwapTotal"] - now["SwapFree"]) >> 20


def start_unit(unit, group, user, command, properties=()):
    """A transient unit of one of the guest's programs; returns when it says that it is ready."""
    settings = [
        "Type=notify",
        "NotifyAccess=all",
        "RemainAfterExit=yes",
        f"User={user}",
        "TimeoutStartSec=60",
        *properties,
    ]
    options = [f"--property={setting}" for setting in settings]
    run("systemd-run", "--quiet", f"--unit={unit}", f"--slice={group}", *options, *_PYTHON, *command)


def within(seconds, is_so):
    """Wait until it is so; whether it came to that in this time."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def show(unit, *properties):
    """`systemctl show`, as a dictionary."""
    text = run("systemctl", "show", unit, f"--property={','.join(properties)}")
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def processes_of(cgroup):
    """PIDs in a control group and below it; empty when it is gone."""
    pids = []
    for directory, _, files in os.walk(f"/sys/fs/cgroup/{cgroup}"):
        if "cgroup.procs" in files:
            try:
                pids += [int(pid) for pid in Path(directory, "cgroup.procs").read_text().split()]
            except OSError:
                continue
    return pids


def swap_on(kind, mib):
    """`disk`: a swap file; `zram`: compressed memory; `ram`: a disk of memory, as fast as a swap can be."""
    if kind == "disk":
        run("fallocate", "--length", f"{mib}MiB", str(_SWAP_FILE))
        _SWAP_FILE.chmod(0o600)
        run("mkswap", str(_SWAP_FILE))
        run("swapon", str(_SWAP_FILE))
    elif kind == "zram":
        run("modprobe", "zram")
        Path("/sys/block/zram0/disksize").write_text(f"{mib}M")
        run("mkswap", "/dev/zram0")
        run("swapon", "/dev/zram0")
    elif kind == "ram":
        run("modprobe", "brd", "rd_nr=1", f"rd_size={mib << 10}")
        run(
            "dd", "if=/dev/zero", "of=/dev/ram0", "bs=1M", "status=none", check=False
        )  # so that all of its pages are there
        run("mkswap", "/dev/ram0")
        run("swapon", "/dev/ram0")


def swap_off(kind):
    """Whatever is in it comes back into memory first."""
    if kind == "disk":
        run("swapoff", str(_SWAP_FILE), check=False)  # a scenario may have done it
        _SWAP_FILE.unlink()
    elif kind == "zram":
        run("swapoff", "/dev/zram0")
        Path("/sys/block/zram0/reset").write_text("1")
    elif kind == "ram":
        run("swapoff", "/dev/ram0")
        run("modprobe", "--remove", "brd")


def fill_disk():
    """Leave no block of the root file system free."""
    free = os.statvfs("/").f_bfree * os.statvfs("/").f_frsize
    descriptor = os.open(_FILLER, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        while free > 4096:
            try:
                os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, free)
            except OSError:
                free //= 2
    finally:
        os.close(descriptor)


def empty_disk():
    """Undo it."""
    _FILLER.unlink(missing_ok=True)


def make_program_file():
    """Before a scenario can fill the disk."""
    PROGRAM_FILE.write_bytes(os.urandom(8 << 20))
    PROGRAM_FILE.chmod(0o644)


def settle():
    """Write back and drop what earlier scenarios left in the page cache."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
