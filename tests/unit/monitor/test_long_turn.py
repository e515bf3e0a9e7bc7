"""A turn in which the kernel makes the monitor wait: a signal ends that."""

from bustd_monitor import sleeper
from bustd_monitor.sensing.triggers import Triggers
from bustd_monitor.sleeper import Sleeper, awake_without_end
from tests.support.lingering import seconds_to_close
from tests.unit.shared.forked import in_child

TURN_S = 0.05


def asleep_once() -> Sleeper:
    made = Sleeper(Triggers((), "none"), lambda _: None)
    made.sleep(0)
    return made


def test_what_takes_an_hour_to_close_takes_no_longer_than_a_turn(monkeypatch):
    monkeypatch.setattr(sleeper, "LONGEST_TURN_S", TURN_S)
    assert TURN_S / 2 < in_child(lambda: seconds_to_close(asleep_once)) < TURN_S + 5


def test_neither_a_sleep_is_interrupted_nor_what_comes_after_the_last_one(monkeypatch):
    monkeypatch.setattr(sleeper, "LONGEST_TURN_S", TURN_S)

    def wait() -> tuple[bool, bool]:
        made = asleep_once()
        was_woken = made.sleep(int(3 * TURN_S * 1000))
        awake_without_end()
        return was_woken, made.sleep(0)

    assert in_child(wait) == (False, False)
