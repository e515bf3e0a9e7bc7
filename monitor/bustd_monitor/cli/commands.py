"""Every command of `bustd`: what it does, its own options, and examples. The first is what `bustd` alone does."""

from __future__ import annotations

from typing import NamedTuple

from . import option_table as table
from .option_table import CommandOption


class Command(NamedTuple):
    """One command. `summary` is its line in the list of all; `file`: what its one FILE is, "" if it takes none.

    `pid`: what the one PID is that it may be given, "" if it takes none. `daemons`: if any, the first word must be one
    of them, and FILE may be missing.
    """

    name: str
    summary: str
    description: str
    options: tuple[CommandOption, ...]
    examples: tuple[tuple[str, str], ...]
    file: str = ""
    pid: str = ""
    daemons: tuple[str, ...] = ()

    @property
    def operands(self) -> str:
        """What follows its options, for a person."""
        if self.daemons:
            return f"{'|'.join(self.daemons)} [FILE]"
        return "FILE" if self.file else "[PID]" if self.pid else ""


_ON_TOP = "The options go on top of the configuration files."

RUN = Command(
    "run",
    "start the monitor and the killer",
    "Starts the monitor and the killer as a pair, in the background unless -n is given. `bustd` without a command does "
    f"the same. {_ON_TOP} Where systemd runs bustd, use `systemctl start bustd-monitor` instead, and not both.",
    (
        table.VERBOSE,
        table.NO_DAEMON,
        table.KILL_PGROUP,
        table.PSI,
        table.UNKILLABLES,
        table.DRY_RUN,
        table.CONFIG,
        table.KILLER_CONFIG,
        table.MONITOR_USER,
        table.ONLY_DESCENDANTS_OF,
        table.CGROUP,
    ),
    (
        ("bustd run --dry-run -n -V", "show every reading and decision, and kill nothing"),
        ("bustd run -u 'Xorg|mysqld'", "never kill what has one of these names"),
    ),
)

CHECK = Command(
    "check",
    "read the configuration and name every problem in it",
    "Reads both configuration files as the daemons would, names every problem, and warns of a condition that can fire "
    f"where the killer would refuse. {_ON_TOP} Ends with 0 if there is no problem, with 1 if there is one.",
    (table.CONFIG, table.KILLER_CONFIG, table.PSI, table.UNKILLABLES, table.CGROUP),
    (
        ("bustd check", "check the files in /etc/bustd"),
        ("bustd check --config new.toml", "check a file before it is put there"),
    ),
)

EXPLAIN = Command(
    "explain",
    "show the conditions with their present values and what would die; kill nothing",
    "Shows what each condition demands and what there is now, which processes would die first and why, and which are "
    "left out. With a PID it shows of this one process whether it could die now, everything that spares it or moves "
    "its place, in the order in which it counts, and what would have to change for it. It looks at this machine for a "
    f"second, and kills nothing. On a terminal, long lines are folded or cut to its width. {_ON_TOP}",
    (
        table.CONFIG,
        table.KILLER_CONFIG,
        table.KILL_PGROUP,
        table.PSI,
        table.UNKILLABLES,
        table.ONLY_DESCENDANTS_OF,
        table.CGROUP,
        table.JSON,
    ),
    (
        ("sudo bustd explain", "show what the monitor of the whole machine sees"),
        ("sudo bustd explain -u firefox", "show what would die if firefox may not"),
        ("sudo bustd explain 4711", "show whether this process could die, and what decides that"),
    ),
    pid="the process to explain; without it, the most likely victims",
)

SELFTEST = Command(
    "selftest",
    "let a pair kill a child of its own, and show that nothing else dies",
    "Starts a pair of its own, which kills a child of this command and nothing else: kills work on this machine. As "
    "root, and where bustd's systemd units are installed, the pair runs in copies of them, inside their sandbox; else "
    "as `bustd run` would start it. What runs already is left alone. Ends with 0 if exactly that child died, else with "
    "1, after what the pair said.",
    (table.MONITOR_USER, table.STANDALONE),
    (
        ("sudo bustd selftest", "test the installed units, if there are any"),
        ("bustd selftest", "test the pair that an ordinary user can run"),
    ),
)

RECORD = Command(
    "record",
    "write readings and processes to FILE, for replay; kill nothing",
    "Writes what the monitor would see to a new file, for `bustd replay`: memory, pressure and the largest processes. "
    "It ends when the time is over, when the file has its full size, or with Ctrl-C. It needs no privilege; as root it "
    "keeps itself in memory and the kernel from killing it. Only you can read the file, and it has the names of "
    "programs in it.",
    (table.SECONDS, table.LIMIT, table.COMMAND_LINES, table.RECORDED_DESCENDANTS, table.RECORDED_CGROUP),
    (("sudo bustd record FILE --seconds 600", "record ten minutes"),),
    file="the trace to write",
)

REPLAY = Command(
    "replay",
    "show what would have been killed in FILE, a trace or a table, when and why",
    "Shows what would have been killed in FILE, when and why: FILE is a trace that `bustd record` wrote, or a table of "
    "readings of another tool (CSV); with `-` as FILE it reads standard input. It kills nothing. The configuration is "
    "that of this machine, or what --config names; the other options go on top. With two --config it shows both and in "
    "what they differ, and ends with 1 if they do.",
    (
        *(table.CONFIGS, table.KILLER_CONFIG, table.KILL_PGROUP, table.PSI, table.UNKILLABLES, table.CHANGES),
        *(table.CSV, table.JSON),
    ),
    (
        ("bustd replay FILE", "with the configuration of this machine"),
        ("bustd replay FILE --config a.toml --config b.toml", "compare two configurations"),
        ("bustd replay - --json", "read standard input, and print JSON"),
    ),
    file="the trace or table to read",
)

IMPORT_CONFIG = Command(
    "import-config",
    "print a bustd.toml that does what earlyoom or nohang was told to do",
    "Reads the configuration of earlyoom (/etc/default/earlyoom) or of nohang (/etc/nohang/nohang.conf), or FILE, and "
    "prints a bustd.toml that `bustd check` accepts. With `-` as FILE it reads standard input. Regular expressions "
    "become globs. Comments in it say where each value comes from, where a glob matches more, and what could not be "
    "carried over. Nothing is written or changed.",
    (),
    (
        ("bustd import-config earlyoom", "show what becomes of /etc/default/earlyoom"),
        ("bustd import-config nohang my.conf", "show what becomes of another file of nohang"),
    ),
    file="the configuration to read",
    daemons=("earlyoom", "nohang"),
)

REPORT = Command(
    "report",
    "print what a maintainer needs to know, without the names of anything",
    "Prints versions, the kernel's memory, the configuration, the state of the units, the last entries of the log and "
    "what `bustd explain` shows, as one text, for a report of what went wrong. Names of programs, units, users, files "
    "and of this machine are left out, and so are rules and command lines, unless --names is given. It sends nothing: "
    "read it before you do. As root it has the journal.",
    (table.OUTPUT, table.WITH_NAMES, table.CONFIG, table.KILLER_CONFIG),
    (
        ("sudo bustd report -o bustd.txt", "write it to a file that only you can read"),
        ("bustd report", "show it"),
    ),
)

COMMANDS = (RUN, CHECK, EXPLAIN, SELFTEST, RECORD, REPLAY, IMPORT_CONFIG, REPORT)

EXIT_CODES = (
    (0, "all is well; bustd was stopped by a signal"),
    (1, "check found problems; selftest failed; replay found a difference between two configurations"),
    (64, "the command line makes no sense"),
    (65, "FILE can't be read, or is not what replay or import-config can read; the message says why"),
    (69, "this machine does not have or show what bustd needs; the message says what"),
    (70, "one half of the pair died"),
    (71, "the system refuses what bustd needs; the rehearsal failed: the killer can't kill on this machine"),
    (
        73,
        "the PID file, the log, the trace or the report can't be written; bustd or another selftest is running already",
    ),
    (78, "the configuration is wrong"),
)
