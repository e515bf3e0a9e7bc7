"""Who holds the memory: what a death gives back is not only private memory. The holder dies, and not the innocent."""

from tests.support import holders, pair, victims
from tests.support.pair import ALWAYS, ONE_KILL

PATIENCE_S = 15


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
