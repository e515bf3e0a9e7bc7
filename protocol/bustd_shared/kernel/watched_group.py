"""Which control group is watched instead of the whole machine, and who is in it: one answer for both daemons.

`group` is its path in the unified hierarchy: `/a/b`; `/` for the root of a container's; "" for the whole machine.
"""

from __future__ import annotations

import os

from bustd_shared.daemon.record import NamedTuple

from .cgroup_memory import GroupFiles
from .cgroup_paths import in_group

MOUNT = "/sys/fs/cgroup"
_LONGEST = 4096


class CannotWatch(Exception):
    """That control group can't be watched; the reason is one sentence."""


class Watched(NamedTuple):
    """The group, and what is to be said of it at start."""

    group: str
    why: str


def plain(path: str) -> str | None:
    """The path in the hierarchy of what somebody has named, from its mount point or from the root; "" stays "".

    None for what names no control group.
    """
    if not path:
        return ""
    names = [name for name in path.split("/") if name]
    if {".", ".."} & set(names) or len(path) > _LONGEST or not path.isprintable():
        return None
    for mount in (f"{MOUNT}/unified", MOUNT):
        parts = mount[1:].split("/")
        if path.startswith("/") and names[: len(parts)] == parts:
            names = names[len(parts) :]
            break
    return "/" + "/".join(names)


def find(wish: str, root: str, proc: str = "/proc") -> Watched:
    """The group of this name, or what is watched without a wish (""). `root`: see cgroups.hierarchy.

    Without a wish it is the machine, or in a container with less memory than the machine has, that container. Raises
    CannotWatch.
    """
    if not wish:
        return _without_a_wish(root, proc)
    if not root or root.endswith("/unified"):
        raise CannotWatch(
            f"the control group {wish} can't be watched: this machine has control groups of version 1, whose memory is "
            "not supported (boot with systemd.unified_cgroup_hierarchy=1)"
        )
    folder = f"{root}{wish}"
    if not os.path.isdir(folder):
        raise CannotWatch(f"there is no control group {wish} in {root}")
    if not os.path.exists(f"{folder}/memory.max"):
        if wish == "/":
            raise CannotWatch("the control group / is the whole machine here, which is watched without `cgroup`")
        raise CannotWatch(f"the control group {wish} has no memory controller (systemd: MemoryAccounting=yes)")
    limit, ram = _limit_and_ram(root, wish, proc)
    if limit >= ram:
        raise CannotWatch(
            f"nothing limits the control group {wish}: neither it nor one above it has memory.max or memory.high "
            "(systemd: MemoryMax=, MemoryHigh=)"
        )
    return Watched(
        wish, f"watching the control group {wish}, which may have {limit >> 20} MiB, and nothing outside of it"
    )


def _without_a_wish(root: str, proc: str) -> Watched:
    """The real root has no memory.max; that of a container has. But a daemon may be alone in a namespace of its own."""
    machine = Watched("", "watching the whole machine")
    if not root or root.endswith("/unified") or not os.path.exists(f"{root}/memory.max"):
        return machine
    try:
        with open(f"{proc}/1/cgroup", "rb") as file:
            is_container = in_group("/", file.read(_LONGEST))
        limit, ram = _limit_and_ram(root, "/", proc)
    except (OSError, CannotWatch):
        return machine
    if not is_container:
        return machine
    if limit >= ram:  # lxcfs has put the limit into /proc/meminfo
        return machine
    why = f"watching this container's control group, which may have {limit >> 20} MiB of the machine's {ram >> 20} MiB"
    return Watched("/", why)


def _limit_and_ram(root: str, group: str, proc: str) -> tuple[int, int]:
    files = GroupFiles(root, group, proc)
    try:
        return files.limit_and_ram()
    except ValueError:
        raise CannotWatch(f"the control group {group} can't be read") from None
    finally:
        files.close()
