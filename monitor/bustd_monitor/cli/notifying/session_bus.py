"""The session's bus, by jeepney, which is imported here and nowhere else: the lock, the calls, and what comes back.

Calls to the notification server are sent and not waited for: a server that hangs hangs nothing here.
Desktop Notifications Specification 1.2 (specifications.freedesktop.org/notification-spec).
"""

from __future__ import annotations

from typing import NamedTuple

from jeepney import DBusAddress, HeaderFields, MatchRule, Message, MessageType, message_bus, new_method_call
from jeepney.bus_messages import DBusNameFlags
from jeepney.io.blocking import DBusConnection, open_dbus_connection

SERVER = "org.freedesktop.Notifications"
LOCK = "org.bustd.Notify"
"""One agent in a session: it owns this name."""

_BUS = "org.freedesktop.DBus"
_ADDRESS = DBusAddress("/org/freedesktop/Notifications", bus_name=SERVER, interface=SERVER)
_IS_OWNER = (1, 4)
_ANSWER_S = 5.0
"""The bus itself answers at once; a bus that does not is no bus."""


class NoBus(Exception):
    """There is no session bus, or it is gone, or it does not answer."""


class Replied(NamedTuple):
    """The server's answer to the call with this serial."""

    serial: int
    sender: str
    body: tuple[object, ...]


class CallFailed(NamedTuple):
    """The call with this serial came to nothing: the server's error, or the bus's, where there is no server."""

    serial: int
    error: str


class Pressed(NamedTuple):
    """The user pressed a button."""

    sender: str
    note_id: int
    key: str


class NoteClosed(NamedTuple):
    """A notification is gone: the user, the time, or the server has closed it."""

    sender: str
    note_id: int


class ServerChanged(NamedTuple):
    """Another server owns the name now, or none does (`owner` is "")."""

    owner: str


FromBus = Replied | CallFailed | Pressed | NoteClosed | ServerChanged


class SessionBus:
    """A connection to the session's bus. Every method raises NoBus when that is gone."""

    def __init__(self) -> None:
        try:
            self._link: DBusConnection = open_dbus_connection("SESSION", auth_timeout=_ANSWER_S)
        except KeyError:
            raise NoBus("there is no session bus here: DBUS_SESSION_BUS_ADDRESS is not set") from None
        except (OSError, ValueError, RuntimeError, StopIteration) as error:
            raise NoBus(f"the session bus can't be used: {error}") from None
        self._link.sock.settimeout(_ANSWER_S)

    def __enter__(self) -> SessionBus:
        return self

    def __exit__(self, *_: object) -> None:
        self._link.close()

    def fileno(self) -> int:
        """What becomes readable when something has come."""
        return int(self._link.sock.fileno())

    def take_lock(self) -> bool:
        """Whether this is the one agent of the session; the bus lets go of the name when the connection ends."""
        return self._asked(message_bus.RequestName(LOCK, DBusNameFlags.do_not_queue)) in _IS_OWNER

    def subscribe(self) -> None:
        """Ask for the server's signals, and for news of another server."""
        for member in ("ActionInvoked", "NotificationClosed"):
            self._asked(message_bus.AddMatch(MatchRule(type="signal", sender=SERVER, interface=SERVER, member=member)))
        changes = MatchRule(type="signal", sender=_BUS, interface=_BUS, member="NameOwnerChanged")
        changes.add_arg_condition(0, SERVER)
        self._asked(message_bus.AddMatch(changes))

    def ask_capabilities(self) -> int:
        """The serial of the call."""
        return self._called(new_method_call(_ADDRESS, "GetCapabilities"))

    def notify(self, replaces_id: int, summary: str, body: str, actions: list[str], urgency: int) -> int:
        """The serial of the call. It stays until it is closed (the expiry 0)."""
        hints = {"urgency": ("y", urgency), "desktop-entry": ("s", "bustd-notify")}
        arguments = ("bustd", replaces_id, "dialog-warning", summary, body, actions, hints, 0)
        return self._called(new_method_call(_ADDRESS, "Notify", "susssasa{sv}i", arguments))

    def close_note(self, note_id: int) -> None:
        """Take a notification back; what comes of it does not matter."""
        self._called(new_method_call(_ADDRESS, "CloseNotification", "u", (note_id,)))

    def received(self) -> list[FromBus]:
        """What has come, without waiting."""
        found = []
        try:
            while True:
                understood = _understood(self._link.receive(timeout=0))
                if understood is not None:
                    found.append(understood)
        except TimeoutError:
            return found
        except (OSError, ValueError, KeyError) as error:
            raise NoBus(str(error)) from error

    def _called(self, message: Message) -> int:
        serial = next(self._link.outgoing_serial)
        try:
            self._link.send(message, serial=serial)
        except OSError as error:
            raise NoBus(str(error)) from error
        return int(serial)

    def _asked(self, message: Message) -> object:
        """The first value of what the bus itself answers."""
        try:
            reply = self._link.send_and_get_reply(message, timeout=_ANSWER_S)
        except OSError as error:  # TimeoutError is one
            raise NoBus(str(error) or "it does not answer") from error
        if reply.header.message_type is not MessageType.method_return:
            raise NoBus(str(reply.header.fields.get(HeaderFields.error_name, "it refuses")))
        return reply.body[0] if reply.body else None


def _understood(message: Message) -> FromBus | None:
    """What a message means; None if it is not for the agent, or not as the specification has it."""
    fields, body = message.header.fields, message.body
    sender, kind = str(fields.get(HeaderFields.sender, "")), message.header.message_type
    serial = fields.get(HeaderFields.reply_serial)
    if kind is MessageType.method_return and serial is not None:
        return Replied(int(serial), sender, body)
    if kind is MessageType.error and serial is not None:
        return CallFailed(int(serial), str(fields.get(HeaderFields.error_name, "")))
    if kind is not MessageType.signal:
        return None
    member, types = fields.get(HeaderFields.member), [type(value) for value in body]
    if member == "ActionInvoked" and types[:2] == [int, str]:
        return Pressed(sender, body[0], body[1])
    if member == "NotificationClosed" and types[:1] == [int]:
        return NoteClosed(sender, body[0])
    if member == "NameOwnerChanged" and sender == _BUS and types == [str, str, str] and body[0] == SERVER:
        return ServerChanged(body[2])
    return None
