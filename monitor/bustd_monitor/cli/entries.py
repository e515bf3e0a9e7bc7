"""Events as they are read back: from the journal, and from the monitor's socket.

Both speak the Journal Export Format (systemd.io/JOURNAL_EXPORT_FORMATS): `journalctl -o export` prints it, and a packet
of the socket is one entry of it. Any user may have written an entry: who reads the journal asks it for our units only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from ..reporting.events import KINDS, Kind

LONGEST_FIELD_BYTES = 1 << 20
"""A longer field is no entry of ours."""

_BY_ID = {kind.message_id: kind for kind in KINDS}
_PREFIX = "BUSTD_"


class BrokenEntry(ValueError):
    """These bytes are not of the export format."""


class Entry(NamedTuple):
    """One event. `fields` has every field of the entry by its whole name; one name may have several values."""

    fields: dict[str, list[bytes]]

    @property
    def kind(self) -> Kind | None:
        """What kind of event this is; None if it is none of ours, or of a newer bustd."""
        return _BY_ID.get(self.text("MESSAGE_ID"))

    @property
    def message(self) -> str:
        """The line of the log."""
        return self.text("MESSAGE")

    @property
    def time_us(self) -> int:
        """Microseconds since 1970, 0 if the entry has none."""
        return self.number("__REALTIME_TIMESTAMP") or 0

    def text(self, name: str) -> str:
        """The first value of this field, "" if there is none. What is no UTF-8 is escaped."""
        return self.fields.get(name, [b""])[0].decode("utf-8", "backslashreplace")

    def number(self, name: str) -> int | None:
        """The first value of this field as a number, None if it is none."""
        text = self.text(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None

    def own(self, name: str) -> str:
        """As `text`, of a field of bustd's: `own("VICTIM_COMM")`."""
        return self.text(_PREFIX + name)

    def own_number(self, name: str) -> int | None:
        """As `number`, of a field of bustd's."""
        return self.number(_PREFIX + name)

    def all_own(self, name: str) -> list[str]:
        """Every value of this field of bustd's."""
        return [value.decode("utf-8", "backslashreplace") for value in self.fields.get(_PREFIX + name, [])]


def entries(stream: BinaryIO) -> Iterator[Entry]:
    """Every entry of a stream. Raises BrokenEntry."""
    fields: dict[str, list[bytes]] = {}
    while line := stream.readline(LONGEST_FIELD_BYTES):
        if not line.endswith(b"\n"):
            raise BrokenEntry("a line without an end")
        if line == b"\n":
            if fields:
                yield Entry(fields)
            fields = {}
            continue
        name, separator, value = line[:-1].partition(b"=")
        if not separator:
            value = _counted(stream)
        fields.setdefault(name.decode("ascii", "backslashreplace"), []).append(value)
    if fields:
        yield Entry(fields)


def _counted(stream: BinaryIO) -> bytes:
    """A value with its length before it (64 bits, little endian), because it has a newline."""
    size = int.from_bytes(stream.read(8), "little")
    if size > LONGEST_FIELD_BYTES:
        raise BrokenEntry(f"a field of {size} bytes")
    value = stream.read(size + 1)
    if len(value) != size + 1 or value[-1:] != b"\n":
        raise BrokenEntry("a field without an end")
    return value[:-1]
