"""The two errors of this package, which raises no others: our own mistake, and the peer's."""

from __future__ import annotations


class ProtocolError(Exception):
    """A message that the protocol does not allow."""


class LocalProtocolError(ProtocolError):
    """This end was about to break the rules: it has a bug."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the rules: close the connection, and never guess what it meant."""


class OtherVersion(RemoteProtocolError):
    """The peer speaks another version of the protocol: `Connection.farewell_to` has what to tell it."""

    def __init__(self, version: int) -> None:
        super().__init__(f"it speaks version {version} of the protocol")
        self.version = version
