"""The command line of `bustd`: the parser, made of the tables of options and commands, and what it says of mistakes."""

from __future__ import annotations

import argparse
import difflib
import os
import textwrap
from typing import Any, NoReturn

from bustd_shared import __version__
from bustd_shared.daemon.log import printable

from .commands import COMMANDS, EXIT_CODES, RUN, Command
from .instead import INSTEAD
from .option_table import PID, STORY, CommandOption

_WIDTH = 78
_LEAST_LIKENESS = 0.75
_USAGE = "bustd [OPTION]...\n       bustd COMMAND [OPTION]... [FILE | PID | N]"
_DESCRIPTION = "Keeps this machine alive when memory runs out, by killing the one process that frees it."
_VERSION: dict[str, Any] = {"action": "version", "version": f"bustd {__version__}"}
_MORE = "`bustd COMMAND --help` has the options of a command, bustd(1) the rest."


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Wrong arguments: one line, and EX_USAGE."""
        self.exit(os.EX_USAGE, f"bustd: {printable(message)} ({self.prog} --help shows what there is)\n")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command: for its help, for completion and for the man page. Nothing is done or read."""
    return _parsers()[0]


def parsed(words: list[str]) -> argparse.Namespace:
    """The options of the command that is called, with its name as `command`; without a name those of run.

    Raises SystemExit: 0 after help or the version, 64 after a line that says what is wrong.
    """
    whole, readers = _parsers()
    first = words[0] if words else ""
    is_named = first in readers
    if first in ("-h", "--help"):
        whole.print_help()
        whole.exit()
    if words and not is_named and not first.startswith("-"):
        whole.error(f"there is no command {first!r}; there are {', '.join(readers)}")
    command = next(one for one in COMMANDS if one.name == (first if is_named else RUN.name))
    reader = readers[command.name]
    if not is_named:
        reader.prog = whole.prog
    try:
        options, rest = reader.parse_known_args(words[1:] if is_named else words)
    except argparse.ArgumentError as error:
        reader.error(_of_a_value(command, error))
    if rest:
        reader.error(_of_a_surplus(command, rest, is_named=is_named))
    if command.daemons and options.daemon not in command.daemons:
        found = repr(options.daemon) if options.daemon else "nothing"
        reader.error(f"{command.name}: expected {' or '.join(command.daemons)}, found {found}")
    if command.file and not command.daemons and options.file is None:
        reader.error(f"{command.name} needs a FILE: {command.file}")
    if command.file and options.file == "":
        reader.error(f"{command.name}: the name of FILE is empty")
    if len(getattr(options, "configs", None) or []) > 2:
        reader.error(f"{command.name} compares two --config, and no more")
    return options


# --- the parsers


def _parsers() -> tuple[_Parser, dict[str, _Parser]]:
    """That of the whole command, and by its name that of each."""
    whole = _Parser(
        prog="bustd",
        usage=_USAGE,
        description=_filled(_DESCRIPTION),
        epilog=f"{_MORE}\n\n{_listed('exit codes:', [(str(code), meaning) for code, meaning in EXIT_CODES])}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", **_VERSION, help="print the version")
    listed = whole.add_subparsers(title="commands", dest="command", metavar="COMMAND", prog=whole.prog)
    alone = whole.add_argument_group("options of `bustd run`, which is what bustd does without a command")
    for option in RUN.options:
        _add(alone, option)
    whole.set_defaults(command=RUN.name)
    commands = {}
    for command in COMMANDS:
        one = commands[command.name] = listed.add_parser(
            command.name,
            usage=f"bustd {command.name} [OPTION]... {command.operands}".rstrip(),
            help=command.summary,
            description=_filled(command.description),
            epilog=_listed("examples:", list(command.examples)),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            exit_on_error=False,
        )
        one.set_defaults(command=command.name)
        if command.daemons:
            one.add_argument("daemon", nargs="?", metavar="|".join(command.daemons), help="whose configuration it is")
        if command.file:
            one.add_argument("file", nargs="?", metavar="FILE", help=command.file)
        if command.pid:
            one.add_argument("pid", nargs="?", type=PID.__call__, metavar=PID.metavar, help=command.pid)
        if command.number:
            one.add_argument("number", nargs="?", type=STORY.__call__, metavar=STORY.metavar, help=command.number)
        for option in command.options:
            _add(one, option)
    commands[RUN.name].add_argument("--version", **_VERSION, help=argparse.SUPPRESS)  # bustd -V --version
    return whole, commands


def _add(to: argparse._ActionsContainer, option: CommandOption) -> None:
    """The option as argparse has it."""
    how: dict[str, Any] = {"dest": option.attribute, "help": option.help, "default": option.default}
    if option.value is None:
        how |= {"action": "store_const", "const": option.switches_to, "default": False}
    else:
        how |= {
            "action": "append" if option.repeats else "store",
            "type": option.value,
            "metavar": option.value.metavar,
        }
    to.add_argument(*option.names, **how)


def _filled(text: str, hanging: str = "") -> str:
    """The text in lines for a terminal of 80 columns."""
    return textwrap.fill(text, _WIDTH, subsequent_indent=hanging, break_on_hyphens=False)


def _listed(title: str, items: list[tuple[str, str]]) -> str:
    """A list for a terminal, each meaning behind its item, or below where the item is long."""
    width = max(len(item) for item, _ in items)
    if width > _WIDTH // 2:
        return "\n".join([title, *(f"  {item}\n      {meaning}" for item, meaning in items)])
    hanging = " " * (width + 4)
    lines = [_filled(f"  {item:{width}}  {meaning}", hanging) for item, meaning in items]
    return "\n".join([title, *lines])


# --- mistakes


def _of_a_value(command: Command, error: argparse.ArgumentError) -> str:
    """What is wrong with the value of an option: one that is given, one that is missing, one that may not be."""
    option = next((one for one in command.options if one.typed == error.argument_name), None)
    if option is None:
        return f"{error.argument_name}: {error.message}"
    if option.value is None:
        return f"{option.typed} takes no value"
    is_given = isinstance(error.__context__, argparse.ArgumentTypeError)
    return f"{option.typed}: {error.message if is_given else f'expected {option.value.expected}, found nothing'}"


def _of_a_surplus(command: Command, rest: list[str], *, is_named: bool) -> str:
    """What is wrong with words that the command does not know: the first option among them, else the first word."""
    option = next((word for word in rest if word.startswith("-") and word.strip("-")), "")
    if option:
        return _of_an_option(command, option.partition("=")[0])
    word = next((word for word in rest if word != "--"), "--")
    if word in [one.name for one in COMMANDS]:
        return f"the command comes first: bustd {word}" if not is_named else f"{word!r} is one command too many"
    takes = "one FILE" if command.file else "one PID and options" if command.pid else "options only"
    takes = "one N and options" if command.number else takes
    return f"{command.name} takes {takes}, found {word!r}"


def _of_an_option(command: Command, word: str) -> str:
    """What is there instead of an option that the command does not have."""
    owners = [one.name for one in COMMANDS if any(word in option.names for option in one.options)]
    if owners:
        *others, last = owners
        return f"{word} is an option of {', '.join(others)}{' and ' if others else ''}{last}, not of {command.name}"
    hint = INSTEAD.get(word if word.startswith("--") else word[:2], "")
    known = [option.names[-1].lstrip("-") for option in command.options]
    near = difflib.get_close_matches(word.lstrip("-"), known, 1, _LEAST_LIKENESS) if word.startswith("--") else []
    return f"{word} is unknown{f': {hint}' if hint else f'; nearest: --{near[0]}' if near else ''}"
