"""What a ranking rests on at one reading: of the configuration, of the killer, and of the machine."""

from __future__ import annotations

from bustd_common.protection import Protection
from bustd_protocol.record import NamedTuple

from ..config import Victims
from ..deciding.filling import room_bytes
from ..deciding.reading import Reading
from .order import Terms


class Rules(NamedTuple):
    """What does not change from one reading to the next. `advice` is what the killer will refuse anyway.

    `minimum_bytes`: so much a victim must hold for the killer. `only_uid` -1: any user's processes.
    """

    victims: Victims
    advice: Protection
    minimum_bytes: int
    only_uid: int = -1


def terms_at(reading: Reading, rules: Rules) -> Terms:
    """The terms of a ranking at this reading."""
    return Terms(*rules, total_bytes=reading.ram + reading.swap_total, room_bytes=room_bytes(reading))
