"""The signal handlers of the test's own process, which a daemon's code replaces when it runs there."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def handlers_restored() -> Iterator[None]:
    """At the end of the block the handlers of SIGTERM, SIGINT and SIGHUP are restored, and no signal wakes a poll."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        signal.signal(number, handler)
