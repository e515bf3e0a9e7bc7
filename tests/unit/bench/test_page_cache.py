"""When a page cache counts as full. The machine's memory is made up: no test fills the real one."""

import os
from pathlib import Path

import pytest

from bustd_shared.kernel.procfs import parse_meminfo
from tests.bench import page_cache
from tests.bench.page_cache import Filling, NotSo

MIB = 1 << 20


class Memory:
    """A machine on which every byte that is read from the file takes one of those that are free."""

    def __init__(self, monkeypatch, total_mib: int, free_mib: int, *, is_cached: bool = True) -> None:
        self.total, self.free, self.is_cached = total_mib * MIB, free_mib * MIB, is_cached
        self.available = total_mib * MIB // 2
        self.places: list[int] = []
        monkeypatch.setattr(page_cache.machine, "meminfo", self._meminfo)
        monkeypatch.setattr(page_cache.os, "preadv", self._read)

    def _meminfo(self):
        lines = (
            f"MemTotal: {self.total >> 10} kB",
            f"MemFree: {self.free >> 10} kB",
            f"MemAvailable: {self.available >> 10} kB",
        )
        return parse_meminfo("\n".join(lines).encode() + b"\n")

    def _read(self, descriptor, buffers, place):
        self.places.append(place)
        self.free -= len(buffers[0]) * self.is_cached
        return len(buffers[0])


@pytest.fixture
def descriptor(tmp_path: Path):
    number = os.open(tmp_path / "hole", os.O_RDWR | os.O_CREAT)
    yield number
    os.close(number)


def test_a_file_is_read_until_little_is_free_and_what_others_give_back_is_filled_too(monkeypatch, descriptor):
    memory = Memory(monkeypatch, 10_000, 8_000)
    filling = Filling(descriptor)
    filling.top_up()
    assert 390 <= memory.free // MIB <= 400
    memory.free += 1_000 * MIB
    filling.top_up()
    assert 390 <= memory.free // MIB <= 400
    assert memory.places == sorted(set(memory.places)), "each piece is another one"
    page_cache.check_full()


def test_a_file_system_that_caches_no_hole_is_named(monkeypatch, descriptor):
    memory = Memory(monkeypatch, 10_000, 8_000, is_cached=False)
    with pytest.raises(NotSo, match="caches no page of a hole"):
        Filling(descriptor).top_up()
    assert len(memory.places) == 32


def test_more_than_can_be_read_in_reasonable_time_is_not_begun(monkeypatch, descriptor):
    memory = Memory(monkeypatch, 500_000, 400_000)
    with pytest.raises(NotSo, match="371 GiB would have to be cached"):
        Filling(descriptor).top_up()
    assert memory.places == []


@pytest.mark.parametrize(
    ("free_mib", "is_empty", "is_full"),
    [(4_000, True, False), (3_999, False, False), (2_001, False, False), (2_000, False, True)],  # of 5,000 available
)
def test_between_full_and_empty_it_is_neither(monkeypatch, free_mib, is_empty, is_full):
    Memory(monkeypatch, 10_000, free_mib)
    for check, holds in ((page_cache.check_empty, is_empty), (page_cache.check_full, is_full)):
        if holds:
            check()
        else:
            with pytest.raises(NotSo, match="% of "):
                check()


def test_the_page_cache_is_dropped_only_where_it_is_not_empty(monkeypatch, tmp_path):
    drop = tmp_path / "drop_caches"
    monkeypatch.setattr(page_cache, "_DROP", drop)
    Memory(monkeypatch, 10_000, 4_000)
    page_cache.empty()
    assert not drop.exists()
    Memory(monkeypatch, 10_000, 3_000)
    with pytest.raises(NotSo, match=r"the page cache is not empty$"):
        page_cache.empty()
    assert drop.read_text() == "1"
    monkeypatch.setattr(page_cache, "_DROP", tmp_path)
    with pytest.raises(NotSo, match="only root can empty it"):
        page_cache.empty()
