"""Two errors, and nothing else comes out of this package: our mistake, and the peer's."""

from __future__ import annotations


class ProtocolError(Exception):
    """A message that the protocol does not allow, by whoever's fault."""


class LocalProtocolError(ProtocolError):
    """We were about to break the rules: a bug on this side."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the rules: hang up on it, never guess what it meant."""


class OtherVersion(RemoteProtocolError):
    """The peer speaks another version of the protocol: `Connection.farewell_to` has what to tell it."""

    def __init__(self, version: int) -> None:
        super().__init__(f"it speaks version {version} of the protocol")
        self.version = version
