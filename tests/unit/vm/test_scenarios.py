"""The scenario files, and what is said when one is wrong."""

import re
from pathlib import Path

import pytest

from tests.vm import scenarios
from tests.vm.scenarios import BOOTS, FOLDER, STORY, ScenarioError, all_scenarios, load

GUEST = Path(scenarios.__file__).parent / "guest"
ALL = all_scenarios()
WHOLE = """title = "t"
why = "w"
[[work]]
unit = "leak"
run = "leak --rate 5"
fate = "dies"
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "one.toml"
    path.write_text(text)
    return path


def test_a_file_becomes_a_scenario(tmp_path):
    scenario = load(written(tmp_path, WHOLE))
    assert (scenario.name, scenario.boot, scenario.swap, scenario.seconds) == ("one", "ordinary", "none", 60)
    assert scenario.work[0].run == ["leak", "--rate", "5"]
    assert scenario.for_the_guest()["work"][0]["user"] == "alice"


@pytest.mark.parametrize(
    "change",
    [
        ('title = "t"', ""),
        ('why = "w"', 'why = "w"\nunknown = 1'),
        ('fate = "dies"', 'fate = "maybe"'),
        ('fate = "dies"', 'fate = "dies"\nunknown = 1'),
        ('why = "w"', 'why = "w"\nboot = "mainframe"'),
        ('why = "w"', 'why = "w"\nswap = "tape"'),
        ('why = "w"', 'why = "w"\nlost = "it does"'),
        ('fate = "dies"', 'fate = "some"'),
        ('fate = "dies"', 'fate = "dies"\ndead = 1\nalive = 1'),
        ('fate = "dies"', 'fate = "thinned"'),
        ('fate = "dies"', 'fate = "thinned"\ndead = 1\nalive = 1'),
        (WHOLE.partition("[[work]]")[0] + "[[work]]", 'title = "t"\nwhy = "w"\n[other]'),
    ],
)
def test_what_is_not_known_is_an_error(tmp_path, change):
    with pytest.raises(ScenarioError, match=r"one\.toml"):
        load(written(tmp_path, WHOLE.replace(*change)))


@pytest.mark.parametrize("scenario", ALL, ids=lambda scenario: scenario.name)
def test_every_scenario_names_what_the_guest_can_do(scenario):
    guest = (GUEST / "disturbances.py").read_text()
    kinds = re.findall(r'^    "([a-z-]+)": ', (GUEST / "workload.py").read_text(), re.MULTILINE)
    assert scenario.work
    for work in scenario.work:
        assert work.run[0] in kinds
    for name in [*scenario.prepare, *([scenario.blow] if scenario.blow else [])]:
        assert f'"{name}": ' in guest


def test_where_somebody_must_die_memory_must_have_been_short(tmp_path):
    assert load(written(tmp_path, WHOLE)).available_falls_to == 20
    for fate in ("lives", "any"):
        assert load(written(tmp_path, WHOLE.replace("dies", fate))).available_falls_to == 100


def test_none_of_the_promised_scenarios_is_missing():
    assert {scenario.name for scenario in ALL} >= {
        *("fast-leak", "slow-leak", "leak-into-swap", "leak-into-zram", "six-children", "older-larger"),
        *("many-processes", "thrashing-readers", "ignores-sigterm", "zombie-leader", "emoji-name"),
        *("parenthesis-name", "file-pages", "filled-tmpfs", "high-use", "never", "hidepid", "killer-killed"),
        *("monitor-killed", "monitor-stopped", "full-disk", "full-journal", "litter", "unkillable-largest"),
        *("psi-off", "small-machine", "two-thirds", "two-thirds-slow", "grows-a-little", "sixteen-compilers"),
        *("newborn-largest", "moves-to-swap", "thrash-fast-swap", "tmpfs-beyond", "tmpfs-and-large", "cgroup-scope"),
        *("oom-group", "preference-omit", "preference-avoid", "stuck", "stuck-locked"),
    }
    assert {scenario.boot for scenario in ALL} == set(BOOTS) - {STORY}
    assert {scenario.swap for scenario in ALL} == {"none", "disk", "zram", "ram"}
    assert len(ALL) == len(list(FOLDER.iterdir())), "every file in the folder is a scenario"


def test_a_kernel_kill_is_excused_only_where_bustd_itself_is_taken_away():
    excused = {scenario.name for scenario in ALL if scenario.unavoidable}
    assert excused == {"killer-killed", "monitor-killed"}


def test_no_scenario_is_lost():
    assert [scenario.name for scenario in ALL if scenario.lost] == []
