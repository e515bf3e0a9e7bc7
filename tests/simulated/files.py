"""An in-memory file system for the real readers: what they open below /proc and /sys is the simulated machine's.

`shown` replaces the functions of `os` (and open, sysinfo(2), the clock of boot time) while it lasts, and leaves every
other path to the real ones. So a new reader works without a change here, unless it reads a file that is not there yet.
"""

from __future__ import annotations

import builtins
import errno
import io
import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest import mock

from bustd_killer import facts, flight
from bustd_monitor.sensing import sysinfo

from . import cgroup_files, proc_files
from .lives import BOOT_S
from .machine import Machine
from .memory import Kind

_ROOTS = ("/proc", "/sys")
_TMPFS = ("/dev/shm", b"/dev/shm")
_FIRST_DESCRIPTOR = 1_000_000
OWN_PID, OWN_PARENT = 400, 399
"""What the monitor takes itself and its parent for: PIDs that no simulated process has."""
_GROUPS = "/sys/fs/cgroup"

Read = Callable[[], bytes]


class RecordedProcess:
    """What os.scandir tells of a name."""

    def __init__(self, name: str, *, is_folder: bool) -> None:
        self.name = name
        self._is_folder = is_folder

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._is_folder

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return not self._is_folder


class Files:
    """The files of one machine, and the descriptors that are open on them."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.reads = 0
        self._numbers = itertools.count(_FIRST_DESCRIPTOR)
        self._open: dict[int, Read] = {}
        self._rest: dict[int, bytes] = {}
        self._held: dict[int, int] = {}

    # --- paths

    def reader(self, path: str) -> Read:
        """What reads this file. Raises FileNotFoundError; the reader raises ProcessLookupError once it is gone."""
        parts = path.strip("/").split("/")
        found = self._of_proc(parts[1:]) if parts[0] == "proc" else self._of_sys(path, parts[1:])
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return found

    def _of_proc(self, parts: list[str]) -> Read | None:
        if parts[0].isdigit():
            return self._of_process(parts)
        name = "/".join(parts)
        render = proc_files.MACHINE_FILES.get(name)
        if render is None or (name == proc_files.ARCSTATS and not self.machine.arc):
            return None
        return lambda: render(self.machine)

    def _of_process(self, parts: list[str]) -> Read | None:
        process, names = self.machine.processes.get(int(parts[0])), parts[1:]
        is_thread = names[:1] == ["task"]
        if is_thread:
            if names[1:2] != [parts[0]]:
                return None
            names = names[2:]
        render = proc_files.PROCESS_FILES.get("/".join(names))
        if process is None or render is None or (is_thread and names[0] not in proc_files.THREAD_FILES):
            return None

        def read() -> bytes:
            if not process.is_alive:
                raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
            return render(self.machine, process)

        return read

    def _of_sys(self, path: str, parts: list[str]) -> Read | None:
        if path.startswith(f"{_GROUPS}/"):
            folder, _, name = path[len(_GROUPS) :].rpartition("/")
            group = self.machine.hierarchy.find(folder)
            render = cgroup_files.files_of(group).get(name) if group is not None else None
            return None if render is None or group is None else lambda: render(self.machine, group)
        system = cgroup_files.SYSTEM_FILES.get("/".join(parts))
        return None if system is None else lambda: system(self.machine)

    def entries(self, path: str) -> list[RecordedProcess]:
        """What is in this folder. Raises FileNotFoundError."""
        parts = path.strip("/").split("/")
        if parts == ["proc"]:
            pids = [RecordedProcess(str(pid), is_folder=True) for pid in sorted(self.machine.processes)]
            return [
                *pids,
                *(RecordedProcess(name, is_folder=False) for name in proc_files.MACHINE_FILES if "/" not in name),
            ]
        if parts[0] == "proc" and parts[1].isdigit() and int(parts[1]) in self.machine.processes:
            if parts[2:] == ["task"]:
                return [RecordedProcess(parts[1], is_folder=True)]
            if not parts[2:]:
                return [
                    RecordedProcess("task", is_folder=True),
                    *(RecordedProcess(name, is_folder=False) for name in proc_files.PROCESS_FILES),
                ]
        group = self.machine.hierarchy.find(path[len(_GROUPS) :].rstrip("/")) if path.startswith(_GROUPS) else None
        if group is not None:
            files = [RecordedProcess(name, is_folder=False) for name in cgroup_files.files_of(group)]
            return [*(RecordedProcess(name, is_folder=True) for name in group.children), *files]
        if path.rstrip("/") == "/sys/devices/system/node":
            return [RecordedProcess("node0", is_folder=True), RecordedProcess("online", is_folder=False)]
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def stat(self, path: str) -> SimpleNamespace:
        """As much of os.stat as anybody here asks for."""
        try:
            self.entries(path)
            mode = 0o040555
        except FileNotFoundError:
            self.reader(path)
            mode = 0o100444
        group = self.machine.hierarchy.find(path[len(_GROUPS) :]) if path.startswith(_GROUPS) else None
        device = 22 if path.startswith("/proc") else 23
        return SimpleNamespace(
            st_dev=device, st_ino=hash(path) & 0xFFFF, st_mode=mode, st_uid=group.owner_uid if group else 0
        )

    # --- descriptors

    def open(self, path: str) -> int:
        try:
            read = self.reader(path)
        except FileNotFoundError:
            self.entries(path)
            read = bytes
        number = next(self._numbers)
        self._open[number] = read
        return number

    def pread(self, number: int, count: int, offset: int) -> bytes:
        self.reads += 1
        return self._open[number]()[offset : offset + count]

    def read(self, number: int, count: int) -> bytes:
        """The next bytes; the text is that of the first read."""
        if number not in self._rest:
            self.reads += 1
            self._rest[number] = self._open[number]()
        data, self._rest[number] = self._rest[number][:count], self._rest[number][count:]
        return data

    def close(self, number: int) -> None:
        self._rest.pop(number, None)
        if self._open.pop(number, None) is None:
            del self._held[number]

    def hold(self, pid: int) -> int:
        """pidfd_open(2)."""
        if pid not in self.machine.processes:
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        number = next(self._numbers)
        self._held[number] = pid
        return number

    def exited(self, numbers: Iterator[int]) -> set[int]:
        """The pidfds that are readable."""
        return {number for number in numbers if self._held[number] not in self.machine.processes}

    def send(self, number: int, signal: int, cause: Callable[[int], str]) -> None:
        """pidfd_send_signal(2)."""
        if not self.machine.signal(self._held[number], signal, cause(signal)):
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))

    def space_of(self, path: str) -> SimpleNamespace:
        """statvfs(3) of the one tmpfs."""
        size, used = int(self.machine.ram / 2), int(sum(b.total for b in self.machine.blocks if b.kind is Kind.TMPFS))
        free = max(size - used, 0) // proc_files.PAGE
        return SimpleNamespace(
            f_bsize=proc_files.PAGE,
            f_frsize=proc_files.PAGE,
            f_blocks=max(size, used) // proc_files.PAGE,
            f_bfree=free,
            f_bavail=free,
        )


def _is_ours(path: object) -> bool:
    return isinstance(path, str) and (path in _ROOTS or path.startswith(("/proc/", "/sys/")))


@contextmanager
def shown(machine: Machine, cause: Callable[[int], str] = lambda signal: f"signal {signal}") -> Iterator[Files]:
    """While this lasts, /proc and /sys are the machine's, and pidfds are of its processes.

    `cause`: why a signal comes, for the account of the scene.
    """
    files = Files(machine)
    real = {
        name: getattr(os, name) for name in ("open", "pread", "read", "close", "listdir", "scandir", "stat", "statvfs")
    }
    real_open = builtins.open

    def is_simulated(number: object) -> bool:
        return isinstance(number, int) and number >= _FIRST_DESCRIPTOR

    @contextmanager
    def scandir(path: str) -> Iterator[Iterator[RecordedProcess]]:
        yield iter(files.entries(path))

    def call_sysinfo(_reference: object) -> None:
        raw = sysinfo._raw
        raw.mem_unit, raw.totalram, raw.freeram = 1, int(machine.ram) & ~4095, int(max(machine.free, 0)) & ~4095

    def no_attribute(path: str, *_: object, **__: object) -> bytes:
        raise OSError(errno.ENODATA, os.strerror(errno.ENODATA), path)

    def opened(file: object, mode: str = "r", *rest: object, **more: object) -> object:
        if not _is_ours(file):
            return real_open(file, mode, *rest, **more)  # type: ignore[call-overload]
        data = files.reader(str(file))()
        return io.BytesIO(data) if "b" in mode else io.StringIO(data.decode())

    def stat(path: str, *rest: object, **more: object) -> object:
        if path in _TMPFS:
            return SimpleNamespace(st_dev=os.makedev(0, 24), st_mode=0o041777)
        return files.stat(path) if _is_ours(path) else real["stat"](path, *rest, **more)

    replacements = {
        "open": lambda path, *rest, **more: files.open(path) if _is_ours(path) else real["open"](path, *rest, **more),
        "pread": lambda fd, n, at: files.pread(fd, n, at) if is_simulated(fd) else real["pread"](fd, n, at),
        "read": lambda fd, n: files.read(fd, n) if is_simulated(fd) else real["read"](fd, n),
        "close": lambda fd: files.close(fd) if is_simulated(fd) else real["close"](fd),
        "listdir": lambda path=".": (
            [one.name for one in files.entries(path)] if _is_ours(path) else real["listdir"](path)
        ),
        "scandir": lambda path=".": scandir(path) if _is_ours(path) else real["scandir"](path),
        "stat": stat,
        "statvfs": lambda path: files.space_of(path) if path in _TMPFS else real["statvfs"](path),
        "getxattr": no_attribute,
        "pidfd_open": files.hold,
        "getpid": lambda: OWN_PID,
        "getppid": lambda: OWN_PARENT,
    }
    with (
        mock.patch.multiple(os, **replacements),
        mock.patch.object(builtins, "open", opened),
        mock.patch.object(time, "clock_gettime", lambda _clock: BOOT_S + machine.now_s),
        mock.patch.object(sysinfo, "_call", call_sysinfo),
        mock.patch.object(facts, "exited", files.exited),
        mock.patch.object(flight, "pidfd_send_signal", lambda fd, number: files.send(fd, number, cause)),
    ):
        yield files
