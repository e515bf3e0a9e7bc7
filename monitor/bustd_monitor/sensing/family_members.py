"""Which processes die together as a family: those that were found, and then those that it starts while it dies."""

from __future__ import annotations

from .kin import Kinship, read_kin
from .members import Member, Members


class FamilyMembers:
    """The members of one kill, as `Members` has them, of which only a family dies.

    `everything`: what is in its process group or control group. `found`: those that the ranking has found, without the
    victim. `born_ticks`: the start time of the youngest of all.
    """

    def __init__(self, everything: Members, found: tuple[Member, ...], kinship: Kinship, born_ticks: int) -> None:
        self._everything, self._found, self._kinship = everything, found, kinship
        self._born_ticks = born_ticks
        self._was_listed = False

    def listed(self) -> list[Member]:
        """At first those that were found: whether they live, the killer sees. Then also those that came since.

        An older process with the same name is none of them: it has not gained.
        """
        if not self._was_listed:
            self._was_listed = True
            return [*self._found]
        younger = [member for member in self._everything.listed() if member[1] >= self._born_ticks]
        return [*dict.fromkeys((*self._found, *(member for member in younger if self._is_kin(member))))]

    def _is_kin(self, member: Member) -> bool:
        kin = read_kin(member[0], self._everything.proc)
        return kin is not None and kin.start_ticks == member[1] and self._kinship.has(kin)


AnyMembers = Members | FamilyMembers
