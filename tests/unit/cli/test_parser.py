"""The command line of `bustd`: a page of help for each command, and what is said of mistakes."""

import argparse
import re
import subprocess
import sys

import pytest

from bustd_monitor import config
from bustd_monitor.cli.commands import COMMANDS, EXIT_CODES, RUN
from bustd_monitor.cli.instead import INSTEAD
from bustd_monitor.cli.option_table import PASSED_ON
from bustd_monitor.cli.parser import parsed, parser
from bustd_shared import __version__
from bustd_shared.rules.schema import keys_of
from tests.support.typed import typed

NAMES = [command.name for command in COMMANDS]
EVERY = [None, *COMMANDS]


def name_of(command) -> str:
    return command.name if command else "bustd"


# --- help and version


@pytest.fixture(params=EVERY, ids=name_of)
def page(request, monkeypatch, capfd):
    """A command, None for all of them, and its page of help."""
    monkeypatch.setenv("COLUMNS", "80")
    words = [request.param.name] if request.param else []
    code, out, err = typed(monkeypatch, capfd, *words, "--help")
    assert (code, err) == (0, "")
    return request.param, out


def test_a_page_of_help_fits_a_terminal_of_80_columns(page):
    assert max(len(line) for line in page[1].splitlines()) <= 80


def test_a_page_has_the_options_of_its_command_and_no_other(page):
    command, text = page
    own = {name for option in (command or RUN).options for name in option.names}
    listed = re.findall(r"^  (-.*?)(?:  |$)", text, re.MULTILINE)
    assert set(re.findall(r"-[\w-]+", " ".join(listed))) == own | {"-h", "--help"} | (
        set() if command else {"--version"}
    )


def test_a_page_says_what_its_command_does_and_shows_examples(page):
    command, text = page
    if command is None:
        assert all(re.search(rf"^    {name} ", text, re.MULTILINE) for name in NAMES)
        assert all(re.search(rf"^  {code} +\w", text, re.MULTILINE) for code, _ in EXIT_CODES)
    else:
        assert " ".join(command.description.split()) in " ".join(text.split())
        assert "\nexamples:\n  " in text


@pytest.mark.parametrize("command", COMMANDS, ids=name_of)
def test_an_example_is_a_command_line_that_the_parser_takes(command):
    for line, _ in command.examples:
        words = line.replace("'", "").removeprefix("sudo ").split()
        assert words[0] == "bustd"
        assert parsed(words[1:]).command == command.name


@pytest.mark.parametrize("words", [["--version"], ["run", "--version"], ["-n", "--version"]])
def test_the_version_is_printed_and_nothing_is_done(monkeypatch, capfd, words):
    assert typed(monkeypatch, capfd, *words) == (0, f"bustd {__version__}\n", "")


def test_the_parser_of_the_whole_command_can_be_had_without_a_command_being_loaded():
    program = "import sys; from bustd_monitor.cli.main import parser; parser(); print(*sorted(sys.modules))"
    paths = f"import sys; sys.path[:] = {sys.path!r}\n"
    done = subprocess.run([sys.executable, "-I", "-c", paths + program], capture_output=True, text=True, check=True)
    loaded = {name.rpartition(".")[2] for name in done.stdout.split() if name.startswith("bustd_monitor.cli.")}
    assert loaded == {"main", "parser", "commands", "option_table", "instead"}


def test_the_parser_of_the_whole_command_knows_what_parsed_does():
    (subparsers,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    assert list(subparsers.choices) == NAMES
    words = ["-V", "-n", "-g", "-p", "40", "-u", "a|b", "--cgroup", "/a"]
    assert vars(parser().parse_args(words)) == vars(parsed(words))
    assert vars(parser().parse_args(["record", "x"]))["file"] == parsed(["record", "x"]).file


# --- mistakes


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["-m", "5"], "-m is unknown: for available memory, set conditions.floor.available_percent in bustd.toml"),
        (["-m5"], "-m5 is unknown: for available memory, set conditions.floor.available_percent in bustd.toml"),
        (["-n", "-s", "10,5"], "-s is unknown: for free swap, set conditions.floor.swap_percent in bustd.toml"),
        (["--dryrun"], "--dryrun is unknown: --dry-run decides and logs, and never kills"),
        (["--no-demon"], "--no-demon is unknown; nearest: --no-daemon"),
        (["--configg=x"], "--configg is unknown; nearest: --config"),
        (["-Z"], "-Z is unknown"),
        (["--zebra", "word"], "--zebra is unknown"),
        (["--limit", "5"], "--limit is an option of record, not of run"),
        (["-n", "explain"], "the command comes first: bustd explain"),
        (["--dry-run", "run"], "the command comes first: bustd run"),
        (["-n", "word"], "run takes options only, found 'word'"),
        (["-n", "--", "word"], "run takes options only, found 'word'"),
        (["--verbose=1"], "-V/--verbose takes no value"),
        (["--ver"], "ambiguous option: --ver could match --verbose, --version"),
        (
            ["\x1b[2J"],
            "there is no command '\\x1b[2J'; there are "
            "run, check, explain, selftest, record, replay, import-config, report",
        ),
        (["--\x1b[2J"], "--\\x1b[2J is unknown"),
    ],
)
def test_a_mistake_without_a_command_is_one_sentence_and_64(monkeypatch, capfd, words, sentence):
    line = f"bustd: {sentence} (bustd --help shows what there is)\n"
    assert typed(monkeypatch, capfd, *words) == (64, "", line)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["run", "explain"], "'explain' is one command too many"),
        (
            ["run", "-m", "5"],
            "-m is unknown: for available memory, set conditions.floor.available_percent in bustd.toml",
        ),
        (["check", "a"], "check takes options only, found 'a'"),
        (["check", "-g"], "-g is an option of run, explain and replay, not of check"),
        (["check", "--version"], "--version is unknown: bustd --version prints the version"),
        (["check", "--config"], "--config: expected the name of a file, found nothing"),
        (["explain", "--commands"], "--commands is an option of record, not of explain"),
        (["explain", "x"], "PID: expected the PID of a process, found 'x'"),
        (["explain", "0"], "PID: expected the PID of a process, found '0'"),
        (["explain", "7", "8"], "explain takes one PID and options, found '8'"),
        (["explain", "-p", "-u", "x"], "-p/--psi: expected a number from 0 to 100, found nothing"),
        (["replay", "--csv=x", "a"], "--csv takes no value"),
        (["import-config"], "import-config: expected earlyoom or nohang, found nothing"),
        (["import-config", "oomd"], "import-config: expected earlyoom or nohang, found 'oomd'"),
        (["import-config", "nohang", ""], "import-config: the name of FILE is empty"),
        (["import-config", "nohang", "a", "b"], "import-config takes one FILE, found 'b'"),
        (["record", "--seconds", "-5", "a"], "--seconds: expected a whole number above 0, found '-5'"),
    ],
)
def test_a_mistake_after_a_command_is_one_sentence_and_64(monkeypatch, capfd, words, sentence):
    line = f"bustd: {sentence} (bustd {words[0]} --help shows what there is)\n"
    assert typed(monkeypatch, capfd, *words) == (64, "", line)


@pytest.mark.parametrize("word", [*NAMES, "bustd"])
def test_a_value_may_be_the_name_of_a_command(word):
    assert parsed(["-n", "-u", word]).unkillables == [[word]]


def test_what_is_named_instead_of_an_option_of_another_daemon_exists():
    keys = {key for key, _ in keys_of(config.SCHEMA)}
    options = {name for option in RUN.options for name in option.names} | {"--version"}
    for option, hint in INSTEAD.items():
        assert option not in {name for one in RUN.options for name in one.names}
        keys_named = re.findall(r"\w+(?:\.\w+)+(?= in bustd\.toml)", hint)
        options_named = re.findall(r"(?<![\w-])-{1,2}[A-Za-z][\w-]*", hint)
        commands_named = re.findall(r"\bbustd ([a-z][\w-]*)", hint)
        assert keys_named or options_named or commands_named
        assert (set(keys_named) - keys, set(options_named) - options, set(commands_named) - set(NAMES)) == (
            set(),
            set(),
            set(),
        )


def test_an_option_that_a_daemon_gets_is_one_of_run():
    assert set(PASSED_ON) < set(RUN.options)
    assert all(option.monitor or option.killer for option in PASSED_ON)
    assert not any(option.monitor or option.killer for option in set(RUN.options) - set(PASSED_ON))
