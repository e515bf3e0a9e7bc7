"""`bustd status`: is this machine protected? One line for a monitoring plugin, and below it what a person asks next."""

from __future__ import annotations

import argparse

from ..sensing.visibility import hidden_processes
from . import status_shown
from .daemons import arguments_of
from .daemons_running import daemons_running
from .events_now import Heard, heard_now
from .json_text import document
from .kills import kills
from .memory_now import MemoryNow, memory_now
from .monitor_unit import monitor_unit
from .protection import judged, may_be_asked
from .status_shown import MachineStatus


def status(options: argparse.Namespace) -> int:
    """Exit code 0: protected; 1: look at it; 2: not protected; 3: it can't be told."""
    found = looked(memory_now(arguments_of(options)))
    if options.json:
        print(document(status_shown.values(found)))
    else:
        print("\n".join(status_shown.lines(found)))
    return status_shown.level(found)


def looked(memory: MemoryNow) -> MachineStatus:
    """Everything that can be seen now."""
    unit, running, hidden = monitor_unit(), daemons_running(), hidden_processes(own_only=False)
    heard = heard_now() if may_be_asked(unit, running, hidden) else Heard()
    return MachineStatus(judged(unit, running, hidden, heard), memory, tuple(kills(heard.entries)), running)
