"""What a scenario does to the machine or to bustd itself: before it begins, or once memory is short."""

import os
import signal
from pathlib import Path

import daemons
import machine


def _hide_processes():
    """hidepid=2 on /proc, before both daemons start. Their units have a /proc of their own, which does not have it."""
    machine.run("mount", "-o", "remount,hidepid=2", "/proc")
    _restart_pair()


def _show_processes():
    machine.run("mount", "-o", "remount,hidepid=0", "/proc")
    _restart_pair()


def _restart_pair():
    machine.run("systemctl", "restart", "bustd-killer", "bustd-monitor")
    daemons.await_killer()


def _stop_journal():
    """journald takes nothing any more: its sockets fill up, and whoever waits for it waits for ever."""
    os.kill(daemons.main_pid("systemd-journald"), signal.SIGSTOP)


def _continue_journal():
    os.kill(daemons.main_pid("systemd-journald"), signal.SIGCONT)


def _mount_tmpfs():
    Path("/run/vm-tmpfs").mkdir(exist_ok=True)
    machine.run("mount", "-t", "tmpfs", "-o", "size=90%,mode=1777", "tmpfs", "/run/vm-tmpfs")


def _unmount_tmpfs():
    machine.run("umount", "/run/vm-tmpfs")


def _make_pages():
    """The file whose pages fill the page cache: 900 MiB on disk."""
    path = Path("/var/tmp/vm-pages")
    if not path.exists():
        machine.run("dd", "if=/dev/urandom", f"of={path}", "bs=4M", "count=225", "status=none", seconds=300)
        path.chmod(0o644)


PREPARATIONS = {
    "full-disk": (machine.fill_disk, machine.empty_disk),
    "stopped-journal": (_stop_journal, _continue_journal),
    "hidepid": (_hide_processes, _show_processes),
    "tmpfs": (_mount_tmpfs, _unmount_tmpfs),
    "page-file": (_make_pages, lambda: None),
}
"""Before anything of the scenario runs, and how each is undone."""

BLOWS = {
    "kill-killer": lambda: os.kill(daemons.main_pid("bustd-killer"), signal.SIGKILL),
    "kill-monitor": lambda: os.kill(daemons.main_pid("bustd-monitor"), signal.SIGKILL),
    "stop-monitor": lambda: os.kill(daemons.main_pid("bustd-monitor"), signal.SIGSTOP),
}
"""In the middle of it."""
