"""nohang.conf: a line `key = value` for each key, and lines that begin with @ for rules (nohang(8), version 0.3)."""

from __future__ import annotations

import re
from collections.abc import Callable

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.globs import COMM_BYTES

from .draft import FLOOR, KILLER_PERCENT, NO_LIMIT_MIB, PRESSURE, Draft, NotThat

_RULE = "@BADNESS_ADJ_RE_"
_SEPARATOR = "///"
_SOFT, _HARD = "soft_threshold_min_", "hard_threshold_min_"
_MEMORY, _SWAP = f"{_SOFT}mem", f"{_SOFT}swap"

_BY_NAME = (
    "Programs that nohang knows by their path (REALPATH) are here by their name: bustd can't read the path, and any "
    "program can call itself so."
)
_PLAIN_PATH = re.compile(r"[^*?\[\]]*/([^*?\[\]/]+)")

_NO_PROGRAM = "bustd runs no program"
_NO_NOTIFICATIONS = "bustd sends no notifications; its log names each victim and the reason"
_LOST = {
    "post_kill_exe": _NO_PROGRAM,
    "warning_exe": _NO_PROGRAM,
    "post_action_gui_notifications": _NO_NOTIFICATIONS,
    "low_memory_warnings_enabled": _NO_NOTIFICATIONS,
    "ignore_positive_oom_score_adj": "bustd can only bound what oom_score_adj counts: victims.adj_percent",
    "separate_log": "the log goes to the journal, or to the log of `bustd run`",
    "zram_checking_enabled": "not needed: bustd counts swap in zram with what it would still gain",
}
"""By the key: why its value has no counterpart, if it is switched on."""

_OFF = ("", "False")


class _Rule(NamedTuple):
    """One line that moves the badness of what a regular expression finds in a property of a process."""

    subject: str
    points: int
    pattern: str

    @property
    def typed(self) -> str:
        """As it stands in the file."""
        return f"{_RULE}{self.subject} {self.points} {_SEPARATOR} {self.pattern}"

    @property
    def table(self) -> str:
        """The table of bustd.toml in which it belongs."""
        return "victims.prefer" if self.points > 0 else "victims.avoid"


def read(text: str) -> Draft:
    """The draft for the text of a nohang.conf. Raises NotThat."""
    draft, values, rules = Draft(), {}, []
    for line in text.splitlines():
        if not line.strip() or line[0] in "# \t":
            continue
        if line.startswith(_RULE):
            rules.append(_rule(line))
        elif line.startswith("@"):
            why = _NO_PROGRAM if line.startswith("@SOFT_ACTION") else "bustd does not read the kernel's log"
            draft.lose(line.strip(), why)
        else:
            key, _, value = line.partition("=")
            values[key.strip()] = value.strip()
    if not (rules or draft.lost or any(key.startswith((_SOFT, _HARD)) or key in _LOST for key in values)):
        raise NotThat("it has no key and no rule of a nohang.conf")
    _thresholds(draft, values)
    _pressure(draft, values)
    _others(draft, values)
    _rules(draft, rules)
    return draft


# --- keys


def _thresholds(draft: Draft, values: dict[str, str]) -> None:
    terms = {key: _amount(key, values[key]) for key in (_MEMORY, _SWAP) if key in values}
    for key, (amount, unit) in terms.items():
        typed = f"{key} = {amount:g} {unit}"
        if key == _SWAP and unit == "M":
            draft.lose(typed, "bustd counts swap in percent: set swap_percent in the table of available_percent")
        elif key == _SWAP:
            draft.put(f"{FLOOR}.swap_percent", amount, typed)
        elif unit == "M":
            why = f"no limit in percent; the killer refuses above {KILLER_PERCENT}"
            draft.put(f"{FLOOR}.available_percent", KILLER_PERCENT, why)
            draft.put(f"{FLOOR}.available_mib", amount, typed)
        else:
            draft.put(f"{FLOOR}.available_percent", amount, f"{typed}; of what programs can use instead of RAM")
            draft.put(f"{FLOOR}.available_mib", NO_LIMIT_MIB, "nohang has no limit in MiB; bustd's default is 1024")
    shares: dict[str, float] = {}
    for key, (term, unit) in terms.items():
        hard = key.replace(_SOFT, _HARD)
        kill = _amount(hard, values[hard]) if hard in values else (0, "")
        if term > 0 and unit == kill[1]:
            shares[hard] = round(min(100 * kill[0] / term, 100), 2)
        elif hard in values:
            draft.lose(f"{hard} = {values[hard]}", f"it is in another unit than {key}, or that is 0")
    draft.put_kill_fraction(shares, "SIGKILL at this share: {}", "{}, {:g} % of the soft one")


def _amount(key: str, value: str) -> tuple[float, str]:
    """A number, and % or M. Raises NotThat."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)\s*([%M])", value)
    if match is None:
        raise NotThat(f"{key} is a number with % or M behind it, found {value!r}")
    return float(match[1]), match[2]


def _pressure(draft: Draft, values: dict[str, str]) -> None:
    metrics, limit = values.get("psi_metrics", ""), values.get("soft_threshold_max_psi", "")
    checking = values.get("psi_checking_enabled")
    if checking != "True":
        if checking is not None:
            draft.lose(f"psi_checking_enabled = {checking}", "the conditions of bustd that judge PSI stay on")
        return
    if metrics == "some_avg10" and re.fullmatch(r"\d+(\.\d*)?", limit):
        draft.put(f"{PRESSURE}.psi_some_avg10", float(limit), f"soft_threshold_max_psi = {limit}, of {metrics}")
    else:
        draft.lose(
            f"psi_checking_enabled, psi_metrics = {metrics}, soft_threshold_max_psi = {limit}",
            "three conditions of bustd judge PSI, each together with other readings; they keep their defaults",
        )


def _others(draft: Draft, values: dict[str, str]) -> None:
    for key, why in _LOST.items():
        if values.get(key, "") not in _OFF:
            draft.lose(f"{key} = {values[key]}", why)
    if values.get("print_mem_check_results") == "True":
        draft.put("verbose", True, "print_mem_check_results = True")
    if "max_soft_exit_time" in values:
        seconds = values["max_soft_exit_time"]
        draft.lose(
            f"max_soft_exit_time = {seconds} (s)", "it is grace.term_ms of killer.toml, whose default is 2000 (ms)"
        )


# --- rules


def _rule(line: str) -> _Rule:
    head, separator, pattern = line.removeprefix(_RULE).partition(_SEPARATOR)
    words = head.split()
    if not separator or len(words) != 2 or not re.fullmatch(r"[+-]?\d+", words[1]):
        raise NotThat(f"a rule is {_RULE}PROPERTY NUMBER {_SEPARATOR} EXPRESSION, found {line.strip()!r}")
    if words[0] not in _PROPERTIES:
        raise NotThat(f"nohang has no rule {_RULE}{words[0]}")
    return _Rule(words[0], int(words[1]), pattern.strip(" "))


def _rules(draft: Draft, rules: list[_Rule]) -> None:
    kept = [rule for rule in rules if rule.points and _PROPERTIES[rule.subject](draft, rule)]
    for table in ("victims.prefer", "victims.avoid"):
        points = sorted({abs(rule.points) for rule in kept if rule.table == table}, reverse=True)
        if points:
            others = f", and of nohang's {', '.join(f'{one}' for one in points)} the largest" if points[1:] else ""
            draft.put(f"{table}_points", points[0], f"the same for all rules of [{table}]{others}")


def _by(kind: str, note: str = "") -> Callable[[Draft, _Rule], bool]:
    return lambda draft, rule: draft.add_globs(f"{rule.table}.{kind}", rule.pattern, rule.typed, note)


def _by_program(draft: Draft, rule: _Rule) -> bool:
    """By the path of the program, which a monitor without privileges can't read: by the name that it gives."""
    paths = Draft()
    if not paths.add_globs("victims.prefer.commands", rule.pattern, rule.typed):
        draft.lost += paths.lost
        return False
    globs = paths.values["victims.prefer.commands"]
    names = [match[1] for glob in globs if (match := _PLAIN_PATH.fullmatch(glob))]
    if len(names) < len(globs):
        draft.lose(rule.typed, "bustd can't read the paths of programs, and not every part of it is the path of one")
        return False
    short = [name.encode()[:COMM_BYTES].decode("utf-8", "ignore") for name in names]
    draft.add(f"{rule.table}.names", short, _BY_NAME)
    draft.add(f"{rule.table}.names", short, rule.typed)
    return True


def _by_user(draft: Draft, rule: _Rule) -> bool:
    users = re.fullmatch(r"\^\(?(\d+(?:\|\d+)*)\)?\$", rule.pattern)
    if users is None or ("|" in users[1]) != ("(" in rule.pattern):
        draft.lose(rule.typed, "only uids such as ^0$ or ^(0|1000)$ can be carried over")
        return False
    draft.add(f"{rule.table}.users", [int(uid) for uid in users[1].split("|")], rule.typed)
    return True


def _by_nothing(draft: Draft, rule: _Rule) -> bool:
    draft.lose(rule.typed, "bustd reads no environment and no working directory of a process")
    return False


_OR_ABOVE = "it also matches what is below such a group"
_PROPERTIES: dict[str, Callable[[Draft, _Rule], bool]] = {
    "NAME": _by("names"),
    "CMDLINE": _by("commands"),
    "CGROUP_V1": _by("cgroups", _OR_ABOVE),
    "CGROUP_V2": _by("cgroups", _OR_ABOVE),
    "REALPATH": _by_program,
    "UID": _by_user,
    "CWD": _by_nothing,
    "ENVIRON": _by_nothing,
}
"""By the property: how its rules are carried over; whether that could be done."""
