"""What a process has gained over the last ten seconds, from what was seen of it."""

from hypothesis import given
from hypothesis import strategies as st

from bustd_monitor.ranking.growth import WINDOW_MS, gained_bytes, lost_bytes, sampled

OLD_MS = 3_600_000


def samples_of(*seen: tuple[int, int]):
    """Samples of these (milliseconds, bytes)."""
    samples = ()
    for at_ms, held in seen:
        samples = sampled(samples, at_ms, held)
    return samples


def test_what_was_gained_since_the_window_began_counts():
    samples = samples_of((0, 100), (5000, 140), (9000, 150))
    assert gained_bytes(samples, 10_000, 160, OLD_MS) == 60


def test_what_was_gained_before_the_window_does_not():
    samples = samples_of((0, 100), (5000, 140), (9000, 150))
    assert gained_bytes(samples, 14_000, 160, OLD_MS) == 20
    assert gained_bytes(samples, 60_000, 160, OLD_MS) == 0, "nothing is known of the last ten seconds"


def test_a_process_that_shrinks_has_gained_nothing():
    assert gained_bytes(samples_of((0, 100), (1000, 300)), 2000, 40, OLD_MS) == 0


def test_a_process_that_was_never_seen_before_has_gained_nothing_that_is_known():
    assert gained_bytes((), 1000, 500, OLD_MS) == 0


def test_a_process_younger_than_the_window_has_gained_everything_until_its_samples_span_a_second():
    assert gained_bytes((), 1000, 500, WINDOW_MS) == 500
    assert gained_bytes((), 1000, 500, WINDOW_MS + 1) == 0
    assert gained_bytes(samples_of((500, 490)), 1000, 500, 3000) == 500
    assert gained_bytes(samples_of((500, 490)), 1500, 500, 4000) == 10
    assert gained_bytes(samples_of((500, 490)), 1000, 500, WINDOW_MS + 1) == 10


def test_one_that_took_everything_when_it_started_and_is_still_since_has_gained_nothing():
    samples = samples_of((0, 500), (1000, 500), (2000, 500))
    assert gained_bytes(samples, 3000, 500, 4000) == 0


def test_what_was_lost_is_what_is_missing_since_the_window_began():
    room = samples_of((0, 900), (5000, 800), (9000, 500))
    assert lost_bytes(room, 10_000, 450) == 450
    assert lost_bytes(room, 14_000, 450) == 350
    assert lost_bytes(room, 14_000, 950) == 0
    assert lost_bytes(room, 60_000, 0) == lost_bytes((), 0, 0) == 0


def test_readings_in_a_hurry_make_no_more_samples_than_one_a_second():
    samples = samples_of(*((at_ms, at_ms) for at_ms in range(0, 60_000, 20)))
    assert len(samples) <= 12
    assert gained_bytes(samples, 60_000, 60_000, OLD_MS) >= 9000


@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 1000)), max_size=40))
def test_a_gain_is_never_more_than_what_is_held_and_never_negative(steps):
    now_ms, samples = 0, ()
    for pause_ms, held in steps:
        now_ms += pause_ms
        assert 0 <= gained_bytes(samples, now_ms, held, OLD_MS) <= held
        samples = sampled(samples, now_ms, held)
        assert samples[-1][0] > now_ms - WINDOW_MS
