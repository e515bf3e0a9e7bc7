"""Whatever the bytes, a parser of a proc file returns: a value within its range, or none."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_protocol import limits
from bustd_shared.kernel import procfs
from bustd_shared.kernel.pressure import parse_pressure
from tests.fakes.procfs import UNIFIED, stat_line, status_text

MEMINFO = b"MemTotal: 16 kB\nMemFree: 1 kB\nMemAvailable: 2 kB\nSwapTotal: 9 kB\nSwapFree: 8 kB\nAnonPages: 3 kB\n"
PRESSURE = b"some avg10=1.00 avg60=0.00 avg300=0.00 total=9\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=9\n"
ODD = [b"\n", b"\r", b"\0", b")", b"(", b":", b"=", b"-", b"_", b"nan", b"inf", b"1e400", b"\xff", b" ", b"kB"]
NUMBERS = st.integers(-(2**70), 2**70).map(lambda number: b"%d" % number)


@st.composite
def _damaged(draw, valid: bytes) -> bytes:
    """A valid file in which words were exchanged for others and bytes for other bytes."""
    words = valid.split(b" ")
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(words) - 1))
        words[at] = draw(st.one_of(NUMBERS, st.sampled_from(ODD), st.binary(max_size=5)))
    data = bytearray(b" ".join(words))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 4))] = draw(st.one_of(NUMBERS, st.sampled_from(ODD), st.binary(max_size=3)))
    return bytes(data)


def like(valid: bytes) -> st.SearchStrategy[bytes]:
    return st.one_of(st.binary(max_size=200), _damaged(valid))


@given(like(stat_line(812)))
@settings(deadline=None, max_examples=150)
def test_stat(data):
    stat = procfs.parse_stat(data)
    if stat is not None:
        assert 0 <= stat.start_ticks <= limits.UINT63_MAX
        assert type(stat.is_dead) is bool
        assert type(stat.is_kernel_thread) is bool
        assert b"(" + stat.comm + b")" in data


@given(like(status_text(anonymous_kib=5, swap_kib=5)))
@settings(deadline=None, max_examples=150)
def test_status(data):
    status = procfs.parse_status(data)
    if status is not None:
        assert 0 <= status.uid <= limits.UINT32_MAX
        assert status.held_bytes is None or 0 <= status.held_bytes <= limits.UINT63_MAX


@given(like(MEMINFO))
@settings(deadline=None, max_examples=150)
def test_meminfo(data):
    meminfo = procfs.parse_meminfo(data)
    if meminfo is not None:
        assert 0 < meminfo.total <= limits.UINT63_MAX
        assert meminfo.available is None or 0 <= meminfo.available <= meminfo.total
        assert 0 <= meminfo.free <= meminfo.total
        assert 0 <= meminfo.anonymous <= meminfo.total
        assert 0 <= meminfo.swap_free <= meminfo.swap_total <= limits.UINT63_MAX


@given(like(PRESSURE))
@settings(deadline=None, max_examples=150)
def test_pressure(data):
    pressure = parse_pressure(data)
    if pressure is not None:
        assert 0.0 <= pressure.some_avg10 <= 100.0
        assert 0.0 <= pressure.full_avg10 <= 100.0
        assert pressure.some_total_us >= 0
        assert pressure.full_total_us >= 0


@given(like(UNIFIED))
@settings(deadline=None, max_examples=150)
def test_unit(data):
    unit = procfs.parse_unit(data)
    assert "/" not in unit
    assert not unit.endswith(".slice")
    assert unit.encode().decode() == unit


@given(st.binary(max_size=60), st.integers(0, 2**54))
@settings(deadline=None)
def test_a_field_is_what_its_line_says_wherever_the_line_stands(before, kib):
    data = before.replace(b"Held:", b"") + b"\nHeld:  %d kB\nOther: 5 kB\n" % kib
    found = procfs.field_bytes(data, b"Held:")
    assert found in (0, kib * 1024)
    assert (found == kib * 1024) == (kib == 0 or kib * 1024 <= 2**60)


@given(st.binary(min_size=1, max_size=15), st.binary(max_size=15))
@settings(deadline=None, max_examples=150)
def test_no_name_changes_what_the_rest_of_the_line_says(name, other):
    stat, same = procfs.parse_stat(stat_line(812, name)), procfs.parse_stat(stat_line(812, other))
    assert stat.comm == name
    assert stat._replace(comm=b"") == same._replace(comm=b"")
