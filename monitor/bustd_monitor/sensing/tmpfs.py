"""What files of tmpfs and segments of System V hold of shared memory: the death of no process frees these.

The rest of Shmem (/proc/meminfo) is anonymous shared memory and memfds, which vanish with the last process that maps
them. Of a tmpfs statfs(2) counts what was moved to swap too, so more may count as files than is in memory.
"""

from __future__ import annotations

import os
import select

from .held_file import HeldFile

_MOUNTS_BYTES, _SEGMENTS_BYTES = 256 * 1024, 64 * 1024
_MOST_MOUNTS = 64
_LOCAL = (
    *(b"rootfs", b"ramfs", b"tmpfs", b"devtmpfs", b"overlay", b"ext4", b"ext3", b"ext2", b"xfs", b"btrfs"),
    *(b"f2fs", b"bcachefs", b"zfs", b"squashfs", b"erofs", b"proc", b"sysfs"),
)
"""Only below these is a path looked up: a file system of a network, or of FUSE, may never answer."""
_DESTROYED = 0o1000
"""SHM_DEST: the segment is freed when the last process detaches it (shmctl(2), IPC_RMID)."""

Mount = tuple[bytes, int]
"""Where a file system is mounted, and its device number."""


def parse_mounts(data: bytes) -> list[Mount]:
    """The tmpfs in /proc/self/mountinfo (proc_pid_mountinfo(5)), each once, that can be looked up without waiting."""
    found: dict[bytes, Mount] = {}
    others: list[bytes] = []
    lines = [line.split() for line in data.split(b"\n")]
    mounts = [(words[2], words[4], words[words.index(b"-") + 1]) for words in lines if b"-" in words[6:-1]]
    for device, point, kind in mounts:
        if kind == b"tmpfs" and device not in found:
            major, _, minor = device.partition(b":")
            if _is_small(major) and _is_small(minor):
                found[device] = (_unescaped(point), os.makedev(int(major), int(minor)))
        elif kind not in _LOCAL:
            others.append(_unescaped(point))
    others = [other.rstrip(b"/") + b"/" for other in others]  # also one that is mounted over the tmpfs itself
    return [one for one in found.values() if not any((one[0] + b"/").startswith(other) for other in others)]


def parse_segments(data: bytes) -> int:
    """Bytes in memory of the segments in /proc/sysvipc/shm (proc_sysvipc_shm(5)) that outlive the processes."""
    total = 0
    for line in data.split(b"\n")[1:]:
        words = line.split()
        try:
            total += max(int(words[14]), 0) if not int(words[2], 8) & _DESTROYED else 0
        except (ValueError, IndexError):
            continue
    return total


class Tmpfs:
    """Reads them. The list of mounts is read again only when the kernel says that it has changed."""

    def __init__(self, proc: str = "/proc") -> None:
        self._segments = HeldFile(f"{proc}/sysvipc/shm", _SEGMENTS_BYTES)
        self._points: list[bytes] = []
        self.fullest = b""
        """Where the one is mounted that held most when they were asked last; b"" if none held anything."""
        try:
            self._mountinfo = os.open(f"{proc}/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._mountinfo = -1
        self._poll = select.poll()
        if self._mountinfo >= 0:
            self._poll.register(self._mountinfo, select.POLLPRI)
            self._list()

    def held_bytes(self) -> int:
        """What all of them hold now. A tmpfs that can't be asked holds nothing that is known."""
        if self._mountinfo >= 0 and self._poll.poll(0):
            self._list()
        held, most, self.fullest = parse_segments(self._segments.read()), 0, b""
        for point in self._points:
            try:
                found = os.statvfs(point)
            except OSError:
                continue
            used = (found.f_blocks - found.f_bfree) * found.f_frsize
            held += used
            if used > most:
                most, self.fullest = used, point
        return held

    def close(self) -> None:
        """Close the files."""
        self._segments.close()
        if self._mountinfo >= 0:
            os.close(self._mountinfo)
            self._mountinfo = -1

    def _list(self) -> None:
        """Find the mounts. One that another is mounted over is not the one that its path leads to."""
        try:
            data = b""
            while len(data) < _MOUNTS_BYTES and (chunk := os.pread(self._mountinfo, _MOUNTS_BYTES, len(data))):
                data += chunk
        except OSError:
            return
        self._points = [point for point, device in parse_mounts(data)[:_MOST_MOUNTS] if _is_at(point, device)]


def _is_at(point: bytes, device: int) -> bool:
    try:
        return os.stat(point).st_dev == device
    except OSError:
        return False


def _unescaped(point: bytes) -> bytes:
    """A path as it is: space, tab, newline and backslash stand in octal in mountinfo."""
    parts = point.split(b"\\")
    return parts[0] + b"".join(
        bytes([int(part[:3], 8) & 0xFF]) + part[3:] if _is_octal(part[:3]) else b"\\" + part for part in parts[1:]
    )


def _is_octal(digits: bytes) -> bool:
    return len(digits) == 3 and not digits.strip(b"01234567")


def _is_small(number: bytes) -> bool:
    """Whether makedev(3) can take it: the kernel's majors have 12 bits, its minors 20."""
    return number.isdigit() and len(number) <= 9
