"""What a scenario does to the machine or to bustd itself: before it begins, or once memory is short."""

import os
import signal
import socket
from pathlib import Path

import daemons
import machine
from daemons import KILLER, MONITOR

_LONG_LINE = b"x" * 16_000 + b"\n"
_HELD_BACK_MIB = 450
_FROZEN_FILE = Path("/var/tmp/vm-frozen")


def _hide_processes():
    """hidepid=2 on /proc, before both daemons start. Their units have a /proc of their own, which does not have it."""
    machine.run("mount", "-o", "remount,hidepid=2", "/proc")
    _restart_pair()


def _show_processes():
    machine.run("mount", "-o", "remount,hidepid=0", "/proc")
    _restart_pair()


def _restart_pair():
    machine.run("systemctl", "restart", KILLER, MONITOR)
    daemons.await_killer()


def _stop_journal():
    """journald takes nothing any more, and what both daemons log to is filled to the brim: whoever waits, waits on."""
    os.kill(daemons.main_pid("systemd-journald"), signal.SIGSTOP)
    for unit in (KILLER, MONITOR):
        with socket.socket(fileno=machine.descriptor_of(daemons.main_pid(unit), 2)) as log:
            try:
                while True:
                    log.send(_LONG_LINE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass


def _continue_journal():
    os.kill(daemons.main_pid("systemd-journald"), signal.SIGCONT)


def _mount_tmpfs():
    machine.TMPFS.mkdir(exist_ok=True)
    machine.run("mount", "-t", "tmpfs", "-o", "size=90%,mode=1777", "tmpfs", str(machine.TMPFS))


def _unmount_tmpfs():
    machine.run("umount", str(machine.TMPFS))
    machine.TMPFS.rmdir()


def _freeze():
    """A small file system in a file, frozen: a write waits in the kernel, uninterruptibly, until it is thawed."""
    machine.FROZEN.mkdir(exist_ok=True)
    machine.run("fallocate", "--length", "16MiB", str(_FROZEN_FILE))
    machine.run("mke2fs", "-q", "-t", "ext4", str(_FROZEN_FILE))
    machine.run("mount", "-o", "loop", str(_FROZEN_FILE), str(machine.FROZEN))
    machine.FROZEN.chmod(0o1777)
    Path(machine.FROZEN, "file").write_bytes(bytes(4096))
    Path(machine.FROZEN, "file").chmod(0o666)
    machine.run("fsfreeze", "--freeze", str(machine.FROZEN))


def thaw():
    """Let go of whoever is stuck; nothing happens where nothing is frozen."""
    if machine.FROZEN.is_mount():
        machine.run("fsfreeze", "--unfreeze", str(machine.FROZEN), check=False)


def _unmount_frozen():
    thaw()
    machine.run("umount", str(machine.FROZEN), check=False)
    if not machine.FROZEN.is_mount():
        machine.FROZEN.rmdir()
    _FROZEN_FILE.unlink(missing_ok=True)


def _make_pages():
    """The file whose pages fill the page cache: 900 MiB on disk."""
    path = Path("/var/tmp/vm-pages")
    if not path.exists():
        machine.run("dd", "if=/dev/urandom", f"of={path}", "bs=4M", "count=225", "status=none", seconds=300)
        path.chmod(0o644)


def _hold_back():
    """What memory.min of the slice protects is never reclaimed. The killer reads it when it starts."""
    machine.run("systemctl", "start", "work.slice")
    machine.run("systemctl", "set-property", "--runtime", "work.slice", f"MemoryMin={_HELD_BACK_MIB}M")
    held_back = Path("/sys/fs/cgroup/work.slice/memory.min").read_text()
    if int(held_back) != _HELD_BACK_MIB << 20:
        raise RuntimeError(f"memory.min of work.slice is {held_back}")
    _restart_killer()


def _hold_nothing_back():
    machine.run("systemctl", "set-property", "--runtime", "work.slice", "MemoryMin=0")
    _restart_killer()


def _restart_killer():
    if daemons.main_pid(KILLER):
        _restart_pair()


PREPARATIONS = {
    "full-disk": (machine.fill_disk, machine.empty_disk),
    "stopped-journal": (_stop_journal, _continue_journal),
    "hidepid": (_hide_processes, _show_processes),
    "tmpfs": (_mount_tmpfs, _unmount_tmpfs),
    "frozen": (_freeze, _unmount_frozen),
    "page-file": (_make_pages, lambda: None),
    "held-back": (_hold_back, _hold_nothing_back),
}
"""Before anything of the scenario runs, and how each is undone."""

BLOWS = {
    "kill-killer": (KILLER, signal.SIGKILL),
    "kill-monitor": (MONITOR, signal.SIGKILL),
    "stop-monitor": (MONITOR, signal.SIGSTOP),
}
"""In the middle of it: which daemon gets which signal."""


def strike(blow):
    """The PID that was struck. Raises RuntimeError: it did not run."""
    unit, number = BLOWS[blow]
    pid = daemons.main_pid(unit)
    if pid <= 0:
        raise RuntimeError(f"{unit} does not run")
    os.kill(pid, number)
    return pid
