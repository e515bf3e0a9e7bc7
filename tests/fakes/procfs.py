"""A /proc tree in a directory. The readers see what a test puts there, however odd it is."""

from __future__ import annotations

import shutil
from pathlib import Path

PF_KTHREAD = 0x00200000
UNIFIED = b"0::/user.slice/user-1000.slice/user@1000.service/app.slice/leak.scope\n"


def stat_line(
    pid: int,
    comm: bytes = b"leak",
    *,
    state: bytes = b"S",
    parent: int = 1,
    group: int | None = None,
    flags: int = 0x400000,
    threads: int = 1,
    start_ticks: int = 1000,
) -> bytes:
    """/proc/PID/stat with the fields of proc_pid_stat(5); those that no reader uses are 0."""
    of_group = pid if group is None else group
    fields = (state, parent, of_group, of_group, 0, -1, flags, *(0,) * 8, 20, 0, threads, 0, start_ticks, *(0,) * 30)
    words = (field if isinstance(field, bytes) else b"%d" % field for field in fields)
    return b"%d (%s) %s\n" % (pid, comm, b" ".join(words))


def status_text(
    comm: bytes = b"leak",
    *,
    tgid: int | None = None,
    uid: int | tuple[int, int, int, int] = 1000,
    groups: tuple[int, ...] = (4, 24),
    anonymous_kib: int | None = 102_400,
    swap_kib: int = 0,
    shared_kib: int = 0,
    tables_kib: int = 0,
    ignored: int = 0,
    caught: int = 0,
    pids: tuple[int, ...] = (),
    program_kib: int = 0,
) -> bytes:
    """/proc/PID/status, in the order of the kernel. anonymous_kib None: no memory (a zombie, a kernel thread).

    `uid`: real, effective, saved and of the file system, or one for all four. `ignored`, `caught`: masks of signals.
    `pids`: in each PID namespace that it is in, the outermost first. `program_kib`: of the text of its program.
    """
    lines = [b"Name:\t" + comm.replace(b"\\", b"\\\\").replace(b"\n", b"\\n"), b"Umask:\t0022", b"State:\tS (sleeping)"]
    if tgid is not None:
        lines.append(b"Tgid:\t%d" % tgid)
    uids = (uid,) * 4 if isinstance(uid, int) else uid
    lines += [b"Uid:\t%d\t%d\t%d\t%d" % uids, b"Gid:\t%d\t%d\t%d\t%d" % uids]
    lines.append(b"Groups:\t" + b"".join(b"%d " % group for group in groups))
    if pids:
        lines.append(b"NSpid:\t" + b"\t".join(b"%d" % pid for pid in pids))
    if anonymous_kib is not None:
        lines += [b"VmRSS:\t%8d kB" % (anonymous_kib + 4), b"RssAnon:\t%8d kB" % anonymous_kib]
        lines += [b"RssFile:\t       4 kB", b"RssShmem:\t%8d kB" % shared_kib, b"VmExe:\t%8d kB" % program_kib]
        lines += [b"VmPTE:\t%8d kB" % tables_kib, b"VmSwap:\t%8d kB" % swap_kib]
    signals = b"SigBlk:\t%016x\nSigIgn:\t%016x\nSigCgt:\t%016x" % (0, ignored, caught)
    return b"\n".join([*lines, b"Threads:\t1", signals, b""])


class FakeProc:
    """The tree. `path` is what a reader takes as its root."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "proc"
        self.directory.mkdir()
        self.path = str(self.directory)

    def write(self, name: str, data: bytes) -> None:
        """Write any file with any content."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def remove(self, name: str) -> None:
        """Remove a file, or a process with all of its files."""
        path = self.directory / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    def process(
        self,
        pid: int,
        comm: bytes = b"leak",
        *,
        oom_score: int = 700,
        oom_score_adj: int = 0,
        uid: int | tuple[int, int, int, int] = 1000,
        anonymous_kib: int | None = 102_400,
        swap_kib: int = 0,
        memory: dict[str, object] | None = None,
        resident_pages: int = 25_600,
        cgroup: bytes = UNIFIED,
        command: bytes = b"",
        **stat: object,
    ) -> None:
        """A process with every file that bustd reads of one. `memory` goes to `status_text`, `stat` to `stat_line`."""
        self.write(f"{pid}/stat", stat_line(pid, comm, **stat))  # type: ignore[arg-type]
        amounts = {"anonymous_kib": anonymous_kib, "swap_kib": swap_kib, **(memory or {})}
        status = status_text(comm, tgid=pid, uid=uid, **amounts)  # type: ignore[arg-type]
        self.write(f"{pid}/status", status)
        self.write(f"{pid}/oom_score", b"%d\n" % oom_score)
        self.write(f"{pid}/oom_score_adj", b"%d\n" % oom_score_adj)
        self.write(f"{pid}/statm", b"%d %d 1 1 0 100 0\n" % (resident_pages * 2, resident_pages))
        self.write(f"{pid}/cgroup", cgroup)
        self.write(f"{pid}/cmdline", command)
        self.write(f"{pid}/task/{pid}/status", status)
        self.write(f"{pid}/task/{pid}/cgroup", cgroup)

    def last_pid(self, pid: int) -> None:
        """Write /proc/loadavg, whose last field is the PID that was given out last."""
        self.write("loadavg", b"0.52 0.16 0.05 5/5076 %d\n" % pid)

    def thread(
        self,
        pid: int,
        tid: int,
        *,
        anonymous_kib: int | None = 102_400,
        swap_kib: int = 0,
        cgroup: bytes = UNIFIED,
    ) -> None:
        """Add a thread to a process, with the memory that it shows."""
        status = status_text(tgid=pid, anonymous_kib=anonymous_kib, swap_kib=swap_kib)
        self.write(f"{pid}/task/{tid}/status", status)
        self.write(f"{pid}/task/{tid}/cgroup", cgroup)

    def meminfo(
        self,
        *,
        total_kib: int = 16_000_000,
        free_kib: int = 1_000_000,
        available_kib: int | None = 2_000_000,
        anonymous_kib: int = 8_000_000,
        swap_total_kib: int = 0,
        swap_free_kib: int = 0,
    ) -> None:
        """Write /proc/meminfo in the order of the kernel. With available_kib None the line is missing."""
        lines = [b"MemTotal:       %8d kB" % total_kib, b"MemFree:        %8d kB" % free_kib]
        if available_kib is not None:
            lines.append(b"MemAvailable:   %8d kB" % available_kib)
        lines += [b"Buffers:            4096 kB", b"SwapCached:            0 kB", b"Active(anon):       5 kB"]
        lines += [b"SwapTotal:      %8d kB" % swap_total_kib, b"SwapFree:       %8d kB" % swap_free_kib]
        lines += [b"AnonPages:      %8d kB" % anonymous_kib, b"Mapped:           77777 kB", b""]
        self.write("meminfo", b"\n".join(lines))

    def pressure(self, some_avg10: float = 0.0, full_avg10: float = 0.0, some_us: int = 0, full_us: int = 0) -> None:
        """Write /proc/pressure/memory with both lines."""
        lines = (
            b"some avg10=%.2f avg60=0.00 avg300=0.00 total=%d\n" % (some_avg10, some_us),
            b"full avg10=%.2f avg60=0.00 avg300=0.00 total=%d\n" % (full_avg10, full_us),
        )
        self.write("pressure/memory", b"".join(lines))
