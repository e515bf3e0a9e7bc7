"""The agent's loop is woken by a signal, whenever that comes."""

import select
import signal

from bustd_monitor.cli.notifying.agent import _stopping, _wakeable


def is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def test_a_signal_makes_the_descriptor_readable_by_itself():
    """Its Python handler may run only after the next poll."""
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with _wakeable() as (woken, _):
            assert not is_readable(woken)
            signal.raise_signal(signal.SIGTERM)
            assert is_readable(woken)
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_it_says_that_it_is_to_stop_and_afterwards_signals_mean_what_they_did():
    before = signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)
    with _wakeable() as (woken, wake), _stopping() as is_stopped:
        wake()
        assert is_readable(woken)
        assert not is_stopped()
        signal.raise_signal(signal.SIGTERM)
        assert is_stopped()
    assert (signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)) == before
