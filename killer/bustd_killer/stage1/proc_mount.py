"""Which users the mount of /proc hides processes from (proc(5), hidepid and gid)."""

from __future__ import annotations

import os

from bustd_shared.daemon.record import NamedTuple

_LEVELS = {b"off": 0, b"noaccess": 1, b"invisible": 2, b"ptraceable": 4}
"""As Linux 5.8 and later show them; before that they are numbers."""

_BY_TRACING_ALONE = 4


class ProcMount(NamedTuple):
    """`level` as hidepid has it: 0 hides nothing; with 4 no group helps. `gid`: the group that sees all processes."""

    level: int = 0
    gid: int = 0

    def hides_from(self, groups: frozenset[int]) -> bool:
        """Whether a process with these groups, its effective one included, sees only what it may trace."""
        return self.level == _BY_TRACING_ALONE or (self.level > 0 and self.gid not in groups)

    def groups_that_see(self) -> tuple[int, ...]:
        """The group that a user must be in to see all processes; empty where none is needed, and where none helps.

        Without gid= that is group 0, root's.
        """
        return (self.gid,) if self.level not in (0, _BY_TRACING_ALONE) else ()


def parse(mountinfo: bytes, place: str = "/proc") -> ProcMount:
    """The mount that is visible at `place`, from /proc/PID/mountinfo; one that hides nothing if there is none."""
    found = ProcMount()
    for line in mountinfo.splitlines():
        before, _, after = line.partition(b" - ")
        fields, source = before.split(), after.split()
        if len(fields) > 4 and len(source) > 2 and source[0] == b"proc" and fields[4] == place.encode():
            found = _of_options(source[2].split(b","))  # a later mount covers an earlier one
    return found


def of_this_process() -> ProcMount:
    """The mount of /proc that this process sees. Raises OSError where there is none."""
    with open("/proc/self/mountinfo", "rb") as mountinfo:
        return parse(mountinfo.read())


def own_groups() -> frozenset[int]:
    """The groups by which the kernel judges this process."""
    return frozenset((os.getegid(), *os.getgroups()))


def _of_options(options: list[bytes]) -> ProcMount:
    values = {name: value for name, _, value in (option.partition(b"=") for option in options)}
    level, gid = values.get(b"hidepid", b"0"), values.get(b"gid", b"0")
    return ProcMount(_LEVELS[level] if level in _LEVELS else int(level), int(gid))
