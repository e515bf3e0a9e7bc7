"""Records as flat lists: what comes back, also from a trace that an older or a newer bustd wrote."""

import math

import pytest

from bustd_monitor.sensing.reading import Reading, Refaults
from bustd_monitor.traces.records import RecordedProcess, TraceError, changed, changes, flat, names, restorer
from bustd_shared.kernel.pressure import MemoryPressure
from tests.support.traces import MIB, process, reading

NAMES = names(Reading)
WHOLE = reading(100 * MIB)._replace(refaults=Refaults(1, 2, 3))


def test_a_record_within_a_record_has_its_name_before_its_fields():
    assert NAMES[:4] == ("ram", "free", "total", "available")
    assert "pressure.some_avg10" in NAMES
    assert "process.comm" in names(RecordedProcess)


@pytest.mark.parametrize("record", [WHOLE, WHOLE._replace(pressure=None, refaults=None, is_whole=False)])
def test_a_reading_comes_back_as_it_was(record):
    assert restorer(Reading, NAMES)(flat(record)) == record


def test_a_process_comes_back_as_it_was():
    entry = RecordedProcess(process(1, MIB, b"\xff\n", oom_score_adj=-500, unit="ü.service", command="a b"), 4096)
    assert restorer(RecordedProcess, names(RecordedProcess))(flat(entry)) == entry


def without(name):
    """What a bustd that did not know this field yet would have written."""
    pairs = [pair for pair in zip(NAMES, flat(WHOLE), strict=True) if pair[0].partition(".")[0] != name]
    return tuple(name for name, _ in pairs), [value for _, value in pairs]


@pytest.mark.parametrize("name", ["refaults", "shared", "is_whole"])
def test_a_field_that_came_later_has_its_default(name):
    written, values = without(name)
    restored = restorer(Reading, written)(values)
    assert restored == WHOLE._replace(**{name: Reading._field_defaults[name]})


@pytest.mark.parametrize(("name", "told"), [("available", "no available"), ("pressure", "no pressure")])
def test_a_field_that_is_missing_and_has_no_default_is_named(name, told):
    written, _ = without(name)
    with pytest.raises(TraceError, match=told):
        restorer(Reading, written)


def test_a_field_that_this_bustd_does_not_know_is_passed_over():
    restored = restorer(Reading, ("new", *NAMES, "pressure.later"))([["what", "ever"], *flat(WHOLE), 5])
    assert restored == WHOLE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("available", None),
        ("available", -1),
        ("available", 2**63),
        ("available", True),
        ("available", 1.0),
        ("total", 0),
        ("ram", 0),
        ("pressure.some_avg10", 5),
        ("pressure.some_avg10", math.nan),
        ("pressure.some_avg10", 100.1),
        ("pressure.some_avg10", None),
        ("is_whole", 1),
    ],
)
def test_a_value_that_a_reading_can_not_have_is_an_error_that_names_it(name, value):
    values = flat(WHOLE)
    values[NAMES.index(name)] = value
    with pytest.raises(TraceError, match=name.rpartition(".")[2]):
        restorer(Reading, NAMES)(values)


@pytest.mark.parametrize(
    ("name", "value"),
    [("comm", "text"), ("unit", b"bytes"), ("unit", "x" * 1025), ("oom_score_adj", -1001), ("pid", None)],
)
def test_a_value_that_a_process_can_not_have_is_an_error_that_names_it(name, value):
    values = flat(RecordedProcess(process(1, MIB)))
    values[names(RecordedProcess).index(f"process.{name}")] = value
    with pytest.raises(TraceError, match=name):
        restorer(RecordedProcess, names(RecordedProcess))(values)


def test_what_a_trace_can_not_hold_is_not_written():
    with pytest.raises(TraceError, match="some_avg10"):
        flat(WHOLE._replace(pressure=MemoryPressure(math.inf, 0, 0.0, 0)))


@pytest.mark.parametrize(("written", "kept"), [("x" * 1025, "x" * 1024), ("€" * 400, "€" * 341)])
def test_a_text_that_is_too_long_is_cut_where_a_character_ends(written, kept):
    values = flat(RecordedProcess(process(1, MIB, cgroup=written)))
    assert values[names(RecordedProcess).index("process.cgroup")] == kept


def test_only_what_changed_is_told_and_numbers_by_how_much():
    before, after = [5, 7, "a", None, 1.5, True], [5, 4, "b", 9, 2.5, False]
    assert changes(before, after) == [1, -3, 2, "b", 3, 9, 4, 2.5, 5, False]
    assert changed(before, changes(before, after)) == after


@pytest.mark.parametrize("pairs", [[0], [6, 1], [-1, 1], ["0", 1], [True, 1], [None, 1]])
def test_a_change_that_fits_nothing_is_an_error(pairs):
    with pytest.raises(TraceError):
        changed([1, 2, 3], pairs)
