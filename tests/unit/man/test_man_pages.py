"""The man pages say what the code says; what they are made of is rendered by a Python that has the standard library."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bustd_killer import start as killer_start
from bustd_monitor import arguments as monitor_arguments
from bustd_monitor import config
from bustd_monitor import start as monitor_start
from bustd_monitor.cli import explain_json, status_shown
from bustd_monitor.cli.check import check
from bustd_monitor.cli.daemons import arguments_of
from bustd_monitor.cli.daemons_running import Daemon, Running
from bustd_monitor.cli.main import parser
from bustd_monitor.cli.parser import parsed
from bustd_monitor.cli.replay import ReplayResult, replay_json
from bustd_monitor.deciding.stages import Stage
from bustd_monitor.ranking import shipped_avoid, what_may_die
from bustd_monitor.ranking.what_may_die import Applied
from bustd_monitor.reporting.one_process import Standing
from bustd_monitor.traces.replaying import Kill
from bustd_protocol.messages import Signal
from bustd_shared.rules import killer_toml
from bustd_shared.rules.schema import keys_of
from tests.support.traces import HEADER
from tests.unit.cli import test_explain, test_status_shown
from tests.unit.monitor import making

TREE = Path(__file__).parents[3]
REASONS = tomllib.loads((TREE / "packaging/man/reasons.toml").read_text())
MAN = TREE / "packaging/man"
PAGES = sorted(path.stem for path in MAN.glob("*.scd"))
(EBUILD,) = (TREE / "packaging/gentoo/sys-process/bustd").glob("*.ebuild")
LONG_OPTION = re.compile(r"--[a-z]+(?:-[a-z]+)*")

needs_scdoc = pytest.mark.skipif(not shutil.which("scdoc"), reason="scdoc is not installed (Debian: scdoc)")
needs_man = pytest.mark.skipif(
    not (shutil.which("man") and shutil.which("groff")), reason="man is not installed (Debian: man-db, groff-base)"
)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory) -> dict[str, str]:
    """The sources of all pages as scdoc gets them."""
    directory = tmp_path_factory.mktemp("rendered")
    # Without site there is nothing but the standard library, as where packages are built.
    subprocess.run([sys.executable, "-I", "-S", MAN / "render.py", directory], check=True)
    return {path.stem: path.read_text() for path in directory.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("built")
    build(directory)
    return directory


def build(directory: Path, **environment: str) -> None:
    environment = os.environ | {"PYTHON": sys.executable, "SOURCE_DATE_EPOCH": "1700000000"} | environment
    subprocess.run(["sh", MAN / "build.sh", directory], check=True, env=environment)


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next of the same rank or a higher one."""
    rank = heading.partition(" ")[0]
    match = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(rank)}}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match, f"no {heading}"
    return match[1]


def names(page: str) -> list[str]:
    """The headings of the first rank."""
    return re.findall(r"^# (.*)", page, re.MULTILINE)


# --- what is rendered


def test_there_is_a_page_for_each_program_and_for_the_configuration(rendered):
    assert PAGES == sorted(rendered) == ["bustd-killer.8", "bustd-monitor.8", "bustd.1", "bustd.toml.5"]


@pytest.mark.parametrize("name", PAGES)
def test_a_page_begins_and_ends_as_man_pages_do(rendered, name):
    found = names(rendered[name])
    assert found[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"]
    assert found[-1] == "SEE ALSO"
    assert "FILES" in found


@pytest.mark.parametrize("name", ["bustd.1", "bustd-killer.8", "bustd-monitor.8"])
def test_the_page_of_a_program_has_its_options_signals_environment_exit_codes_and_security(rendered, name):
    assert {"OPTIONS", "SIGNALS", "ENVIRONMENT", "EXIT STATUS", "SECURITY"} <= set(names(rendered[name]))


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_left_to_be_filled_in(rendered, name):
    assert re.findall(r"@(?:[A-Z][A-Z_]+|\w+\.toml:)[^@\n]*@", rendered[name]) == []


@pytest.mark.parametrize(
    ("file", "schema"), [("bustd.toml", config.SCHEMA), ("killer.toml", killer_toml.SCHEMA)], ids=["bustd", "killer"]
)
def test_each_key_stands_in_its_table_with_its_meaning(rendered, file, schema):
    part = section(rendered["bustd.toml.5"], f"# {file.upper()}")
    for key, spec in keys_of(schema):
        table, _, name = key.rpartition(".")
        headings = [line for line in part.splitlines() if line.startswith("## ") and f"[{table}]" in line]
        text = section(part, headings[0]) if table else part.partition("\n## ")[0]
        entry = re.search(rf"^\*{name}\* = .*\+\+\n_.+_\n\t(.*)", text, re.MULTILINE)
        assert entry, key
        reason = REASONS[file.removesuffix(".toml")].get(key, {"why": ""})["why"]
        assert entry[1].replace("\\", "") == f"{spec.meaning} {reason}".strip()


def test_a_default_that_nobody_explains_and_an_explanation_of_nothing_are_refused(tmp_path):
    shutil.copytree(MAN, tmp_path / "packaging/man")
    for name in ("protocol", "killer", "monitor", "pyproject.toml"):
        (tmp_path / name).symlink_to(TREE / name)
    reasons = tmp_path / "packaging/man/reasons.toml"
    reasons.write_text(reasons.read_text().replace("conditions.floor.swap_percent", "conditions.flor.swap_percent"))
    command = [sys.executable, "-I", "-S", tmp_path / "packaging/man/render.py", tmp_path / "rendered"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 65
    wrong = ", ".join(f"bustd.toml: conditions.{name}.swap_percent" for name in ("floor", "flor"))
    assert f"explain the default of {wrong}" in done.stderr


def test_a_key_has_its_default_and_what_check_would_expect(rendered):
    text = section(section(rendered["bustd.toml.5"], "# BUSTD.TOML"), "## [conditions.floor]")
    spec = config.SCHEMA["conditions"]["floor"]["available_mib"]
    assert f"*available_mib* = {spec.default}++\n_a whole number from {spec.low} to {spec.high}_" in text


def test_what_is_protected_as_shipped_is_listed_whole(rendered):
    text = section(rendered["bustd.toml.5"], "## Protected as shipped").replace("\\", "")
    listed = re.split(r"[,.]\s", text.replace("\n", " "))
    shipped = [*killer_toml.SHIPPED_UNITS, *(name.decode() for name in killer_toml.SHIPPED_NAMES)]
    assert set(shipped) <= {word.rpartition(" ")[2] for word in listed}


def test_what_is_avoided_as_shipped_is_listed_whole(rendered):
    text = section(rendered["bustd.toml.5"], "## Avoided as shipped").replace("\\", "")
    listed = re.split(r"[,.]\s", text.replace("\n", " "))
    avoided = shipped_avoid.AVOIDED
    shipped = {*avoided.units, *avoided.cgroups, *(name.decode() for name in avoided.names)}
    assert shipped <= {word.rpartition(" ")[2] for word in listed}


def test_everything_that_decides_what_may_die_stands_there_in_the_order_of_the_code(rendered):
    text = section(rendered["bustd.toml.5"], "# WHAT MAY DIE").replace("\\", "")
    listed = re.findall(r"^\*(.+)\*\n\t(.+)", text, re.MULTILINE)
    assert listed == [(ground.name, ground.meaning) for ground in what_may_die.TABLE]


def subparsers() -> dict[str, argparse.ArgumentParser]:
    """The parser of each command of bustd."""
    (found,) = (action.choices for action in parser()._actions if not action.option_strings)
    return found


OWNERS = re.compile(r"(.*?)(?: \(([a-z]+(?:, [a-z]+)*)\))?")


def listed_options(text: str) -> list[tuple[set[str], str, str, list[str]]]:
    """The options of a section: the names of each, its value, its meaning, and the commands that take it."""
    found = []
    for term, meaning in re.findall(r"^(\*-.*)\n\t(.*)", text.replace("\\", ""), re.MULTILINE):
        what, owners = OWNERS.fullmatch(meaning).groups(default="")
        value = "".join(re.findall(r" _(\w+)_$", term))
        found.append((set(re.findall(r"\*(-[\w-]+)\*", term)), value, what, owners.split(", ") if owners else []))
    return found


def test_the_page_of_the_command_has_every_option_with_what_help_says_and_the_commands_that_take_it(rendered):
    listed = listed_options(section(rendered["bustd.1"], "# OPTIONS"))
    taken = [(*entry[:3], []) for entry in listed]
    for command, one in subparsers().items():
        for action in one._actions:
            names, value = set(action.option_strings), str(action.metavar or "")
            if action.help is not argparse.SUPPRESS and names and "--help" not in names:
                (entry,) = (one for one in taken if one[:3] == (names, value, str(action.help).replace("`", "*")))
                entry[3].append(command)
    assert taken == listed
    everywhere = {frozenset(entry[0]) for entry in listed if not entry[3]}
    assert everywhere == {frozenset(("-h", "--help")), frozenset(("--version",))}


def test_the_page_of_the_command_has_every_command_with_what_its_help_says(rendered):
    text = section(rendered["bustd.1"], "# COMMANDS").replace("\\", "")
    listed = re.findall(r"^\*([\w-]+)\* .+\n\t(.+)", text, re.MULTILINE)
    assert listed == [
        (name, " ".join(re.sub("`([^`]+)`", r"*\1*", str(one.description)).split()))
        for name, one in subparsers().items()
    ]


def test_the_page_of_the_killer_has_every_option(rendered):
    text = section(rendered["bustd-killer.8"], "# OPTIONS")
    for option in killer_start.OPTIONS:
        assert re.search(rf"^\*{option}\*", text, re.MULTILINE), option


def test_the_page_of_the_killer_has_no_option_that_the_killer_does_not_know(rendered):
    text = section(rendered["bustd-killer.8"], "# OPTIONS")
    assert set(LONG_OPTION.findall(text)) == set(killer_start.OPTIONS)


def test_the_page_of_the_monitor_has_every_option_and_no_other(rendered):
    described = re.findall(r"^\*(--[a-z-]+)\*", section(rendered["bustd-monitor.8"], "# OPTIONS"), re.MULTILINE)
    assert set(monitor_arguments.OPTIONS) == set(described)


def test_the_page_of_the_monitor_has_every_state_that_it_can_be_in(rendered):
    text = section(rendered["bustd-monitor.8"], "# STATES")
    assert re.findall(r"^\*(\w+)\*\n\t", text, re.MULTILINE) == [stage.value for stage in Stage]


def codes_of(*programs) -> list[str]:
    """The exit codes that the docstrings of a daemon's programs tell, each once, from the lowest."""
    told = {code for one in programs for code in re.findall(r"(?:Exit codes:|;)\s(\d+)\s", one.__doc__ or "")}
    return sorted(told, key=int)


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("bustd.1", re.findall(r"^  (\d+) ", parser().epilog or "", re.MULTILINE)),
        ("bustd-killer.8", codes_of(killer_start)),
        ("bustd-monitor.8", codes_of(monitor_start)),
    ],
)
def test_a_page_has_every_exit_code_with_its_meaning(rendered, name, codes):
    text = section(rendered[name], "# EXIT STATUS")
    assert re.findall(r"^\*(\d+)\*\n\t\w.+", text, re.MULTILINE) == codes
    assert {"0", "64", "78"} <= set(codes)


@pytest.fixture
def copy(tmp_path) -> Path:
    """A tree of the test's own, with what rendering needs of it."""
    tree = tmp_path / "tree"
    for part in ("protocol", "killer", "monitor", "packaging/man"):
        shutil.copytree(TREE / part, tree / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(TREE / "pyproject.toml", tree)
    return tree


def test_rendering_leaves_no_trace_in_the_tree(copy, tmp_path):
    before = sorted(copy.rglob("*"))
    subprocess.run([sys.executable, "-I", "-S", copy / "packaging/man/render.py", tmp_path / "out"], check=True)
    assert sorted(copy.rglob("*")) == before


@pytest.mark.parametrize(
    ("asked", "instead", "complaint"),
    [
        ("@BUSTD_TOML sleep@", "", "bustd.toml: [sleep]"),
        ("@BUSTD_TOML sleep@", "@BUSTD_TOML sleep@\n@BUSTD_TOML naps@", "naps"),
        ("@KILLER_TOML rate@", "@KILLER_TOML rate grace@", "rate, grace"),
        ("@COMM_BYTES@", "@COMM_BITES@", "@COMM_BITES@"),
        ("@COMM_BYTES@", "@bustd.toml:sleep.well@", "sleep.well"),
    ],
    ids=["a table is forgotten", "no such table", "tables that differ", "no such word", "no such key"],
)
def test_a_page_that_does_not_fit_the_code_is_refused_with_the_reason(copy, tmp_path, asked, instead, complaint):
    source = copy / "packaging/man/bustd.toml.5.scd"
    source.write_text(source.read_text().replace(asked, instead))
    command = [sys.executable, "-I", "-S", copy / "packaging/man/render.py", tmp_path / "out"]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == os.EX_DATAERR
    assert complaint in ended.stderr


# --- what is built


def test_without_scdoc_the_build_says_what_to_install(tmp_path):
    (tmp_path / "bin").mkdir()
    for tool in ("dirname", "sh"):
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    environment = {"PATH": str(tmp_path / "bin"), "PYTHON": sys.executable}
    command = ["sh", MAN / "build.sh", tmp_path / "out"]
    ended = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == os.EX_UNAVAILABLE
    assert "apt-get install scdoc" in ended.stderr
    assert not (tmp_path / "out").exists()


@needs_scdoc
def test_the_build_leaves_the_pages_and_nothing_else(built):
    assert sorted(path.name for path in built.iterdir()) == sorted([*PAGES, "killer.toml.5"])


@needs_scdoc
def test_the_same_source_and_date_give_the_same_pages(built, tmp_path):
    build(tmp_path, TZ="Pacific/Auckland", LC_ALL="C")
    for path in built.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    assert '"2023-11-14"' in (built / "bustd.1").read_text()


@needs_scdoc
@needs_man
@pytest.mark.parametrize("name", PAGES)
def test_man_has_nothing_to_warn_of(built, name):
    command = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", built / name]
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


@needs_scdoc
@needs_man
def test_man_finds_killer_toml(built, tmp_path):
    shutil.copytree(built, tmp_path / "man5")
    assert "KILLER.TOML" in shown(["-M", str(tmp_path), "5", "killer.toml"])


@needs_scdoc
@needs_man
def test_globs_options_and_underscores_are_shown_as_they_are_typed(built):
    text = shown(["-l", str(built / "bustd.toml.5")])
    assert "getty@*.service" in text
    assert "full_ms_per_second = 150" in text
    assert 'names = ["chrom*", "firefox"]' in text
    assert "--only-descendants-of PID" in shown(["-l", str(built / "bustd.1")])
    assert "\N{HYPHEN}" not in text


def shown(arguments: list[str]) -> str:
    """What man shows, without bold and underline."""
    environment = os.environ | {"MANWIDTH": "100", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""}
    text = subprocess.run(["man", *arguments], check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return re.sub(r".\x08|\x1b\[[0-9;]*m", "", text)


@pytest.mark.parametrize("name", PAGES)
def test_apropos_finds_a_page_by_the_words_that_people_look_for(rendered, name):
    line = section(rendered[name], "# NAME")
    assert "out of memory" in line
    assert "OOM" in line


@pytest.mark.parametrize("file", ["debian/control", "arch/PKGBUILD", "rpm/bustd.spec", EBUILD])
def test_a_search_for_packages_finds_bustd_by_the_same_words(file):
    assert "out of memory (OOM)" in (TREE / "packaging" / file).read_text()


# --- JSON


def keys_in(value: object) -> set[str]:
    """Every key of a value that JSON can have, at any depth."""
    if isinstance(value, list):
        return {key for one in value for key in keys_in(one)}
    return set(value) | keys_in([*value.values()]) if isinstance(value, dict) else set()


def test_the_keys_of_status_and_check_are_those_that_they_print(rendered, tmp_path, capfd):
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[victims.flor]\n[victims.never]\nnames = ['x']\n")
    options = parsed(["check", "--json", "--config", str(wrong), "--killer-config", os.devnull])
    check(arguments_of(options), as_json=True)
    whole = test_status_shown.status(kills=(test_status_shown.KILL,), running=Running((600,), (Daemon("earlyoom", 9),)))
    printed = keys_in(status_shown.values(whole)) | keys_in(json.loads(capfd.readouterr().out))
    listed = section(rendered["bustd.1"], "# JSON OF STATUS AND CHECK")
    assert set(re.findall(r"(?<!\w)_([a-z][a-z0-9_]*)_(?!\w)", listed)) == printed


def test_the_keys_of_json_are_those_that_the_commands_print(rendered):
    standing = Standing(making.process(7), [], 16 * 2**20, True, True, candidate=making.candidate(7), place=1, of=1)
    never = Applied(next(ground for ground in what_may_die.TABLE if ground.shield is not None), "name x")
    whole = test_explain.crowded()
    of_one = whole._replace(pid=7, standing=standing._replace(applied=[never]))
    kill = Kill(0, "floor", Signal.TERM)
    run = ReplayResult("", (kill,), HEADER, ((0, "it"),), (), kill)
    printed = [explain_json.text(whole), explain_json.text(of_one), replay_json([run], is_different=False)]
    found = keys_in([json.loads(text) for text in printed])
    listed = section(rendered["bustd.1"], "# JSON").replace("\\\\x", "")
    assert set(re.findall(r"(?<!\w)_([a-z][a-z0-9_]*)_(?!\w)", listed)) == found


def test_a_directory_whose_name_is_that_of_an_option_is_refused(tmp_path):
    command = [sys.executable, "-I", "-S", MAN / "render.py", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "usage: render.py DIRECTORY\n")
    assert list(tmp_path.iterdir()) == []
