"""Every command of `bustd`: what it does, its own options, and examples. The first is what `bustd` alone does."""

from __future__ import annotations

from typing import NamedTuple

from . import option_table as table
from .option_table import CommandOption


class Command(NamedTuple):
    """One command. `summary` is its line in the list of all; `file`: what its one FILE is, "" if it takes none.

    `pid`: what the one PID is that it may be given, "" if it takes none; `number`: the same of one N. `daemons`: if
    any, the first word must be one of them, and FILE may be missing.
    """

    name: str
    summary: str
    description: str
    options: tuple[CommandOption, ...]
    examples: tuple[tuple[str, str], ...]
    file: str = ""
    pid: str = ""
    number: str = ""
    daemons: tuple[str, ...] = ()

    @property
    def operands(self) -> str:
        """What follows its options, for a person."""
        if self.daemons:
            return f"{'|'.join(self.daemons)} [FILE]"
        return "FILE" if self.file else "[PID]" if self.pid else "[N]" if self.number else ""


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
    (
        table.CONFIG,
        table.KILLER_CONFIG,
        table.PSI,
        table.UNKILLABLES,
        table.CGROUP,
        table.QUIET,
        table.JSON,
    ),
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

STATUS = Command(
    "status",
    "say whether this machine is protected, in one line and with the exit code of a monitoring plugin",
    "Says whether this machine is protected, why, and since when; then how far away each condition is, and the last "
    "kills. The first line and the exit code are those of a monitoring plugin: 0 protected, 1 protected but someone "
    "should look, 2 not protected, 3 it can't be told. It looks at this machine for a second.",
    (table.JSON,),
    (("bustd status", "is this machine protected?"),),
)

METRICS = Command(
    "metrics",
    "print what a Prometheus server may be told of this machine, or write it to a file",
    "Prints, or with -o writes, in the text format of Prometheus: whether this machine is protected, how much memory "
    "is available, which conditions fire, and counts of kills and refusals from the journal. The file is for the "
    "textfile directory of node_exporter; counts in it go on where they have ended. It looks at this machine for two "
    "seconds.",
    (table.OUTPUT,),
    (("sudo bustd metrics -o /var/lib/prometheus/node-exporter/bustd.prom", "what the timer of the package does"),),
)

SELFTEST = Command(
    "selftest",
    "let a pair kill a child of its own, and show that nothing else dies",
    "Starts a pair of its own, which kills a child of this command and nothing else: kills work on this machine. As "
    "root, and where bustd's systemd units are installed, the pair runs in copies of them, inside their sandbox; else "
    "as `bustd run` would start it. What runs already is left alone. Ends with 0 if exactly that child died, else with "
    "1, after what the pair said. It also ends with 1 where the pair works and this machine is not protected: the "
    "installed units do not run, dry_run is set, or a rule spares every process.",
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

WATCH = Command(
    "watch",
    "show what the monitor of this machine does, as it happens",
    "Shows the last events of the monitor that protects this machine, and then each as it happens: one line with its "
    "time, its priority and the sentence of the log, without command lines. Any user may watch, up to sixteen at a "
    "time. When the monitor is restarted, watch connects again. It ends with 69 if there is no monitor to begin with.",
    (table.JSON_LINES, table.NEW),
    (
        ("bustd watch", "see what happens"),
        ("bustd watch --json --new", "for a program that acts on it"),
    ),
)

HISTORY = Command(
    "history",
    "show what died and why, also before this boot",
    "Shows every kill and every time without one when memory was short, also of earlier boots: when, which process, "
    "what it held, by which condition, which process would have been next, and what came back. The last is number 1; "
    "with N it tells the whole story of that one. It reads the journal, or the log file where there is none. A user "
    "who may not read the journal sees what the running monitor still knows.",
    (table.DIRECTORY, table.JSON),
    (
        ("sudo bustd history", "show all that the journal has"),
        ("sudo bustd history 1", "tell the whole story of the last kill"),
    ),
    number="the number of a story, from the first column; 1 is the last",
)

NOTIFY = Command(
    "notify",
    "show warnings and deaths as notifications of the desktop, in the user's own session",
    "Runs in a user's session and shows what the monitor tells: a warning before memory is short, and after a kill "
    "what died, why and what came back. A warning has buttons to end a program of yours, and to have another one of "
    "yours end first. Without an answer bustd chooses. It is started with the session where a package has installed "
    "it; a second one in the same session ends at once. It needs the Python package jeepney.",
    (),
    (("bustd notify", "start it by hand, until Ctrl-C"),),
)

REPORT = Command(
    "report",
    "print what a maintainer needs to know, without the names of anything",
    "Prints versions, the kernel's memory, the configuration, the state of the units, the last entries of the log and "
    "what `bustd explain` shows, as one text, for a report of what went wrong. Names of programs, units, users, files "
    "and of this machine are left out, and so are rules and command lines, unless --names is given. It sends nothing: "
    "read it before you do. As root it has the journal.",
    (table.NEW_FILE, table.WITH_NAMES, table.CONFIG, table.KILLER_CONFIG),
    (
        ("sudo bustd report -o bustd.txt", "write it to a file that only you can read"),
        ("bustd report", "show it"),
    ),
)

COMMANDS = (
    *(RUN, CHECK, EXPLAIN, STATUS, HISTORY, WATCH, NOTIFY, METRICS, SELFTEST),
    *(RECORD, REPLAY, REPORT, IMPORT_CONFIG),
)

EXIT_CODES = (
    (0, "all is well; bustd was stopped by a signal"),
    (
        1,
        "check found problems; selftest failed; replay found a difference between two configurations; history has no "
        "such number; status warns",
    ),
    (2, "status: this machine is not protected"),
    (3, "status: it can't be told"),
    (64, "the command line makes no sense"),
    (65, "FILE or DIR can't be read, or is not what replay or import-config can read; the message says why"),
    (69, "this machine does not have or show what bustd needs, or the job to guard has ended; the message says what"),
    (70, "one half of the pair died"),
    (71, "the system refuses what bustd needs; the rehearsal failed: the killer can't kill on this machine"),
    (
        73,
        "the PID file, log, trace, report or metrics can't be written; a pair or another selftest is running already",
    ),
    (78, "the configuration is wrong"),
)
