"""The signal handlers of the test's own process, which a daemon's code replaces when it runs there."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def handlers_restored() -> Iterator[None]:
    """At the end of the block handlers are what they were, no signal wakes a poll, and no alarm comes."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)
    handlers = {number: signal.getsignal(number) for number in numbers}
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        signal.signal(number, handler)
