"""`bustd`: the command that people type."""

from __future__ import annotations

import argparse
import os
import sys

from bustd_shared.kernel.watched_group import plain

from ..arguments import DEFAULT_CONFIG, DEFAULT_KILLER_CONFIG, overrides, parse_arguments
from .options import monitor_arguments

_COMMANDS = ("run", "check", "explain", "selftest", "record", "replay")

_EPILOG = """commands (the default is run):
  run        start the monitor and the killer
  check      read the configuration and name every problem in it
  explain    show the conditions with their present values and who would die, and kill nothing
  selftest   let the pair kill a child of its own, and show that nothing else dies; as root, and where they are
             installed, inside the sandbox of the systemd units
  record     write readings and processes to FILE, for replay
  replay     show what would have been killed, when and why, in a trace or a table: FILE; with two --config, in
             what they differ

exit codes:
  0    all is well; bustd was stopped by a signal
  1    check found problems; selftest failed; replay found a difference between two configurations
  64   the command line makes no sense
  65   what replay was given is not to be read, or is neither a trace nor such a table
  69   this machine does not have or show what bustd needs (the sentence says what)
  70   one half of the pair died
  71   the system refuses what bustd needs; the rehearsal failed: the killer can't kill on this machine
  73   the pid file, the log or the trace can't be written, or bustd, or another selftest, is running already
  77   no permission
  78   the configuration is wrong"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """Wrong arguments: one line, and EX_USAGE."""
        self.exit(os.EX_USAGE, f"bustd: {message} (bustd --help shows what there is)\n")


def parser() -> argparse.ArgumentParser:
    """The options of the original, and ours."""
    parser = _Parser(
        prog="bustd",
        usage="bustd [COMMAND [FILE]] [OPTION]...",
        description="Keeps this machine alive when memory runs out, by killing the one process that frees it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=_COMMANDS, default="run", help=argparse.SUPPRESS)
    parser.add_argument("-V", "--verbose", action="store_true", help="log every reading and every sleep")
    parser.add_argument("-n", "--no-daemon", action="store_true", help="stay in the foreground")
    parser.add_argument("-g", "--kill-pgroup", action="store_true", help="kill the victim's whole process group")
    parser.add_argument(
        "-p", "--psi", type=float, metavar="N", help="PSI some avg10 that fires `pressure` (default 25.0)"
    )
    parser.add_argument(
        "-u", "--unkillables", action="append", default=[], metavar="GLOBS", help="never kill these names: 'glob|glob'"
    )
    parser.add_argument("--dry-run", action="store_true", help="decide and log, and never kill")
    parser.add_argument(
        "--config", type=_path, action=_Files, metavar="FILE", help=f"instead of {DEFAULT_CONFIG}; replay takes two"
    )
    parser.add_argument("--killer-config", type=_path, metavar="FILE", help=f"instead of {DEFAULT_KILLER_CONFIG}")
    parser.add_argument("--user", default="bustd", metavar="NAME", help="whom the monitor runs as (default bustd)")
    parser.add_argument(
        "--only-descendants-of", type=_pid, metavar="PID", help="nothing outside of this process's subtree may die"
    )
    parser.add_argument(
        "--cgroup", type=_cgroup, metavar="PATH", help="watch this control group, and nothing outside of it may die"
    )
    parser.add_argument(
        "--standalone", action="store_true", help="selftest: test the pair as `bustd run` starts it, not the units"
    )
    parser.add_argument("--seconds", type=_amount, metavar="N", help="record: end after so many seconds")
    parser.add_argument(
        "--limit", type=_amount, metavar="MIB", help="record: end at this size of the file (default 64)"
    )
    parser.add_argument(
        "--commands", action="store_true", help="record: command lines too, which may hold passwords (default: none)"
    )
    parser.add_argument("--csv", action="store_true", help="replay: FILE is a table, whatever its name ends in")
    return parser


class _Files(argparse.Action):
    """The option given last, as ever, and in `configs` all of them."""

    def __call__(self, _parser: object, namespace: argparse.Namespace, values: object, _option: object = None) -> None:
        namespace.config = values
        namespace.configs = [*getattr(namespace, "configs", []), values]


_FILES = {"record": "the trace to write", "replay": "the trace or table to read"}
_OPTIONS_OF = {
    "standalone": ("selftest",),
    "seconds": ("record",),
    "limit": ("record",),
    "commands": ("record",),
    "csv": ("replay",),
    "cgroup": ("run", "check", "explain", "record"),
}


def _options() -> argparse.Namespace:
    """The command line. What does not go together ends like any other wrong argument."""
    reader = parser()
    options, rest = reader.parse_known_args()
    options.files = [word for word in rest if not word.startswith("-")]
    most_files = 1 if options.command in _FILES else 0
    if len(options.files) > most_files or len(rest) > len(options.files):
        known = set(options.files[:most_files])
        reader.error(f"unrecognized arguments: {' '.join(word for word in rest if word not in known)}")
    if len(options.files) < most_files:
        reader.error(f"{options.command} needs a FILE: {_FILES[options.command]}")
    for name, commands in _OPTIONS_OF.items():
        if getattr(options, name) and options.command not in commands:
            reader.error(f"--{name} is an option of {commands[0]}, not of {options.command}")
    options.configs = getattr(options, "configs", [])
    if len(options.configs) > 2 and options.command == "replay":
        reader.error("replay compares two --config, and no more")
    return options


def _path(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("the name of a file is missing")
    return text


def _cgroup(text: str) -> str:
    """A script whose variable is empty must not end up with a pair that watches the whole machine."""
    path = plain(text)
    if not path:
        raise argparse.ArgumentTypeError(f"{text!r} is not the path of a control group")
    return path


def _amount(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _pid(text: str) -> int:
    """A script whose variable is empty or 0 must not end up with a killer that may kill everybody."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a PID")
    return int(text)


def main() -> int:
    """The entry point."""
    _open_standard_streams()
    try:
        try:
            return _perform(_options())
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return 128 + 2
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what is still in the buffer when Python ends
        return 0
    except OSError as error:
        sys.stderr.write(f"bustd: {error}\n")
        return os.EX_OSERR


def _perform(options: argparse.Namespace) -> int:
    """Each command is imported only when it is asked for."""
    if options.command == "check":
        from .check import check

        return check(
            options.config or DEFAULT_CONFIG,
            options.killer_config or DEFAULT_KILLER_CONFIG,
            required=options.config is not None,
            killer_required=options.killer_config is not None,
            overrides=overrides(parse_arguments(monitor_arguments(options))),
        )
    if options.command == "explain":
        from .explain import explain

        return explain(options)
    if options.command == "record":
        from .record import record

        return record(options)
    if options.command == "replay":
        from .replay import replay

        return replay(options)
    if options.command == "selftest":
        from .selftest_units import selftest

        return selftest(options.user, standalone=options.standalone)
    from .run import run

    return run(options)


def _open_standard_streams() -> None:
    """Whichever of 0, 1 and 2 is closed would become a file that is opened later, and the log would go there."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


if __name__ == "__main__":
    sys.exit(main())
