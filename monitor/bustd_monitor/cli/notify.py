"""`bustd notify`: the user's own agent. It shows what the monitor tells, and asks bustd for nothing."""

from __future__ import annotations

import os
import sys

from bustd_shared.kernel.cgroups import hierarchy

from .events_socket import EVENTS_SOCKET

_STATE_FILE = "bustd-notify.json"
_MISSING = (
    "notifications need the Python package jeepney, which is not installed: install the package python3-jeepney "
    "(Debian, Ubuntu, Fedora), python-jeepney (Arch), dev-python/jeepney (Gentoo), or `pip install bustd[notify]`"
)


def notify(events_path: str = EVENTS_SOCKET) -> int:
    """Exit code 0: a signal or the session's end has ended it, or an agent runs already; 69: no jeepney, or no bus."""
    try:
        import jeepney  # noqa: F401
    except ImportError:
        return _refuse(_MISSING)
    from .notifying.agent import serve
    from .notifying.session_bus import NoBus, SessionBus
    from .notifying.sparing import Sparing

    is_serving = False
    try:
        with SessionBus() as bus:
            if not bus.take_lock():
                print("bustd notify: an agent runs already in this session")
                return os.EX_OK
            bus.subscribe()
            is_serving = True
            serve(bus, events_path, Sparing(hierarchy(), _state_file()))
    except NoBus as why:
        if not is_serving:
            return _refuse(str(why))
        sys.stderr.write(f"bustd notify: the session's bus is gone: {why}\n")
    return os.EX_OK


def _state_file() -> str:
    """Where the agent keeps what it has marked; "" without a directory that is the user's alone."""
    folder = os.environ.get("XDG_RUNTIME_DIR", "")
    return f"{folder}/{_STATE_FILE}" if os.path.isabs(folder) and os.path.isdir(folder) else ""


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"bustd notify: {sentence}\n")
    return os.EX_UNAVAILABLE
