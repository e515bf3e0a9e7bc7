"""Tables of other tools: which columns count for what, and what is worked out of them."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bustd_monitor.conditions import stalled_seconds
from bustd_monitor.conditions.stalled_seconds import Stalls
from bustd_monitor.traces.format import Sensed
from bustd_monitor.traces.records import TraceError
from bustd_monitor.traces.table_import import parse_table, read_table

MIB = 2**20


def readings(text):
    """{milliseconds: reading} of a table, and its header."""
    header, frames = read_table(io.BytesIO(text.encode()))
    found = list(frames)
    assert all(isinstance(frame, Sensed) for frame in found)
    return {frame.at_ms: frame.reading for frame in found}, header


def table(*rows, columns="time,MemAvailable,SwapFree"):
    return "\n".join([columns, *rows, ""])


def test_amounts_are_in_kb_and_times_count_from_the_first_row():
    found, header = readings(table("100.5,1024,512", "100.6,2048,256"))
    assert list(found) == [0, 100]
    first = found[0]
    assert (first.available, first.swap_free, first.swap_usable) == (MIB, MIB // 2, MIB // 2)
    assert header.boot_ms == 0
    assert header.reserve == -1, "sysinfo(2) was not read"


@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("MemAvailable", 1024),
        ("memavailable", 1024),
        ("mem_available", 1024),
        ("MemAvailable_kB", 1024),
        ("Mem Available (KiB)", 1024),
        ("MemAvailable_bytes", 1),
        ("MemAvailable [MiB]", MIB),
        ("MemAvailable MB", MIB),
        ("memavailable_gib", 1024 * MIB),
    ],
)
def test_the_unit_may_stand_behind_the_name(name, factor):
    found, _ = readings(table("0,3,0", columns=f"time,{name},SwapFree"))
    assert found[0].available == 3 * factor


def test_without_totals_the_most_that_was_ever_there_counts_and_without_free_memory_what_is_available():
    found, header = readings(table("0,4096,100", "1,8192,300"))
    assert header.ram == 8 * MIB
    assert [one.ram for one in found.values()] == [8 * MIB] * 2
    assert [one.total for one in found.values()] == [8 * MIB] * 2
    assert [one.swap_total for one in found.values()] == [300 * 1024] * 2
    assert [one.free for one in found.values()] == [4 * MIB, 8 * MIB]
    assert [one.pressure for one in found.values()] == [None, None]


def test_totals_free_and_anonymous_memory_count_where_there_are_columns_for_them():
    columns = "time,MemTotal,MemFree,MemAvailable,SwapTotal,SwapFree,AnonPages,Cached"
    found, header = readings(table("0,10240,1024,4096,2048,1024,5120,999", columns=columns))
    one = found[0]
    assert (header.ram, one.ram, one.free, one.swap_total) == (10 * MIB, 10 * MIB, MIB, 2 * MIB)
    assert one.total == 9 * MIB, "available and anonymous"


def test_percentages_become_totals_and_averages_as_the_kernel_has_them():
    rows = [f"{tick / 10},1024,0,{60 if tick else 0},30" for tick in range(101)]
    found, _ = readings(table(*rows, columns="time,MemAvailable,SwapFree,some,full"))
    last = found[10_000].pressure
    assert last.some_total_us == 6_000_000
    assert last.full_total_us == 3_000_000
    assert last.some_avg10 == pytest.approx(60 * (1 - 2.718281828**-1), abs=0.01)
    assert found[0].pressure.some_total_us == 0, "it is unknown how long the first percentage held"


def test_averages_become_the_totals_that_lead_to_them():
    """The kernel prints a new average every two seconds; between these the share of time was the same."""
    averages, average = [], 0.0
    for tick in range(101):
        if tick and tick % 20 == 0:
            average = average * 2.718281828**-0.2 + 40 * (1 - 2.718281828**-0.2)
        averages.append(average)
    rows = [f"{tick / 10},1024,0,{value:.2f}" for tick, value in enumerate(averages)]
    found, _ = readings(table(*rows, columns="time,MemAvailable,SwapFree,PSI some_avg10"))
    assert found[10_000].pressure.some_total_us == pytest.approx(4_000_000, rel=0.02)
    assert found[5000].pressure.some_total_us == pytest.approx(2_000_000, rel=0.05)
    assert found[5000].pressure.some_avg10 == pytest.approx(averages[50], abs=0.01)
    assert found[5000].pressure.full_total_us == 0


def test_an_average_that_stays_as_it_is_means_that_share_of_the_time():
    rows = [f"{second},1024,0,25" for second in range(9)]
    found, _ = readings(table(*rows, columns="time,MemAvailable,SwapFree,some_avg10"))
    assert found[8000].pressure.some_total_us == 2_000_000


def test_where_both_are_told_nothing_is_worked_out():
    columns = "time,MemAvailable,SwapFree,some,some_avg10"
    found, _ = readings(table("0,1,0,0,12.5", "1,1,0,50,13.5", columns=columns))
    assert found[1000].pressure == (13.5, 500_000, 0.0, 0)


def test_what_is_more_than_its_total_is_cut():
    columns = "time,MemTotal,MemFree,MemAvailable,SwapTotal,SwapFree"
    found, _ = readings(table("0,1024,9999,9999,5,7", columns=columns))
    assert (found[0].available, found[0].free, found[0].total) == (MIB, MIB, MIB)
    assert (found[0].swap_total, found[0].swap_free) == (7 * 1024, 7 * 1024)


# Between rows that are far apart


def seconds_judged(found) -> int:
    """How many seconds of stalls were judged; between them there must be no gap."""
    stalls = Stalls()
    for at_ms, one in found.items():
        stalls = stalled_seconds.advanced(stalls, one, at_ms)
        assert stalls.late is None, at_ms
    return len(stalls.seconds)


@pytest.mark.parametrize("apart_s", [0.25, 0.61, 0.7, 0.79, 1, 1.2, 1.21, 1.3, 1.5, 1.9, 2, 3.3, 5, 10, 14.9, 15])
def test_stalls_are_judged_without_a_gap_however_far_apart_the_rows_are(apart_s):
    rows = [f"{row * apart_s:.3f},1024,0,60,40" for row in range(int(60 / apart_s) + 1)]
    found, _ = readings(table(*rows, columns="time,MemAvailable,SwapFree,some,full"))
    assert seconds_judged(found) >= 45
    assert set(rows_at(rows)) <= set(found), "every row is a reading"


@given(st.lists(st.integers(100, 15_000), min_size=1, max_size=30))
def test_stalls_are_judged_without_a_gap_in_rows_that_come_at_any_time(gaps_ms):
    times_ms = [sum(gaps_ms[:place]) for place in range(len(gaps_ms) + 1)]
    rows = [f"{at_ms / 1000:.3f},1024,0,60" for at_ms in times_ms]
    found, _ = readings(table(*rows, columns="time,MemAvailable,SwapFree,some"))
    seconds_judged(found)
    assert list(found) == sorted(found) and set(times_ms) <= set(found)
    assert found[times_ms[-1]].pressure.some_total_us == times_ms[-1] * 600


def rows_at(rows) -> list[int]:
    return [round(float(row.partition(",")[0]) * 1000) for row in rows]


def test_between_two_rows_amounts_change_evenly_and_programs_stall_for_the_same_share_of_the_time():
    columns = "time,MemAvailable,SwapFree,MemTotal,AnonPages,some,full"
    found, _ = readings(table("0,4096,1000,8192,1024,0,0", "4,2048,0,8192,3072,50,20", columns=columns))
    assert list(found) == [0, 1000, 2000, 3000, 4000]
    assert [one.available for one in found.values()] == [4 * MIB, 3.5 * MIB, 3 * MIB, 2.5 * MIB, 2 * MIB]
    assert [one.swap_free // 1024 for one in found.values()] == [1000, 750, 500, 250, 0]
    assert {one.total for one in found.values()} == {5 * MIB}
    assert [one.pressure.some_total_us for one in found.values()] == [0, 500_000, 1_000_000, 1_500_000, 2_000_000]
    assert [one.pressure.full_total_us for one in found.values()] == [0, 200_000, 400_000, 600_000, 800_000]


def test_between_two_averages_they_move_as_the_kernels_do_and_the_totals_lead_to_them():
    after = 40 * (1 - 2.718281828**-0.5)
    found, _ = readings(table("0,1024,0,0", f"5,1024,0,{after}", columns="time,MemAvailable,SwapFree,some_avg10"))
    assert found[5000].pressure == (after, 2_000_000, 0.0, 0)
    assert [found[at].pressure.some_total_us for at in (1000, 2000, 3000, 4000)] == [
        400_000,
        800_000,
        1_200_000,
        1_600_000,
    ]
    assert found[2000].pressure.some_avg10 == pytest.approx(40 * (1 - 2.718281828**-0.2), abs=0.01)


def test_in_a_gap_of_more_than_fifteen_seconds_nothing_is_made_up():
    found, _ = readings(
        table("0,1024,0,60", "15,1024,0,60", "30.001,1024,0,60", columns="time,MemAvailable,SwapFree,some")
    )
    assert list(found) == [*range(0, 16_000, 1000), 30_001]


# What can't be taken as it stands


def test_empty_lines_spaces_a_byte_order_mark_and_quotes_are_no_obstacle():
    found, _ = readings('\ufefftime , "MemAvailable", SwapFree\r\n\r\n 0 , "1024", 0 \r\n\r\n')
    assert found[0].available == MIB


def test_a_machine_without_anything_is_no_division_by_zero():
    found, header = readings(table("0,0,0"))
    assert (header.ram, found[0].ram, found[0].total) == (1, 1, 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 0: no column is time"),
        ("time,MemAvailable\n0,1\n", "line 1: no column is swapfree; there must be time, MemAvailable and SwapFree"),
        ("time,MemAvailable,SwapFree\n", "there is no row"),
        ("time,MemAvailable,SwapFree,swap_free\n0,1,1,1\n", "line 1: two columns are swap_free"),
        (table("0,much,0"), "line 2: memavailable is 'much' where a number belongs"),
        (table("0,1,0", "1,5"), "line 3: swapfree is '' where a number belongs"),
        (table("0,1,0", "1,-5,0"), "line 3: memavailable is -5 and can't be; its unit"),
        (table("0,1e30,0"), "MemAvailable_bytes"),
        (table("0,nan,0"), "memavailable is nan and can't be"),
        (table("0,1,0", "0,1,0"), "line 3: the time does not ascend"),
        (table("0,1,0", "1700000000000,1,0"), "must be in seconds"),
        (table("0,1,0,101", columns="time,MemAvailable,SwapFree,some"), "some is 101 and can't be"),
        (table('0,1,"0'), "line 2: "),
        ("time\0,x\n", "line 1: "),
    ],
)
def test_what_is_no_such_table_is_told_with_the_line(text, told):
    with pytest.raises(TraceError) as error:
        readings(text)
    assert told in str(error.value)


def test_what_is_no_text_is_no_table():
    with pytest.raises(TraceError, match="UTF-8"):
        read_table(io.BytesIO(b"time,\xff\n"))


@given(st.text(max_size=60), st.lists(st.lists(st.text(max_size=6) | st.floats().map(str), max_size=5), max_size=4))
def test_nothing_but_that_error_comes_out(names, cells):
    rows = "\n".join(",".join(row) for row in cells)
    for text in (names, f"time,MemAvailable,SwapFree,some,full_avg10\n{rows}"):
        try:
            rows_found = parse_table(text)
        except TraceError:
            continue
        list(read_table(io.BytesIO(text.encode()))[1])
        assert rows_found
