"""A notification server that a test makes. It needs jeepney alone: the virtual machine runs it on its user's bus."""

from __future__ import annotations

import queue
import threading
from typing import NamedTuple

from jeepney import (
    DBusAddress,
    HeaderFields,
    MessageType,
    message_bus,
    new_error,
    new_method_return,
    new_signal,
)
from jeepney.io.blocking import open_dbus_connection

SERVER = "org.freedesktop.Notifications"
ADDRESS = DBusAddress("/org/freedesktop/Notifications", bus_name=SERVER, interface=SERVER)
EVERYTHING = ("actions", "body", "body-markup")
PATIENCE_S = 20
"""Nothing is expected to take this long."""


class Shown(NamedTuple):
    """A call of Notify, and the id that was given."""

    note_id: int
    replaces_id: int
    summary: str
    body: str
    actions: list[str]
    urgency: int

    @property
    def buttons(self) -> dict[str, str]:
        """Label to key."""
        return dict(zip(self.actions[1::2], self.actions[::2], strict=True))


class FakeServer:
    """A notification server that tells the test everything, in a thread of its own."""

    def __init__(self, address: str, capabilities: tuple[str, ...] = EVERYTHING, *, hangs: bool = False) -> None:
        self._address, self._client = address, ""
        self._link = open_dbus_connection(address)
        self._capabilities = list(capabilities)
        self.shown: queue.Queue[Shown] = queue.Queue()
        self.closed: queue.Queue[int] = queue.Queue()
        self._last_id = 0
        self._is_over, self._is_passed_on = threading.Event(), threading.Event()
        self._answers = threading.Event()
        if not hangs:
            self._answers.set()
        self._link.send_and_get_reply(message_bus.RequestName(SERVER, 4))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._answers.set()
        self._thread.join()
        self._link.close()

    def wake_up(self) -> None:
        """Answer from now on, first what has come before."""
        self._answers.set()

    def next(self) -> Shown:
        """The next call of Notify."""
        return self.shown.get(timeout=PATIENCE_S)

    def press(self, note_id: int, key: str) -> None:
        """As if the user pressed a button."""
        self._link.send(new_signal(ADDRESS, "ActionInvoked", "us", (note_id, key)))

    def press_as_another(self, note_id: int, key: str) -> None:
        """As if another program of the session said that the user pressed a button, to the agent itself."""
        signal_ = new_signal(ADDRESS, "ActionInvoked", "us", (note_id, key))
        signal_.header.fields[HeaderFields.destination] = self._client
        with open_dbus_connection(self._address) as another:
            another.send(signal_)
            another.send_and_get_reply(message_bus.GetId())  # the bus has passed it on

    def dismiss(self, note_id: int) -> None:
        """As if the user closed it."""
        self._link.send(new_signal(ADDRESS, "NotificationClosed", "uu", (note_id, 2)))
        self._await_passing_on()

    def _await_passing_on(self) -> None:
        """The bus answers after it has passed on what came before: a test may go on at another socket of the agent."""
        self._is_passed_on.clear()
        self._link.send(message_bus.GetId())
        assert self._is_passed_on.wait(PATIENCE_S), "the bus does not answer"

    def _serve(self) -> None:
        while not self._is_over.is_set():
            self._answers.wait()
            try:
                message = self._link.receive(timeout=0.05)
            except TimeoutError:
                continue
            except OSError:
                return
            if message.header.message_type is MessageType.method_call:
                self._answer(message)
            elif message.header.message_type is MessageType.method_return:
                self._is_passed_on.set()

    def _answer(self, call) -> None:
        member = call.header.fields[HeaderFields.member]
        self._client = call.header.fields[HeaderFields.sender]
        if member == "GetCapabilities":
            self._link.send(new_method_return(call, "as", (self._capabilities,)))
        elif member == "Notify":
            _, replaces_id, _, summary, body, actions, hints, _ = call.body
            self._last_id += not replaces_id
            note_id = replaces_id or self._last_id
            self._link.send(new_method_return(call, "u", (note_id,)))
            self.shown.put(Shown(note_id, replaces_id, summary, body, actions, hints["urgency"][1]))
        elif member == "CloseNotification":
            self.closed.put(call.body[0])
            self._link.send(new_method_return(call))
        else:
            self._link.send(new_error(call, "org.freedesktop.DBus.Error.UnknownMethod"))
