"""Whether this monitor sees the processes that it must rank, and the control groups, and its sandbox lets it read."""

from __future__ import annotations

import os

from bustd_shared.kernel import process
from bustd_shared.kernel.cgroup_paths import in_group

from . import processes

_FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""Its inode number (PROC_PID_INIT_INO in linux/proc_ns.h); every container's is another."""

_OWN_PROCESSES_ONLY = (
    "this is a PID namespace of its own: the memory is the whole machine's, and only the processes in this container "
    "can be seen and killed. To protect the machine, share its PID namespace (podman, Docker: --pid=host; Kubernetes: "
    "hostPID: true)"
)
_OWN_GROUPS_ONLY = (
    "this is a cgroup namespace of its own: the machine's control groups can't be read. So single processes are "
    "killed, and a service that stalls at a limit of its own can't be told from a machine that stalls. Units in "
    "killer.toml are protected all the same. Share the machine's (podman, Docker: --cgroupns=host; in Kubernetes only "
    "a privileged container can)"
)


def hidden_processes(proc: str = "/proc", *, own_only: bool) -> str:
    """What hides processes and how to mend it, as a sentence; "" if nothing does.

    With hidepid (proc(5)) an ordinary user can't see PID 1. `own_only`: only processes of this user may be killed, so
    the others may be hidden.
    """
    if own_only:
        return ""
    try:
        with open(f"{proc}/1/stat", "rb") as stat:
            stat.read()
    except OSError as error:
        return (
            f"{proc} hides other users' processes from uid {os.getuid()} ({error.strerror}): it has hidepid. "
            "Mount it without, or with gid=GROUP and give both units SupplementaryGroups=GROUP"
        )
    return ""


def unreadable_processes(proc: str = "/proc") -> str:
    """What keeps this monitor from reading a process as ranking does, as a sentence; "" if nothing does.

    It is tried on the monitor itself: a sandbox that forbids it must be found at start, not in the first crisis.
    """
    try:
        os.listdir(proc)
    except OSError as error:
        return f"{proc} can't be listed ({error.strerror}): no process could be ranked"
    own, why = None, ""
    try:
        own = processes.read_process(os.getpid(), 0, proc)
    except OSError as error:
        why = f" ({error.strerror})"
    if own is None:
        return f"{proc}/{os.getpid()} can't be read{why}, not even by the monitor itself: no process could be ranked"
    return ""


def narrow_view(proc: str = "/proc") -> list[str]:
    """What a container keeps from a monitor that watches the whole machine, a sentence each."""
    try:
        is_contained = os.stat(f"{proc}/self/ns/pid").st_ino != _FIRST_PID_NAMESPACE
    except OSError:
        is_contained = False  # a kernel without PID namespaces
    of_first = process.read_file(f"{proc}/1/cgroup") or b""
    sees_own_groups = b"0::" in of_first and not in_group("/", of_first)
    return [_OWN_PROCESSES_ONLY] * is_contained + [_OWN_GROUPS_ONLY] * sees_own_groups
