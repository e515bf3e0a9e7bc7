"""Who sent SIGTERM or SIGKILL to whom and when, as the kernel saw it: its trace event signal_generate
(Documentation/trace/events.rst). No log can be late or lost in it, and it tells of every daemon alike.
"""

import re
from pathlib import Path
from typing import NamedTuple

import machine

_TRACING = Path("/sys/kernel/tracing")
_EVENT = _TRACING / "events/signal/signal_generate"
_LINE = re.compile(r"^ *.*-(\d+) +\[\d+\] +\S+ +(\d+\.\d+): signal_generate: sig=(\d+) .* pid=(\d+) grp=\d+ res=\d+$")


class Sent(NamedTuple):
    """`seconds`: monotonic. `sender`: the PID that ran; a kill of the kernel's own has that of who wanted memory."""

    seconds: float
    sender: int
    number: int
    pid: int


def parse(text):
    """The events in what tracefs says, in their order."""
    found = (_LINE.match(line) for line in text.splitlines())
    return [Sent(float(m[2]), int(m[1]), int(m[3]), int(m[4])) for m in found if m]


def begin():
    """Forget what was; from now on these signals are noted.

    The event is enabled once for all scenarios, and the names of tasks are not recorded, for which the kernel would
    patch its scheduler: what is patched while it runs an emulated processor sometimes takes for something else.
    """
    if not _EVENT.exists():
        machine.run("mount", "-t", "tracefs", "tracefs", str(_TRACING))
    if (_EVENT / "enable").read_text().strip() != "1":
        (_TRACING / "options/record-cmd").write_text("0")
        (_TRACING / "trace_clock").write_text("mono")
        (_EVENT / "filter").write_text("sig == 9 || sig == 15")
        (_EVENT / "enable").write_text("1")
    (_TRACING / "trace").write_text("")


def end():
    """What was noted."""
    return parse((_TRACING / "trace").read_text(errors="replace"))
