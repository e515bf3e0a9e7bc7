"""What the kernel says about the memory of the control group that is watched instead of the machine.

A killer that judges by the whole machine never loads this.
"""

from __future__ import annotations

from bustd_shared.kernel.cgroup_memory import GroupFiles
from bustd_shared.kernel.procfs import Meminfo

from .facts import MachineFiles


class CgroupFiles(MachineFiles):
    """As MachineFiles, by the group's own files and those of the groups above it (see cgroup_memory)."""

    def __init__(self, hierarchy: str, group: str, proc: str = "/proc") -> None:
        self._files = GroupFiles(hierarchy, group, proc)

    def read(self) -> Meminfo | None:
        """The memory as it is now; None where the files make no sense, or the group does not exist."""
        memory = self._files.read()
        return None if memory is None else memory.meminfo
