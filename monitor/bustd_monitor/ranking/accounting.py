"""What each process is charged with: memory that several of them have in common counts once. Pure.

- Processes with one memory (CLONE_VM) are one: the eldest is charged, the death of another frees nothing.
- A child that holds as much as its parent, and runs the same program, holds copies: its death frees nothing of them,
  and the parent's nothing before the child is gone. So the child counts as what it holds beyond, or has gained since it
  was first seen, and the parent dies after others.
- Shared memory counts as far as files of tmpfs do not explain it, and once per family. A family is what a fork makes: a
  parent and its children that run the same program (told by the size of its text) in the same control group. Children
  of one parent that maps nothing itself are one too, unless all processes together map no more than there is: then
  they were started side by side, and have nothing in common.
- A family's shared memory is charged to the parent, whose death ends a server, if it maps a part of it itself; else to
  the process that maps most.
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..sensing.processes import LEAST_SHARED, Process

_ALIKE_PART = 16
"""A child whose memory is within a sixteenth of its parent's holds a copy of that."""
_LEAST_COPIED = 4 * 2**20
_PARENTS_PART = 64
"""A parent that maps less than this part of what a child maps only starts programs: the zygote of a browser."""


class SharedMemory(NamedTuple):
    """Of the machine, in bytes: what processes hold of it, and how much of that was new within the last ten seconds."""

    held_bytes: int = 0
    gained_bytes: int = 0


def accounted(processes: list[Process], shared: SharedMemory) -> list[Process]:
    """The same processes, with what counts for each in `held_bytes` and `gained_bytes`."""
    return counted_together(_with_one_memory(processes), shared)


def counted_together(processes: list[Process], shared: SharedMemory, *, has_copies: bool = True) -> list[Process]:
    """As `accounted`, but each of several processes with one memory counts: of those that die together all die.

    `has_copies` False: it is known that no child holds copies of what its parent holds.
    """
    if has_copies:
        processes = _without_copies(processes)
    if shared.held_bytes < LEAST_SHARED or not any(one.shared_bytes >= LEAST_SHARED for one in processes):
        return processes
    charged = {one.pid: charge for one, charge in _charged(processes, shared.held_bytes)}
    return [_with_shared(one, charged[one.pid], shared) if one.pid in charged else one for one in processes]


def twins(processes: list[Process]) -> dict[int, int]:
    """For each process whose memory is an elder one's too (CLONE_VM), the PID of that."""
    by_print: dict[int, list[Process]] = {}
    for one in processes:
        if one.memory_print:
            by_print.setdefault(one.memory_print, []).append(one)
    found: dict[int, int] = {}
    for alike in by_print.values():
        if len(alike) > 1:
            eldest = min(alike, key=lambda one: (one.start_ticks, one.pid))
            # Forked siblings that do the same work may look alike to the byte: of more than a pair they count each.
            others = [one for one in alike if one is not eldest]
            are_two = len(others) == 1 and _are_siblings(others[0], eldest)
            found.update({one.pid: eldest.pid for one in others if are_two or one.parent == eldest.pid})
    return found


def _are_siblings(one: Process, other: Process) -> bool:
    """Whether one parent has made both, for one purpose: init is the parent of every service."""
    return (one.parent, one.cgroup) == (other.parent, other.cgroup)


def _with_one_memory(processes: list[Process]) -> list[Process]:
    elder = twins(processes)
    if not elder:
        return processes
    younger: dict[int, list[tuple[int, int]]] = {}
    for one in processes:
        if one.pid in elder:
            younger.setdefault(elder[one.pid], []).append((one.pid, one.start_ticks))
    return [
        _without_memory(one) if one.pid in elder else one._replace(twins=tuple(younger.get(one.pid, ())))
        for one in processes
    ]


def _without_memory(process: Process) -> Process:
    return process._replace(held_bytes=0, gained_bytes=0, shared_bytes=0, shared_gained_bytes=0)


def _without_copies(processes: list[Process]) -> list[Process]:
    known = {one.pid: one for one in processes}
    copies: dict[int, int] = {}
    copied: dict[int, int] = {}
    for one in processes:
        parent = known.get(one.parent)
        if parent is not None and _is_copy(one, parent):
            copies[one.pid] = min(parent.held_bytes, one.held_bytes - own_bytes(one))
            copied[parent.pid] = max(copied.get(parent.pid, 0), copies[one.pid])
    if not copies:
        return processes
    counted = []
    for one in processes:
        held = max(one.held_bytes - copies.get(one.pid, 0), 0)
        counted.append(one._replace(held_bytes=held, copied_bytes=min(copied.get(one.pid, 0), held)))
    return counted


def own_bytes(process: Process) -> int:
    """What it has gained since it was first seen, which are no copies. Of a newcomer that is not known."""
    return process.gained_bytes if process.gained_bytes < process.held_bytes else 0


def _is_copy(child: Process, parent: Process) -> bool:
    if child.held_bytes - own_bytes(child) < _LEAST_COPIED or child.program_bytes != parent.program_bytes:
        return False
    is_younger = (parent.start_ticks, parent.pid) < (child.start_ticks, child.pid)
    return is_younger and abs(parent.held_bytes - child.held_bytes) * _ALIKE_PART <= parent.held_bytes


def _charged(processes: list[Process], there_is: int) -> list[tuple[Process, int]]:
    """Each process that is charged with shared memory, and with how much of it."""
    sharing = [one for one in processes if one.shared_bytes >= LEAST_SHARED]
    may_be_apart = sum(one.shared_bytes for one in sharing) <= there_is
    charged = []
    for family in _families(sharing):
        by_pid = {one.pid: one for one in family}
        most = max(family, key=lambda one: one.shared_bytes)
        parent = by_pid.get(most.parent)
        if may_be_apart and not any(one.parent in by_pid for one in family):
            charged += [(one, one.shared_bytes) for one in family]
        elif parent is not None and parent.shared_bytes * _PARENTS_PART >= most.shared_bytes:
            charged.append((parent, min(most.shared_bytes, there_is)))
        else:
            charged.append((most, min(most.shared_bytes, there_is)))
    return charged


def _families(sharing: list[Process]) -> list[list[Process]]:
    """The processes by what forked them. One whose parent is unknown, or the init, is a family of its own."""
    known = {one.pid: one for one in sharing}
    heads = {(one.parent, _kind(one)) for one in sharing}
    families: dict[tuple[int, object], list[Process]] = {}
    for one in sharing:
        head, kind = one, _kind(one)
        for _ in sharing:  # PIDs that were reused could make a circle
            parent = known.get(head.parent)
            if parent is None or _kind(parent) != kind:
                break
            head = parent
        is_alone = head.parent <= 1 or (head.pid, kind) in heads
        families.setdefault((head.pid if is_alone else head.parent, kind), []).append(one)
    return list(families.values())


def _kind(process: Process) -> object:
    """What a fork leaves as it is: the program, and mostly the control group."""
    return process.program_bytes, process.cgroup


def _with_shared(process: Process, charge: int, shared: SharedMemory) -> Process:
    """The process with so much of the shared memory in what it holds."""
    gained = min(process.shared_gained_bytes, shared.gained_bytes + process.shared_swapped_bytes, charge)
    return process._replace(
        held_bytes=process.held_bytes + charge,
        gained_bytes=process.gained_bytes + gained,
        shared_bytes=max(process.shared_bytes - charge, 0),
    )
