"""The completion in the source is the one that the parser gives now, and the shells understand it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bustd_monitor.cli.commands import COMMANDS, RUN
from tests.unit.packaging.test_in_wheel import PAGES
from tests.unit.packaging.test_packages import PACKAGING, install

COMPLETION = PACKAGING / "completion"
BASH, ZSH, FISH = (COMPLETION / name for name in ("bustd.bash", "_bustd", "bustd.fish"))
SHIPPED = ("usr/share/bash-completion/completions/bustd", "usr/share/fish/vendor_completions.d/bustd.fish")
NAMES = {command.name for command in COMMANDS}


@pytest.fixture(autouse=True)
def no_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A shell may write what it remembers there."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "ZDOTDIR", "BASH_ENV"):
        monkeypatch.delenv(name, raising=False)


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


def said_by(*command: str, folder: Path | None = None) -> list[str]:
    """The words of each line that a shell prints."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=folder)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout.splitlines()


def long_options(name: str) -> set[str]:
    (command,) = (one for one in COMMANDS if one.name == name)
    return {long for option in command.options for long in option.names if long.startswith("--")} | {"--help"}


def test_it_is_what_the_parser_gives_now(tmp_path: Path) -> None:
    """If not: .venv/bin/python packaging/completion/generate.py"""
    subprocess.run([sys.executable, COMPLETION / "generate.py", tmp_path], check=True)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(made) == {BASH.name, ZSH.name, FISH.name}
    for name, text in made.items():
        assert text == (COMPLETION / name).read_text(), f"{name} is out of date: run packaging/completion/generate.py"
        assert "MPL-2.0" in text


@pytest.mark.parametrize(
    ("environment", "zsh"),
    [({}, "usr/share/zsh/site-functions/_bustd"), ({"ZSH_DIR": "/usr/share/zsh/v"}, "usr/share/zsh/v/_bustd")],
)
def test_a_package_has_it_where_each_shell_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], zsh: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    install(tmp_path / "root", "/usr/bin/python3", "/usr/lib/python3/dist-packages")
    for name, source in zip((*SHIPPED, zsh), (BASH, FISH, ZSH), strict=True):
        assert (tmp_path / "root" / name).read_text() == source.read_text()


def test_what_make_run_links_uninstall_removes() -> None:
    listed = said_by("sh", "-euc", '. "$1"; links', "sh", str(PACKAGING / "functions.sh"))
    targets = {target.removeprefix("/opt/bustd/") for target, _ in (line.split() for line in listed)}
    completion = {f"completion/{file.name}" for file in (BASH, ZSH, FISH)}
    assert targets == {"bin/bustd", *completion, *(f"share/man/{page}" for page in PAGES)}
    for script in ("install.sh", "uninstall.sh"):
        text = (PACKAGING / script).read_text()
        assert "$(links)" in text and ".made-folders" in text


# --- bash

_IN_BASH = """
source "$1"
complete -p bustd >&3
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_shtab_bustd
printf '%s\\n' "${COMPREPLY[@]}"
"""


def in_bash(*words: str, folder: Path | None = None) -> set[str]:
    lines = said_by("bash", "--norc", "-c", f"exec 3>/dev/null; {_IN_BASH}", "bash", str(BASH), *words, folder=folder)
    return {line for line in lines if line}


@needs("bash")
def test_bash_knows_the_command() -> None:
    assert said_by("bash", "--norc", "-c", f'source "{BASH}"; complete -p bustd') == [
        "complete -o bashdefault -F _shtab_bustd bustd"
    ]


@needs("bash")
def test_bash_completes_commands_options_and_files(tmp_path: Path) -> None:
    (tmp_path / "one.trace").touch()
    (tmp_path / "folder").mkdir()
    assert in_bash("bustd", "") == NAMES
    assert in_bash("bustd", "hi") == {"history"}
    assert long_options("history") == in_bash("bustd", "history", "--")
    assert long_options(RUN.name) | {"--version"} == in_bash("bustd", "--")
    assert in_bash("bustd", "replay", "", folder=tmp_path) == {"one.trace", "folder"}
    assert in_bash("bustd", "replay", "--config", "o", folder=tmp_path) == {"one.trace"}
    assert in_bash("bustd", "history", "--directory", "", folder=tmp_path) == {"folder"}
    assert in_bash("bustd", "import-config", "") == {"earlyoom", "nohang"}


# --- zsh

_IN_ZSH = """
autoload -Uz compinit
fpath=("${1:h}" $fpath)
compinit -u -D
print -r -- $_comps[bustd]
autoload +X -Uz _bustd
whence -w _bustd
"""


@needs("zsh")
def test_zsh_finds_the_function_of_the_command_in_its_path() -> None:
    assert said_by("zsh", "-f", "-c", _IN_ZSH, "zsh", str(ZSH)) == ["_bustd", "_bustd: function"]


_TYPED_IN_ZSH = """
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "fpath=(${1:h} \\$fpath); autoload -Uz compinit; compinit -u -D; PS1=; PROMPT_EOL_MARK=; stty -echo; \\
zstyle ':completion:*' list-colors; bindkey '^I' complete-word; LISTMAX=1000; print READY"
zpty -r shell line '*READY*READY*'
zpty -n -w shell "$2"$'\\t'
sleep 0
zpty -r shell line "*$3*"
print -r -- found
zpty -d shell
"""


@needs("zsh")
@pytest.mark.parametrize(
    ("typed", "shown"),
    [("bustd hist", "bustd history"), ("bustd history --dir", "--directory"), ("bustd import-config ear", "earlyoom")],
)
def test_zsh_completes_what_is_typed(typed: str, shown: str) -> None:
    assert said_by("zsh", "-f", "-c", _TYPED_IN_ZSH, "zsh", str(ZSH), typed, shown)[-1] == "found"


# --- fish


def in_fish(line: str, folder: Path | None = None) -> set[str]:
    lines = said_by("fish", "--no-config", "-c", f'source "{FISH}"; complete -C "{line}"', folder=folder)
    return {line.partition("\t")[0] for line in lines}


@needs("fish")
def test_fish_completes_commands_options_and_files(tmp_path: Path) -> None:
    (tmp_path / "one.trace").touch()
    (tmp_path / "folder").mkdir()
    assert in_fish("bustd ") == NAMES
    assert in_fish("bustd history --") == long_options("history")
    assert long_options(RUN.name) | {"--version"} == in_fish("bustd --")
    assert in_fish("bustd replay ", tmp_path) == {"one.trace", "folder/"}
    assert in_fish("bustd history --directory ", tmp_path) == {"folder/"}
    assert in_fish("bustd import-config ") == {"earlyoom", "nohang"}
