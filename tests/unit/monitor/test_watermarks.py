"""What the kernel keeps of free memory for itself, from /proc/zoneinfo."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bustd_monitor.sensing.sysinfo import read_sysinfo
from bustd_monitor.sensing.watermarks import Kept, parse_zoneinfo, read_kept, watermark_bytes
from bustd_shared.kernel.procfs import parse_meminfo
from tests.fakes.procfs import FakeProc

PAGE = os.sysconf("SC_PAGE_SIZE")
ZONE = b"""Node %(node)d, zone   %(name)s
  per-node stats
      nr_inactive_anon 6078
  pages free     200
        boost    0
        min      10
        low      14
        high     %(high)d
        spanned  4095
        present  3998
        managed  %(managed)d
        cma      0
        protection: (%(protection)s)
      nr_free_pages 200
  pagesets
    cpu: 0
              count:    5
              high:     9999
              batch:    7
"""


def zone(high: int, managed: int, protection: bytes = b"0, 0, 0", node: int = 0) -> bytes:
    values = {b"name": b"DMA", b"high": high, b"managed": managed, b"protection": protection, b"node": node}
    return ZONE % values


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (zone(18, 3840), {0: Kept(18, 14)}),
        (zone(18, 3840, b"0, 1000, 2000, 1500"), {0: Kept(2018, 14)}),
        (zone(18, 500, b"0, 1000, 2000"), {0: Kept(500, 14)}),
        (zone(18, 3840, b"0, 100") + zone(30, 9000, b"0, 7"), {0: Kept(155, 28)}),
        (zone(18, 3840) + zone(30, 9000, node=1) + zone(7, 9000, node=1), {0: Kept(18, 14), 1: Kept(37, 28)}),
        (zone(32, 0), {0: Kept(0, 0)}),
        (zone(18, 3840, b""), {0: Kept(18, 14)}),
        (b"", {}),
    ],
)
def test_each_zone_keeps_its_high_mark_and_its_largest_protection_but_not_more_than_it_has(data, kept):
    assert parse_zoneinfo(data) == kept


def test_the_watermarks_are_in_bytes(tmp_path):
    proc = FakeProc(tmp_path)
    proc.write("zoneinfo", zone(18, 3840))
    assert watermark_bytes(10**9, proc.path) == 18 * PAGE
    proc.write("zoneinfo", zone(18, 3840) + zone(30, 3840, node=1))
    assert watermark_bytes(10**9, proc.path) == 48 * PAGE, "of all nodes"
    assert read_kept(proc.path) == {0: Kept(18 * PAGE, 14 * PAGE), 1: Kept(30 * PAGE, 14 * PAGE)}


def test_where_it_can_not_be_read_a_tenth_is_kept(tmp_path):
    proc = FakeProc(tmp_path)
    assert (watermark_bytes(1000, proc.path), read_kept(proc.path)) == (100, {})
    proc.write("zoneinfo", zone(18, 3840).replace(b"high     18", b"high     many"))
    assert watermark_bytes(1000, proc.path) == 100


def test_on_this_machine_free_memory_above_the_watermarks_is_available():
    if not Path("/proc/zoneinfo").exists():
        pytest.skip("no /proc/zoneinfo")
    meminfo = parse_meminfo(Path("/proc/meminfo").read_bytes())
    kept = watermark_bytes(meminfo.total)
    assert 0 < kept < meminfo.total // 4
    assert read_sysinfo().free - kept <= meminfo.available + meminfo.total // 100  # two moments, other programs


@given(
    st.one_of(
        st.binary(max_size=80),
        st.lists(
            st.sampled_from([b"high", b"managed", b"protection:", b" ", b"5", b"-7", b"x", b"\n", b"(", b"\xff"]),
            max_size=30,
        ).map(b"".join),
    )
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_the_file_the_result_is_not_negative(tmp_path, data):
    (tmp_path / "zoneinfo").write_bytes(data)
    assert watermark_bytes(1000, str(tmp_path)) >= 0
