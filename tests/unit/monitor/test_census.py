"""What every process was seen to hold at the last rounds."""

from bustd_monitor.ranking.census import SizeCensus
from tests.unit.monitor.making import GIB, MIB


def counted(*rounds: tuple[int, dict[int, int]]) -> SizeCensus:
    """After rounds at these milliseconds, each with PIDs and MiB; the room shrinks by 1 MiB every millisecond."""
    census = SizeCensus()
    for at_ms, seen in rounds:
        census.begin(at_ms, GIB - at_ms * MIB)
        for pid, mib in seen.items():
            census.saw(pid, mib * MIB)
        census.end()
    return census


def test_what_a_process_holds_is_what_was_seen_last():
    census = counted((0, {10: 5, 11: 6}), (1000, {10: 7}))
    assert census.kib() == {10: 7 * 1024}
    census.begin(2000, GIB)
    census.saw(10, 9 * MIB)
    census.saw(12, MIB)
    assert census.kib() == {10: 9 * 1024, 12: 1024}, "also in a round that is under way"


def test_before_any_round_is_complete_there_is_nothing_to_compare_with():
    census = SizeCensus()
    census.begin(0, GIB)
    census.saw(10, MIB)
    assert census.before(5000) is None
    assert census.kib() == {10: 1024}


def test_what_was_only_just_seen_is_nothing_to_compare_with():
    census = counted((1000, {10: 5}))
    assert census.before(1399) is None
    before = census.before(1400)
    assert before is not None
    assert (before.room_bytes, before.kib()) == (GIB - 1000 * MIB, {10: 5 * 1024})


def test_after_a_calm_there_is_nothing_to_compare_with_before_the_next_round():
    census = counted((1000, {10: 5}))
    census.forget()
    assert census.before(60_000) is None
    assert census.kib() == {}


def test_it_compares_with_ten_to_twenty_seconds_ago_as_soon_as_it_can():
    for last_ms in range(1000, 60_000, 1000):
        census = counted(*((at_ms, {10: at_ms // 1000}) for at_ms in range(0, last_ms + 1, 1000)))
        before = census.before(last_ms)
        assert before is not None
        age_s = last_ms // 1000 - before.kib()[10] // 1024
        assert age_s == last_ms // 1000 if last_ms < 20_000 else 10 <= age_s < 20


def test_what_was_seen_before_a_long_pause_says_nothing():
    census = counted((0, {10: 5}))
    assert census.before(120_001) is None
    census.begin(130_000, GIB)
    census.saw(10, 6 * MIB)
    census.end()
    before = census.before(131_000)
    assert before is not None
    assert before.kib() == {10: 6 * 1024}


def test_more_than_32_bits_of_kib_is_the_most():
    census = counted((0, {10: 2**43 // MIB}))
    assert census.kib()[10] == 2**32 - 1
