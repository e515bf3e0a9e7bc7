"""earlyoom's options, as /etc/default/earlyoom has them in EARLYOOM_ARGS (earlyoom(1), version 1.8 and later)."""

from __future__ import annotations

import getopt
import math
import shlex

from .draft import FLOOR, KILLER_PERCENT, NO_LIMIT_MIB, Draft, NotThat

_VARIABLE = "EARLYOOM_ARGS="
SHORT = "m:s:M:S:kingN:P:dvr:ph"
LONG = (
    *("prefer=", "avoid=", "ignore=", "dryrun", "ignore-root-user", "sort-by-rss", "syslog", "kernel-oom"),
    *("help", "debug"),
)
_LISTS = {"--prefer": "victims.prefer.names", "--avoid": "victims.avoid.names", "--ignore": "victims.never.names"}
_KIB_PER_MIB = 1024

_LOST = {
    "-r": "bustd writes no reports at intervals; -V, or verbose = true, logs every reading",
    "-n": "bustd sends no notifications; its log names each victim and the reason",
    "-N": "bustd runs no program after a kill; its log names each victim and the reason",
    "-P": "bustd runs no program before a kill",
    "-p": "not needed: both programs set their priority, or their units do",
    "-S": "bustd counts swap in percent: set swap_percent in the table of available_percent",
    "--sort-by-rss": "bustd counts what a death gives back, and growth",
    "--kernel-oom": "bustd signals the victim by itself",
    "--syslog": "not needed: the log goes to the journal, or the killer writes to the system log",
    "-k": "earlyoom ignores it too",
    "-i": "earlyoom ignores it too",
    "-v": "it only prints earlyoom's version",
    "-h": "it only prints earlyoom's help",
    "--help": "it only prints earlyoom's help",
}


def read(text: str) -> Draft:
    """The draft for a file that the shell reads. Raises NotThat."""
    return of_words(_words(text))


def of_words(words: list[str]) -> Draft:
    """The draft for the words of a command line. Raises NotThat."""
    try:
        pairs, rest = getopt.gnu_getopt(words, SHORT, list(LONG))
    except getopt.GetoptError as error:
        raise NotThat(f"earlyoom would not take its options: {error.msg}") from None
    if rest:
        raise NotThat(f"earlyoom would not take its options: it takes no argument, found {rest[0]!r}")
    draft = Draft()
    given = dict(pairs)  # of one that is given twice, earlyoom takes the last
    for option, value in given.items():
        _carry_over(draft, option, value)
    _thresholds(draft, {option: _amounts(option, given[option]) for option in ("-m", "-M", "-s") if option in given})
    return draft


def _words(text: str) -> list[str]:
    """The options in the last assignment of the variable, split as the shell and systemd do."""
    try:
        words = shlex.split(text.replace("\\\n", ""), comments=True)
        assignments = [word for word in words if word.startswith(_VARIABLE)]
        if not assignments:
            raise NotThat(f"no line of it sets {_VARIABLE.rstrip('=')}, as /etc/default/earlyoom does")
        return shlex.split(assignments[-1].removeprefix(_VARIABLE))
    except ValueError:
        raise NotThat("a quotation mark in it is never closed") from None


def _carry_over(draft: Draft, option: str, value: str) -> None:
    typed = f"{option} {value}".strip()
    if option in _LISTS:
        note = "killer.toml, [protect], is enforced whatever the monitor does" if option == "--ignore" else ""
        draft.add_globs(_LISTS[option], value, typed, note)
    elif option == "-g":
        draft.put("victims.scope", "group", typed)
    elif option == "--dryrun":
        draft.put("dry_run", True, typed)
    elif option in ("-d", "--debug"):
        draft.put("verbose", True, typed)
    elif option == "--ignore-root-user":
        draft.add("victims.never.users", [0], typed)
    elif option in _LOST:
        draft.lose(typed, _LOST[option])


def _thresholds(draft: Draft, limits: dict[str, tuple[float, float]]) -> None:
    """`limits`: by the option, the values for SIGTERM and SIGKILL: percent, of -M KiB."""
    if "-m" in limits:
        draft.put(f"{FLOOR}.available_percent", limits["-m"][0], f"-m {limits['-m'][0]:g}")
        if "-M" not in limits:
            draft.put(f"{FLOOR}.available_mib", NO_LIMIT_MIB, "-m has no limit in MiB; bustd's default is 1024")
    if "-M" in limits:
        mib = math.ceil(limits["-M"][0] / _KIB_PER_MIB)
        draft.put(f"{FLOOR}.available_mib", mib, f"-M {limits['-M'][0]:g} (KiB)")
        if "-m" not in limits:
            why = f"-M has no limit in percent; the killer refuses above {KILLER_PERCENT}"
            draft.put(f"{FLOOR}.available_percent", KILLER_PERCENT, why)
    if "-s" in limits:
        draft.put(f"{FLOOR}.swap_percent", limits["-s"][0], f"-s {limits['-s'][0]:g}")
    shares = {option: round(100 * kill / term, 2) for option, (term, kill) in limits.items()}
    draft.put_kill_fraction(shares, "SIGKILL at this share of {}", "the share of {} for SIGKILL, {:g} %")


def _amounts(option: str, value: str) -> tuple[float, float]:
    """The values for SIGTERM and SIGKILL; as earlyoom has it, the first is never below the second. Raises NotThat."""
    term, comma, kill = value.partition(",")
    try:
        first = float(term)
        second = float(kill) if comma else first / 2
    except ValueError:
        first = second = -1
    if not (0 <= first < math.inf and 0 <= second < math.inf) or first == second == 0:
        raise NotThat(f"{option} of earlyoom is a number above 0, or two with a comma, found {value!r}")
    return max(first, second), second
