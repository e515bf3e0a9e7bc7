"""Lines of the log, read back: what they say for certain becomes the fields that the entry of the journal would have.

Lines are all that the log file has, what the killer writes, and what the monitor writes where an entry found no room.
Only what stands before anything that a program chooses itself is read, and a name as the kernel limits it: in its 15
bytes there is no room for the words that end it. So a line says nothing of the candidates after the victim.
"""

from __future__ import annotations

import re

from ...reporting import events
from ...reporting.events import Kind
from ..entries import Entry

MONITOR, KILLER = "bustd-monitor", "bustd-killer"

_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_SIZE = r"[\d.]+ [KMG]iB"
_VICTIM = (
    r"(?P<VICTIM_PID>\d+) \((?P<VICTIM_COMM>.*?)\) of uid (?P<VICTIM_UID>\d+), unit (?P<VICTIM_UNIT>\S+), "
    rf"holding (?P<VICTIM_BYTES>{_SIZE})"
)
_SEEN = r"(?P<VICTIM_COMM>.*?), unit (?P<VICTIM_UNIT>\S+), holding (?P<VICTIM_BYTES>\d+ MiB), uid (?P<VICTIM_UID>\d+)"
_NOW = rf"(?:.*?; now (?P<AVAILABLE_BYTES>{_SIZE}) of )?"

_Form = tuple[Kind, str, str]
"""A kind, the BUSTD_OUTCOME that the words mean ("": as the line has it), and how such a line begins."""

_OF_MONITOR: tuple[_Form, ...] = (
    (
        events.DECIDED,
        "",
        rf"(?P<CONDITION>\w+) fires: (?P<AVAILABLE_BYTES>{_SIZE}) of [^;]*; SIG(?P<SIGNAL>\w+) for {_VICTIM}"
        r"(?:.*; decided in (?P<DECIDED_US>\d+) us$)?",
    ),
    (events.DECIDED, "", rf"asking for the next: {_VICTIM}"),
    (events.DECIDED, "", r"(?P<CONDITION>\w+) is urgent now: SIG(?P<SIGNAL>KILL) for (?P<VICTIM_PID>\d+), which is in"),
    (events.ANSWERED, "", r"the killer: (?P<OUTCOME>signalled) \d+ in \d+ us"),
    (events.ANSWERED, "", r"the killer: (?P<OUTCOME>\w+), (?P<REASON>\w+)"),
    (events.ENDED, "gone", rf"the victim is gone after (?P<ELAPSED_MS>\d+) ms{_NOW}"),
    (events.ENDED, "released", rf"the victim has no memory any more after (?P<ELAPSED_MS>\d+) ms{_NOW}"),
    (events.LIVES, "stuck", rf"the victim is STUCK: it has not ended (?P<ELAPSED_MS>\d+) ms{_NOW}"),
    (events.LIVES, "spared", rf"the victim has not obeyed SIGTERM for (?P<ELAPSED_MS>\d+) ms and lives{_NOW}"),
    (
        events.CAME_BACK,
        "",
        rf"(?P<VICTIM_PID>\d+) \((?P<VICTIM_COMM>.*?)\) has given back (?P<CAME_BACK_BYTES>{_SIZE}) of "
        rf"(?P<VICTIM_BYTES>{_SIZE}): others",
    ),
    (events.NO_VICTIM, "", r"memory is short and there is NOBODY|memory fills up, and no process worth killing grows"),
    (events.KERNEL_KILLED, "", r"THE KERNEL HAS KILLED (?:(?P<KILLED>\d+) processes|a process)"),
    (events.STARTED, "", r"bustd \S+ acts (?:when one of these is true|by )"),
    (events.VERBOSE, "", r"\[adaptive-sleep\] |\w+ -> \w+: |programs fill memory by "),
)
_OF_KILLER: tuple[_Form, ...] = (
    (events.ANSWERED, "", rf"(?P<OUTCOME>[a-z]+) SIG(?P<SIGNAL>\w+) to (?P<VICTIM_PID>\d+) \((?:{_SEEN})?"),
    (events.ENDED, "gone", r"(?P<VICTIM_PID>\d+) is gone after (?P<ELAPSED_MS>\d+) ms"),
    (events.ENDED, "released", r"(?P<VICTIM_PID>\d+) has no memory any more after (?P<ELAPSED_MS>\d+) ms"),
    (events.LIVES, "stuck", r"(?P<VICTIM_PID>\d+) is STUCK, (?P<ELAPSED_MS>\d+) ms"),
    (events.LIVES, "spared", r"(?P<VICTIM_PID>\d+) has not obeyed SIGTERM for (?P<ELAPSED_MS>\d+) ms, and is SPARED"),
    (events.DECIDED, "", r"(?P<VICTIM_PID>\d+) has not obeyed SIGTERM for \d+ ms: SIG(?P<SIGNAL>KILL)$"),
)


def completed(entry: Entry, program: str) -> Entry:
    """The entry as it is, if it has fields of bustd's; a line of this program with those that it says for certain."""
    if entry.text("MESSAGE_ID"):
        return entry
    line = entry.message.removeprefix(f"{program}: ")
    fields = {**entry.fields, "MESSAGE": [line.encode()]}
    for kind, outcome, form in _OF_KILLER if program == KILLER else _OF_MONITOR:
        match = re.match(form, line, re.DOTALL)
        if match:
            said = {name: value for name, value in match.groupdict().items() if value is not None}
            said |= {"OUTCOME": outcome} if outcome else {}
            own = {f"BUSTD_{name}": [_value(name, value)] for name, value in said.items()}
            return Entry({**fields, "MESSAGE_ID": [kind.message_id.encode()], **own})
    return Entry(fields)


def _value(name: str, text: str) -> bytes:
    """As the entry of the journal has it: amounts in bytes, and no unit as an empty one."""
    if name.endswith("_BYTES"):
        amount, _, unit = text.partition(" ")
        return b"%d" % (float(amount) * _UNITS[unit])
    return b"" if name == "VICTIM_UNIT" and text == "none" else text.encode()
