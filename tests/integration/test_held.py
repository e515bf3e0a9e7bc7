"""Who holds the memory: what a death gives back is not only private memory. The holder dies, and not the innocent."""

import re

import pytest

from tests.support import holders, pair, victims
from tests.support.pair import ALWAYS, ONE_KILL

PATIENCE_S = 6


def dies_beside(crew, place, holder: str, innocent: str, monitor: pair.Policy = ALWAYS) -> str:
    """The holder is killed and the innocent lives; returns the line of that decision."""
    with (
        crew.program(innocent) as older,
        crew.program(holder) as child,
        pair.pair(crew, place, monitor=monitor, killer=ONE_KILL) as bustd,
    ):
        assert victims.exits_within(child, PATIENCE_S), f"it lives:\n{bustd.log()}"
        line = bustd.await_line(rf"floor fires: .* for {child.pid} ")[0]
        assert f"signalled SIGTERM to {child.pid} " in bustd.log()
        assert victims.is_alive(older), bustd.log()
    return line


def test_page_tables_count_for_the_process_that_has_them(crew, place):
    line = dies_beside(crew, place, holders.page_tables(96), holders.private(60))
    assert "(tables) " in line


@pytest.mark.parametrize("of_memfd", [False, True], ids=["anonymous", "memfd"])
def test_shared_memory_counts_for_the_process_that_alone_maps_it(crew, place, of_memfd):
    holder = holders.shared(240, b"heap", of_memfd=of_memfd)
    line = dies_beside(crew, place, holder, holders.private(100))
    assert re.search(r"\(heap\) of uid .*, holding 2[45]\d MiB", line)


def test_the_buffers_of_a_server_count_once_and_not_for_each_of_its_workers(crew, place):
    with (
        crew.program(holders.server_with_shared_buffers(120, 6)) as server,
        crew.program(holders.private(150, b"larger")) as larger,
        # Both have only just come, and so both seem to grow: only what they hold is to count here.
        pair.pair(crew, place, monitor=ALWAYS | {"victims.growth_percent": 0}, killer=ONE_KILL) as bustd,
    ):
        assert victims.exits_within(larger, PATIENCE_S), f"it lives:\n{bustd.log()}"
        line = bustd.await_line(rf"floor fires: .* for {larger.pid} ")[0]
        assert re.search(rf"after it {server.pid} \(server, 1[23]\d MiB\)", line), "once, for the parent"
        assert line.count("(server, ") == 1, "and for none of the workers"
