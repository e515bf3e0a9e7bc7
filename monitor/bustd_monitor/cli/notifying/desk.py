"""What is on the screen, as far as the notification server has told: it is made equal to what is wanted.

A server may be slow, hang, end, come back, or be none at all. At most one call for each notification is under way, so
nothing piles up before a server that hangs; what changes meanwhile is shown, once, when it answers.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from . import pace
from .crisis import Wanted
from .session_bus import CallFailed, FromBus, Pressed, Replied, ServerChanged
from .texts import Note, markup

RETRY_MS = 30_000
"""Without a server it is tried again after this time, or when one comes."""
_UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"
DEATHS, WARNING = "deaths", "warning"
_ORDER = (DEATHS, WARNING)


class Calls(Protocol):
    """The calls of SessionBus that are needed here."""

    def ask_capabilities(self) -> int:
        """See SessionBus."""

    def notify(self, replaces_id: int, summary: str, body: str, actions: list[str], urgency: int) -> int:
        """See SessionBus."""

    def close_note(self, note_id: int) -> None:
        """See SessionBus."""


class Place(NamedTuple):
    """A notification: what was sent last, its id (0: none), and the serial of the call under way (0: none)."""

    note: Note | None = None
    note_id: int = 0
    serial: int = 0
    story: int = 0


class PressedKey(NamedTuple):
    """The user has pressed a button of the warning."""

    key: str


class Dismissed(NamedTuple):
    """The user, or the server, has closed this notification."""

    place: str


class Desk:
    """Shows what is wanted, and tells what the user does with it."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._places = dict.fromkeys(_ORDER, Place())
        self._pace = pace.Pace()
        self._owner = ""
        self._capabilities: frozenset[str] | None = None
        self._asking = 0
        self._unwanted: set[int] = set()
        self._retry_ms = 0
        self.trouble = ""
        """Why nothing can be shown, "" where it can."""

    # --- what is wanted

    def show(self, wanted: Wanted, now_ms: int) -> int | None:
        """Show what is wanted and not shown yet; when to try again what can't be shown now, None if nothing is left."""
        notes = {DEATHS: wanted.deaths, WARNING: wanted.warning}
        for name, note in notes.items():
            if note is None:
                self._take_back(name)
        stories = {DEATHS: wanted.story, WARNING: 0}
        left = [name for name in _ORDER if self._is_due(name, notes[name], stories[name])]
        if not left:
            return None
        if now_ms < self._retry_ms:
            return self._retry_ms
        if self._capabilities is None:
            self._asking = self._asking or self._calls.ask_capabilities()
            return None
        for name in left:
            if pace.may_show(self._pace, now_ms, is_warning=name == WARNING):
                self._send(name, notes[name], stories[name], now_ms)
            else:
                return pace.next_ms(self._pace, now_ms)
        return None

    def _is_due(self, name: str, note: Note | None, story: int) -> bool:
        """What is under way is waited for: its answer has the id that the next one replaces."""
        place = self._places[name]
        return note is not None and (note, story) != (place.note, place.story) and not place.serial

    def _send(self, name: str, note: Note | None, story: int, now_ms: int) -> None:
        if note is None:
            return
        place, capabilities = self._places[name], self._capabilities or frozenset()
        replaces_id = place.note_id if story == place.story else 0
        body = markup(note.body) if "body-markup" in capabilities else note.body
        actions = [word for pair in note.actions for word in pair] if "actions" in capabilities else []
        serial = self._calls.notify(replaces_id, note.summary, body, actions, note.urgency)
        self._places[name] = Place(note, place.note_id if replaces_id else 0, serial, story)
        self._pace = pace.shown(self._pace, now_ms)

    def _take_back(self, name: str) -> None:
        place = self._places[name]
        if place.serial:
            self._unwanted.add(place.serial)  # its id is not known yet
        if place.note_id:
            self._calls.close_note(place.note_id)
        self._places[name] = Place(story=place.story)

    # --- what comes back

    def on(self, message: FromBus, now_ms: int) -> PressedKey | Dismissed | None:
        """What the user did, if that is what came. Only the server that was asked is listened to."""
        if isinstance(message, ServerChanged):
            self._forget(message.owner)
        elif isinstance(message, CallFailed):
            self._failed(message, now_ms)
        elif isinstance(message, Replied):
            self._replied(message)
        elif message.sender == self._owner:
            name = next((one for one, place in self._places.items() if place.note_id == message.note_id), None)
            if name is None or message.note_id == 0:
                return None
            if isinstance(message, Pressed):
                self._take_back(name)  # most servers close it themselves; what follows is a new one
                return PressedKey(message.key) if name == WARNING else Dismissed(name)
            self._places[name] = self._places[name]._replace(note_id=0)
            return Dismissed(name)
        return None

    def _replied(self, message: Replied) -> None:
        first = message.body[0] if message.body else None
        if message.serial == self._asking:
            words = first if isinstance(first, list) else []
            self._capabilities = frozenset(word for word in words if isinstance(word, str))
            self._owner, self._asking, self.trouble = message.sender, 0, ""
        elif message.serial in self._unwanted:
            self._unwanted.discard(message.serial)
            if isinstance(first, int):
                self._calls.close_note(first)
        for name, place in self._places.items():
            if message.serial == place.serial and isinstance(first, int):
                self._places[name] = place._replace(note_id=first, serial=0)

    def _failed(self, message: CallFailed, now_ms: int) -> None:
        if message.serial == self._asking and message.error == _UNKNOWN_METHOD:
            self._capabilities, self._asking = frozenset(), 0
            return
        self._unwanted.discard(message.serial)
        for name, place in self._places.items():
            if message.serial == place.serial:
                self._places[name] = Place(story=place.story)
                self._retry_ms = now_ms + RETRY_MS
        if message.serial == self._asking:
            self._asking, self._retry_ms = 0, now_ms + RETRY_MS
            self.trouble = message.error

    def _forget(self, owner: str) -> None:
        """Another server knows nothing of what the last one showed."""
        self._owner, self._capabilities, self._asking, self._retry_ms = owner, None, 0, 0
        self._unwanted.clear()
        for name, place in self._places.items():
            self._places[name] = Place(story=place.story)
