"""Which fields of a reading and of a process a trace keeps, and that traces of 0.1.0 stay readable without loss.

The fields are read from the source, because what a field may hold stands in its annotation alone. To add one without
its part of the traces fails here: when a trace can't hold it, and when older traces could not be read any more.
"""

import ast
import inspect
import io
import itertools
import sys
from pathlib import Path

import pytest

from bustd_monitor.sensing.processes import CommandLine, Process
from bustd_monitor.sensing.reading import Reading
from bustd_monitor.traces.format import Decoder, Header, Listed, Sensed
from bustd_monitor.traces.framing import framed, next_frame
from bustd_monitor.traces.recorded_table import RecordedTable
from bustd_monitor.traces.recording import CensusTaker, Recorder
from bustd_monitor.traces.records import NESTED, NOT_RECORDED, RecordedProcess, TraceError, flat, names, restorer
from tests.support.traces import HEADER, decoded

TRACES = Path(__file__).parents[2] / "data/traces"
RECORDS = (Reading, RecordedProcess, *NESTED.values())
SAMPLES = {"tuple[tuple[int, int], ...]": ((5, 7),), "int": 7, "float": 1.5, "str": "x", "bytes": b"x"}


def in_source(kind):
    """The fields of a record as its class statement has them: [(name, annotation, has a default)]."""
    tree = ast.parse(Path(inspect.getsourcefile(sys.modules[kind.__module__])).read_text())
    (statement,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__)
    lines = (node for node in statement.body if isinstance(node, ast.AnnAssign))
    return [(line.target.id, ast.unparse(line.annotation), line.value is not None) for line in lines]


FIELDS = [(kind, *field) for kind in RECORDS for field in in_source(kind)]
IDS = [f"{kind.__name__}.{name}" for kind, name, _, _ in FIELDS]


def sample(kind, name, annotation):
    """A value that the annotation permits and that is not the default."""
    default = kind._field_defaults.get(name)
    inner = NESTED.get(name)
    if inner is not None:
        assert annotation in (inner.__name__, f"{inner.__name__} | None")
        return whole(inner)
    if annotation == "bool":
        return not default
    kinds = [part.strip() for part in annotation.split("|")]
    known = next((SAMPLES[part] for part in kinds if part in SAMPLES), None)
    assert known is not None, f"no trace can hold {kind.__name__}.{name}, a {annotation}: records.NESTED, NOT_RECORDED"
    return known


def whole(kind):
    """A record of which no field has its default."""
    return kind(**{name: sample(kind, name, annotation) for name, annotation, _ in in_source(kind)})


def test_the_source_says_what_there_is_at_run_time():
    for kind in RECORDS:
        assert [name for name, _, _ in in_source(kind)] == list(kind._fields)
        assert {name for name, _, has_default in in_source(kind) if has_default} == kind._field_defaults.keys()


# --- each field is recorded


@pytest.mark.parametrize(("kind", "name", "annotation", "has_default"), FIELDS, ids=IDS)
def test_each_field_is_recorded_or_stands_in_the_list_of_those_that_are_not(kind, name, annotation, has_default):
    written = names(kind)
    value = sample(kind, name, annotation)
    record = whole(kind)._replace(**{name: value})
    try:
        restored = getattr(restorer(kind, written)(flat(record)), name)
    except TraceError as error:
        pytest.fail(f"{kind.__name__}.{name}, a {annotation}, can't be recorded ({error}): records._KINDS")
    if name in NOT_RECORDED:
        assert restored == kind._field_defaults[name], f"{name} is recorded, and NOT_RECORDED says that it is not"
    elif name in NESTED:
        assert restored == value._replace(**defaults_of(type(value)))
    else:
        assert restored == value
        assert type(restored) is type(value)


def defaults_of(kind):
    return {name: kind._field_defaults[name] for name in NOT_RECORDED if name in kind._fields}


def test_those_that_are_not_recorded_are_fields_and_have_a_default_and_a_reason():
    for name, reason in NOT_RECORDED.items():
        owners = [kind for kind in RECORDS if name in kind._fields]
        assert owners
        assert all(name in kind._field_defaults for kind in owners)
        assert len(reason) > 20


class OneProcess:
    """A table of one process, which tells every field of it."""

    def __init__(self, process):
        self.process, self.pids = process, itertools.cycle([[process.pid], []])

    def walk(self, count):
        return next(self.pids)

    def score(self, pid):
        return self.process.oom_score

    def resident_bytes(self, pid):
        return 4096

    def read(self, pid, score):
        return self.process._replace(oom_score=score, command="")

    def command(self, process):
        return CommandLine(self.process.command, self.process.command_trouble)

    def read_commands(self):
        pass


def test_what_the_sensors_told_the_recorder_is_what_a_replay_is_told():
    reading, process = whole(Reading), whole(Process)
    written, clock = [], itertools.count()
    recorder = Recorder(
        HEADER._replace(has_commands=1),
        read=lambda: reading,
        census_taker=CensusTaker(OneProcess(process), with_commands=True),
        clock_ms=lambda: next(clock),
        write=written.append,
    )
    recorder.turn()
    header, (sensed, listed) = decoded(b"".join(written))
    table = RecordedTable(header)
    table.show(listed)
    assert sensed.reading == reading._replace(**defaults_of(Reading))
    found = table.read(process.pid, table.score(process.pid))
    command, trouble = table.command(found)
    assert found._replace(command=command, command_trouble=trouble) == process._replace(**defaults_of(Process))
    assert table.resident_bytes(process.pid) == 4096


# --- traces of 0.1.0

EARLIER = "real-leak-of-half-the-olders-size"
"""Written before 0.1.0 knew the control groups of a process."""
WITNESSES = (EARLIER, "vm-oom-group", "vm-thrash-fast-swap")
"""Recorded by 0.1.0, and never to be recorded again. They have every kind of value that its traces can have."""

READING_OF_0_1_0 = (
    *("ram", "free", "total", "available", "swap_total", "swap_free"),
    *("pressure.some_avg10", "pressure.some_total_us", "pressure.full_avg10", "pressure.full_total_us"),
    *("swap_usable", "shared", "hugetlb", "refaults.anonymous", "refaults.file", "refaults.reclaimed", "is_whole"),
)
ENTRY_OF_0_1_0 = (
    *("process.pid", "process.start_ticks", "process.uid", "process.comm", "process.unit", "process.oom_score"),
    *("process.oom_score_adj", "process.held_bytes", "process.command", "process.gained_bytes"),
    *("process.cgroup", "process.whole", "process.is_indivisible", "process.preference", "resident_bytes"),
)
CAME_WITHIN_0_1_0 = {"process.cgroup", "process.whole", "process.is_indivisible", "process.preference"}
HEADER_OF_0_1_0 = (
    *("writer", "release", "ram", "reserve", "boot_ms", "ticks_per_second", "has_commands", "ancestor"),
)  # fmt: skip


def arrays(name):
    """The frames of a recorded trace as they stand in it: the header, and the others."""
    with (TRACES / f"{name}.trace").open("rb") as file:
        first, *others = iter(lambda: next_frame(file), None)
    return first, others


def values_in(name):
    """What a trace says, worked out here and not by the decoder: the readings, and the tables, as names and values."""
    (_, _, _, _, of_reading, of_entry), frames = arrays(name)
    values, rows = dict.fromkeys(of_reading), {}
    readings, tables = [], []
    for kind, _, *parts in frames:
        if kind == 1:
            change(values, of_reading, parts[0])
            readings.append(dict(values))
        else:
            gone, left, new, changes = parts
            rows = {pid: row for pid, row in rows.items() if pid not in (*gone, *left)}
            rows |= {row[0]: dict(zip(of_entry, row, strict=True)) for row in new}
            for pid, *pairs in changes:
                change(rows[pid], of_entry, pairs)
            rows = {row["process.pid"]: row for row in rows.values()}
            tables.append({pid: dict(row) for pid, row in rows.items()})
    return readings, tables


def change(values, of, pairs):
    for place, new in zip(pairs[::2], pairs[1::2], strict=True):
        old = values[of[place]]
        values[of[place]] = old + new if type(old) is int and type(new) is int else new


def told(record, name):
    """The value of a field by its name in a trace; None if the record that it belongs to is missing."""
    for part in name.split("."):
        record = getattr(record, part) if record is not None else None
    return record


@pytest.mark.parametrize("name", WITNESSES)
def test_a_trace_of_0_1_0_is_read_without_loss(name):
    readings, tables = values_in(name)
    with (TRACES / f"{name}.trace").open("rb") as file:
        decoder = Decoder(file)
        frames = list(decoder.frames())
    assert decoder.header.writer == "bustd 0.1.0"
    assert list(decoder.header) == arrays(name)[0][3]
    sensed = [frame.reading for frame in frames if isinstance(frame, Sensed)]
    listed = [frame.entries for frame in frames if isinstance(frame, Listed)]
    assert (len(sensed), len(listed)) == (len(readings), len(tables))
    assert min(len(readings), len(tables)) > 10
    for reading, values in zip(sensed, readings, strict=True):
        assert {field: told(reading, field) for field in values} == values
    for entries, rows in zip(listed, tables, strict=True):
        assert {entry.process.pid for entry in entries} == rows.keys()
        for entry in entries:
            row = rows[entry.process.pid]
            assert {field: told(entry, field) for field in row} == row


def test_the_witnesses_have_the_fields_that_0_1_0_wrote():
    for name in WITNESSES:
        _, _, of_header, _, of_reading, of_entry = arrays(name)[0]
        missing = CAME_WITHIN_0_1_0 if name == EARLIER else set()
        assert tuple(of_header) == HEADER_OF_0_1_0
        assert tuple(of_reading) == READING_OF_0_1_0
        assert of_entry == [field for field in ENTRY_OF_0_1_0 if field not in missing]


def test_what_0_1_0_wrote_is_still_read_under_the_same_name():
    """A field of another name would be passed over in an old trace, and have its default."""
    left_out = {f"process.{name}" for name in NOT_RECORDED}
    assert set(READING_OF_0_1_0) <= {*names(Reading)}
    assert set(ENTRY_OF_0_1_0) - left_out <= {*names(RecordedProcess)}
    assert set(HEADER_OF_0_1_0) <= {*Header._fields}


def test_a_field_that_0_1_0_did_not_write_has_a_default():
    for kind, written in ((Reading, READING_OF_0_1_0), (RecordedProcess, {*ENTRY_OF_0_1_0} - CAME_WITHIN_0_1_0)):
        known = {part for name in written for part in name.split(".")}
        needed = {
            f"{part.__name__}.{field}"
            for part in (kind, *(NESTED[field] for field in kind._fields if field in NESTED))
            for field, _, has_default in in_source(part)
            if not has_default and field not in known
        }
        assert needed == set(), "no trace of 0.1.0 could be read any more: give it a default"
    assert {*Header._fields} - {*HEADER_OF_0_1_0} <= Header._field_defaults.keys()


# --- a field that came later


def older(name, lacking):
    """The trace as a bustd would have written it that did not know these fields yet."""
    (magic, version, of_header, values, of_reading, of_entry), frames = arrays(name)
    kept = [place for place, field in enumerate(of_header) if f"header.{field}" not in lacking]
    of_header, values = [of_header[place] for place in kept], [values[place] for place in kept]
    places = [places_without(of, lacking) for of in (of_reading, of_entry)]
    of_reading, of_entry = ([field for field in of if field not in lacking] for of in (of_reading, of_entry))
    data = framed([magic, version, of_header, values, of_reading, of_entry])
    for kind, elapsed_ms, *parts in frames:
        if kind == 1:
            data += framed([kind, elapsed_ms, moved(parts[0], places[0])])
        else:
            gone, left, new, changes = parts
            new = [[value for place, value in enumerate(row) if place in places[1]] for row in new]
            changes = [[pid, *moved(pairs, places[1])] for pid, *pairs in changes]
            data += framed([kind, elapsed_ms, gone, left, new, changes])
    return data


def places_without(of, lacking):
    """Each place of a field that is kept, and where it stands then."""
    kept = [place for place, field in enumerate(of) if field not in lacking]
    return {place: now for now, place in enumerate(kept)}


def moved(pairs, places):
    kept = (pair for pair in zip(pairs[::2], pairs[1::2], strict=True) if pair[0] in places)
    return [part for place, new in kept for part in (places[place], new)]


LATER = [
    *(f"header.{field}" for field in Header._field_defaults),
    *Reading._field_defaults,
    *(f"refaults.{field}" for field in NESTED["refaults"]._field_defaults),
    *(f"process.{field}" for field in Process._field_defaults),
    *RecordedProcess._field_defaults,
]


@pytest.mark.parametrize("field", LATER)
def test_a_trace_without_a_field_that_came_later_is_read_with_its_default(field):
    """Of every field that has a default: what will be added is of this kind."""
    whole_of = [*READING_OF_0_1_0, *ENTRY_OF_0_1_0]
    lacking = {name for name in whole_of if name == field or name.startswith(f"{field}.")} or {field}
    decoder = Decoder(io.BytesIO(older("vm-thrash-fast-swap", lacking)))
    with (TRACES / "vm-thrash-fast-swap.trace").open("rb") as file:
        expected = Decoder(file)
        assert decoder.header == without(expected.header, field.removeprefix("header."))
        for frame, known in zip(decoder.frames(), expected.frames(), strict=True):
            if isinstance(known, Sensed):
                assert frame == known._replace(reading=without(known.reading, field))
            else:
                assert frame == known._replace(entries=tuple(without(entry, field) for entry in known.entries))


def without(record, field):
    """The record with the default in the place of this field, if it has such a field."""
    name, _, inner = field.partition(".")
    if name not in record._fields:
        return record
    if not inner:
        return record._replace(**{name: record._field_defaults[name]})
    part = getattr(record, name)
    return record if part is None else record._replace(**{name: without(part, inner)})


@pytest.mark.parametrize("field", ["available", "process.held_bytes", "process.comm", "header.boot_ms"])
def test_a_trace_without_what_no_default_can_stand_for_is_refused_and_the_field_named(field):
    with pytest.raises(TraceError, match=field.rpartition(".")[2]):
        Decoder(io.BytesIO(older("vm-oom-group", {field})))
