"""Situations from public reports about daemons of this kind, as tables of readings and as made-up traces.

A table has no refaults and no control groups: what it does not say must not count as a yes. The reports: systemd#23606
and talos#12526 (containers at limits of their own), earlyoom#361 (a thrash while much is called available), nohang#105,
systemd#35270, earlyoom#155 and #208, lxd#5405, qubes-issues#3079, util-linux#3095.
"""

from pathlib import Path

import pytest

from tests.support.typed import typed

REPORTED = Path(__file__).parents[2] / "data/reported"
QUIET = (
    *("throttled-container.csv", "throttled-container-small-swap.csv", "nohang-105-small-swap.csv", "resume.csv"),
    *("suspended.csv", "hotplug.csv", "hugetlb.csv", "tmpfs-that-ends.trace", "balloon.trace", "swapoff.trace"),
)


@pytest.fixture
def printed(tmp_path, monkeypatch, capfd):
    """A function that decides a file over again with the defaults, and returns what `bustd replay` prints."""
    nothing = tmp_path / "nothing.toml"
    nothing.write_text("")

    def replay(name: str) -> list[str]:
        files = ("--config", str(nothing), "--killer-config", str(nothing))
        code, out, err = typed(monkeypatch, capfd, "replay", str(REPORTED / name), *files)
        assert (code, err) == (0, "")
        return out.splitlines()

    return replay


@pytest.mark.parametrize("name", QUIET)
def test_no_process_dies_on_a_machine_that_is_not_short_or_for_memory_that_no_process_holds(printed, name):
    assert printed(name)[-1] == "No process would have been killed."


def test_a_machine_that_stands_still_is_seen_although_much_is_called_available(printed):
    first = printed("earlyoom-361-more-free.csv")[1]
    seconds, _, rest = first.strip().partition(" s  ")
    assert (rest.partition(":")[0], float(seconds) <= 31) == ("emergency fires", True)


@pytest.mark.parametrize("every", [3, 4, 10, 20])
def test_it_is_seen_as_well_where_rows_are_seconds_apart(printed, tmp_path, every):
    """Half a second times `every` from one row to the next."""
    head, *rows = (REPORTED / "earlyoom-361-more-free.csv").read_text().splitlines()
    thinned = tmp_path / "thinned.csv"
    thinned.write_text("\n".join([head, *rows[::every], ""]))
    fired = [line for line in printed("earlyoom-361-more-free.csv") if " fires: " in line]
    assert [line for line in printed(thinned) if " fires: " in line] == fired


def test_of_the_programs_on_a_desktop_whose_tmpfs_fills_one_dies_and_no_second(printed):
    lines = printed("tmpfs-on-a-desktop.trace")
    assert lines[-1] == "1 kill."
    decision = next(line for line in lines if " fires: " in line)
    assert "no process grows: in the last minute tmpfs and shared memory took 4504 MiB" in decision


def test_the_log_says_that_swap_was_switched_off(printed):
    assert any("swap went away (swapoff): all 8192 MiB of it are gone" in line for line in printed("swapoff.trace"))
