"""A trace as bytes: what was written comes back, and whatever a stranger sends is an error of one kind."""

import io

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bustd_monitor.sensing.reading import Reading
from bustd_monitor.traces import format as trace_format
from bustd_monitor.traces.format import Decoder, Encoder, Header, Listed, Sensed, Truncated
from bustd_monitor.traces.records import RecordedProcess, TraceError, flat, names
from tests.support.traces import HEADER, MIB, decoded, process, reading, trace

A, B, C = (process(pid, pid * MIB, b"p%d" % pid) for pid in (1, 2, 3))


def entries(*processes):
    return [RecordedProcess(one, one.held_bytes) for one in processes]


def frame(value):
    return msgpack.packb(msgpack.packb(value))


def written(one):
    """A process as a table has it that it is new in."""
    return flat(RecordedProcess(one))


def first(one):
    """The changes that the first reading consists of."""
    return [part for pair in enumerate(flat(one)) for part in pair]


def header_frame(**changed):
    values = HEADER._replace(**changed)
    return frame(
        ["bustd-trace", 1, list(Header._fields), list(values), list(names(Reading)), list(names(RecordedProcess))]
    )


# --- what was written comes back


def test_readings_come_back_in_their_order_with_their_times():
    encoder = Encoder()
    data = encoder.header(HEADER)
    sensed = [Sensed(0, reading(900 * MIB)), Sensed(100, reading(800 * MIB, some=1.25)), Sensed(1100, reading(MIB))]
    for one in sensed:
        data += encoder.reading(one.at_ms, one.reading)
    assert decoded(data) == (HEADER, sensed)


def test_a_table_comes_back_with_what_is_gone_what_is_new_what_is_left_out_and_what_changed():
    encoder = Encoder()
    grown = B._replace(held_bytes=5 * MIB)
    successor = C._replace(start_ticks=99_999, comm=b"successor")
    data = encoder.header(HEADER)
    data += encoder.table(0, entries(A, B))
    data += encoder.table(1000, entries(grown, C), {A.pid})
    data += encoder.table(2000, entries(successor))
    data += encoder.table(3000, entries(A, successor))
    _, tables = decoded(data)
    assert [{entry.process for entry in table.entries} for table in tables] == [
        {A, B},
        {grown, C},
        {successor},
        {A, successor},
    ]
    assert [table.left_out for table in tables] == [set(), {A.pid}, {A.pid}, set()]


def test_a_quiet_machine_costs_next_to_nothing():
    data = trace(60, lambda _: reading(900 * MIB), lambda _: [A, B, C])
    assert len(data) < 61 * 10 * 10 + 1500


def test_start_times_are_told_in_this_machines_ticks():
    data = Encoder().header(HEADER._replace(ticks_per_second=1024))
    data += frame([2, 0, [], [], [[1, 1024, *written(A)[2:]]], []])
    _, (table,) = decoded(data)
    assert table.entries[0].process.start_ticks == trace_format._TICKS_PER_SECOND


def test_frames_of_a_kind_that_this_bustd_does_not_know_are_passed_over():
    data = Encoder().header(HEADER) + frame([7, 100, "news"]) + frame([1, 100, first(reading(MIB))])
    assert [one.at_ms for one in decoded(data)[1]] == [200]


def test_more_at_the_end_of_a_frame_is_passed_over():
    data = Encoder().header(HEADER) + frame([1, 100, first(reading(MIB)), "more"])
    assert decoded(data)[1] == [Sensed(100, reading(MIB))]


# --- an end that is missing

WHOLE = trace(2, lambda at_ms: reading((900 - at_ms // 10) * MIB), lambda at_ms: [A, B._replace(held_bytes=at_ms)])


def test_a_trace_that_is_cut_anywhere_is_good_up_to_there():
    _, all_frames = decoded(WHOLE)
    start = len(Encoder().header(HEADER))
    for end in range(start, len(WHOLE)):
        _, found = decoded(WHOLE[:end])
        if found and isinstance(found[-1], Truncated):
            found.pop()
        assert found == all_frames[: len(found)]
    assert len(found) == len(all_frames) - 1


def test_a_cut_within_a_frame_is_told_and_one_between_two_is_no_cut():
    start = len(Encoder().header(HEADER))
    assert decoded(WHOLE[: start + 1])[1] == [Truncated(0)]
    assert decoded(WHOLE[: start + 3])[1] == [Truncated(0)]
    assert decoded(WHOLE[:start])[1] == []


def test_zeros_at_the_end_which_a_crash_leaves_are_a_cut():
    assert decoded(WHOLE + bytes(70_000))[1][-1] == Truncated(2000)
    with pytest.raises(TraceError, match="something else where a frame belongs"):
        decoded(WHOLE + bytes(70_000) + b"\1")


# --- what a stranger sends


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "does not begin as a trace"),
        (b"\xc4", "does not begin as a trace"),
        (b"time,MemAvailable\n", "does not begin as a trace"),
        (frame("bustd-trace"), "does not begin as a trace"),
        (frame(["bustd-trace"]), "does not begin as a trace"),
        (frame(["other-trace", 1, [], [], [], []]), "does not begin as a trace"),
        (frame(["bustd-trace", 2, [], [], [], []]), "version 2, and this bustd reads version 1"),
        (frame(["bustd-trace", 1, [], [], []]), "header makes no sense"),
        (frame(["bustd-trace", 1, [], [], [], 5]), "header makes no sense"),
        (frame(["bustd-trace", 1, ["ram"], [], [], []]), "header makes no sense"),
        (frame(["bustd-trace", 1, [5], [5], [], []]), "a name that is not a text"),
        (frame(["bustd-trace", 1, ["ram", "ram"], [5, 5], [], []]), "twice the same name"),
        (frame(["bustd-trace", 1, ["ram"], [5], [], []]), "header has no boot_ms"),
        (header_frame(ram=0), "ram is out of its range"),
        (header_frame(ram="much"), "ram makes no sense"),
        (header_frame(release=5), "release makes no sense"),
        (header_frame(ticks_per_second=0), "ticks_per_second is out of its range"),
        (header_frame(reserve=-2), "reserve is out of its range"),
        (header_frame() + frame(5), "a frame that is not an array"),
        (header_frame() + frame([]), "a frame that is not an array"),
        (header_frame() + frame([1, -1, []]), "its clock jumps"),
        (header_frame() + frame([1, 2**60, []]), "its clock jumps"),
        (header_frame() + frame([1, True, []]), "its clock jumps"),
        (header_frame() + frame([1, 0]), "too short"),
        (header_frame() + frame([2, 0, [], [], []]), "too short"),
        (header_frame() + frame([1, 0, []]), "ram is NoneType"),
        (header_frame() + frame([1, 0, 5]), "where a list belongs"),
        (header_frame() + frame([2, 0, [1], [], [], []]), "gone that did not exist"),
        (header_frame() + frame([2, 0, [], [[]], [], []]), "gone that did not exist"),
        (header_frame() + frame([2, 0, [], [], [[1]], []]), "too few or too many values"),
        (header_frame() + frame([2, 0, [], [], [], [[1, 0, 5]]]), "changes that does not exist"),
        (header_frame() + frame([2, 0, [], [], [], [[]]]), "changes that does not exist"),
        (header_frame() + frame([2, 0, [], [], [written(A)] * 2, []]), "in the table twice"),
        (header_frame() + frame([2, 0, [], [], [written(A._replace(pid=0))], []]), "a PID that is impossible"),
        (header_frame() + frame([2, 0, [], [], [written(A._replace(pid=2**23))], []]), "a PID that is impossible"),
        (header_frame() + b"\x93\1\0\0", "something else where a frame belongs"),
        (header_frame() + b"\xc6\x7f\xff\xff\xff", "at most 1048576 are allowed"),
        (header_frame() + msgpack.packb(b"\xc1"), "can't be read"),
        (header_frame() + frame([7, 0, msgpack.Timestamp(0)]), "can't be read"),
        (header_frame() + frame([7, 0, {"a": 1}]), "can't be read"),
        (header_frame() + frame([7, 0, "x" * 1025]), "can't be read"),
        (header_frame() + frame([7, 0, [0] * 4097]), "can't be read"),
        (header_frame() + msgpack.packb(msgpack.packb([1, 0, []]) + b"\0"), "can't be read"),
    ],
)
def test_what_is_no_trace_is_told_in_a_sentence(data, told):
    with pytest.raises(TraceError, match=told):
        decoded(data)


def test_a_table_of_more_processes_than_there_can_be_is_refused():
    many = [written(A._replace(pid=pid)) for pid in range(1, trace_format.MOST_ENTRIES + 2)]
    first = header_frame() + frame([2, 0, [], [], many[:-1], []])
    assert len(decoded(first)[1]) == 1
    with pytest.raises(TraceError, match="more than 4096"):
        decoded(first + frame([2, 0, [], [], many[-1:], []]))


def test_an_error_says_how_far_it_was_good():
    with pytest.raises(TraceError, match="2000 ms into it"):
        decoded(WHOLE + frame([1, 0, [99, 1]]))


@given(st.binary(max_size=200), st.integers(0, len(WHOLE)))
@example(b"", 0)
def test_nothing_but_that_error_comes_out_of_any_bytes(noise, at):
    for data in (noise, WHOLE[:at] + noise, WHOLE[:at] + noise + WHOLE[at + len(noise) :]):
        try:
            decoded(data)
        except TraceError:
            pass


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5) | st.binary(),
    lambda inner: st.lists(inner, max_size=8),
    max_leaves=30,
)


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.integers(0, 10), PLAIN, PLAIN, PLAIN, PLAIN), max_size=4))
def test_nothing_but_that_error_comes_out_of_well_formed_frames_either(frames):
    data = header_frame() + b"".join(frame(list(one)) for one in frames)
    try:
        found = decoded(data)[1]
    except TraceError:
        return
    assert all(isinstance(one, Sensed | Listed) for one in found)


def test_the_file_is_read_a_frame_at_a_time():
    class Counting(io.BytesIO):
        largest = 0

        def read(self, size=-1):
            assert size >= 0
            self.largest = max(self.largest, size)
            return super().read(size)

    file = Counting(WHOLE)
    assert len(list(Decoder(file).frames())) == 24
    assert file.largest < 1200, "the header is the largest, as it names all fields"
