"""What a ranking rests on at one reading."""

from bustd_monitor.ranking.terms import Rules, terms_at
from bustd_monitor.sensing.reading import lower_bound
from bustd_shared.rules.protection import Protection
from tests.unit.monitor.making import GIB, MIB, reading, victims

RULES = Rules(victims(), Protection(), 16 * MIB)


def test_in_use_are_anonymous_memory_what_processes_share_and_swap_that_is_not_free():
    seen = reading(6 * GIB, total=14 * GIB, swap=(8 * GIB, 5 * GIB))._replace(shared=3 * GIB, tmpfs=GIB)
    terms = terms_at(seen, RULES)
    assert (terms.anonymous_bytes, terms.shared_bytes, terms.in_use_bytes) == (8 * GIB, 2 * GIB, 13 * GIB)


def test_where_little_was_read_nothing_of_that_is_known():
    terms = terms_at(lower_bound(16 * GIB, 12 * GIB, 12 * GIB), RULES)
    assert (terms.anonymous_bytes, terms.in_use_bytes) == (0, 0)


def test_swap_is_empty_where_all_that_is_in_use_is_in_memory():
    full, empty = (8 * GIB, 5 * GIB), (8 * GIB, 8 * GIB)
    found = [terms_at(reading(6 * GIB, swap=swap), RULES).is_swap_empty for swap in ((0, 0), empty, full)]
    assert found == [True, True, False]
    assert not terms_at(lower_bound(16 * GIB, 12 * GIB, 12 * GIB), RULES).is_swap_empty, "it is not known"
