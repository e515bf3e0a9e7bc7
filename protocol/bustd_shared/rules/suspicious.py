"""Rules that are valid and yet do nothing, or match every process: what is wrong with each, and what to write instead.

Pure, and about the pattern alone: what it matches on a running machine, `bustd check` and `bustd explain` show. Only a
child process (`forked`) or a command imports this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bustd_shared.daemon.record import NamedTuple

from ..daemon.libc import matches_glob
from .globs import COMM_BYTES, can_end_with, cut, least_bytes
from .regular_expressions import as_globs, look
from .schema import Problem, Schema, Values, keys_of

_SPARING = ("protect", "victims.never")
"""The tables whose rules say which processes must not die."""

_RUNNING = (".service", ".scope", ".mount", ".socket", ".swap")
"""Units that processes can run in. A slice holds them too, but is never what bustd calls a unit (procfs.parse_unit)."""
_NEVER_RUNNING = (".timer", ".path", ".target", ".device", ".automount")
_NO_UNITS = ("lxc.", "kubepods")
"""How control groups begin that are made without systemd."""

_BELOW_A_USERS_MANAGER = (
    *("app-", "vte-spawn-", "tmux-spawn-", "kitty-"),
    *("org.gnome.", "gnome-session", "gnome-shell", "evolution-", "gvfs", "xdg-desktop-", "xdg-document-"),
    *("org.kde.", "plasma-", "plasma_", "pipewire", "wireplumber", "pulseaudio", "at-spi-"),
)
"""How units begin that a desktop session has, and the system never (systemd's DESKTOP_ENVIRONMENTS.md)."""
_ALSO_BELOW_A_USERS_MANAGER = ("libpod-",)

_QUOTES = "'\"`\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}“”«»"

_PROBES = {
    "units": ("init.scope", "user@1000.service", "a-b_c\\x2d1.service", "dev-sda1.swap"),
    "names": ("a", "Web Content", "(sd-pam)", "X-y_z.1234:/+@é"),
    "commands": ("a", "/usr/bin/python3 -m x", "-bash", "Q: 1"),
    "cgroups": ("/a", "/system.slice/b.service", "/user.slice/user-0.slice/session-1.scope"),
}
"""A glob that matches all of these matches everything."""


class Rule(NamedTuple):
    """A glob, and where it stands. `kind`: the list; `has_cgroups`: there is a list of control groups beside it.

    `spares`: what it matches must not die.
    """

    kind: str
    glob: str
    has_cgroups: bool = False
    spares: bool = False


def suspicion(rule: Rule) -> str:
    """What is wrong with a rule, and what to write instead, as one sentence; "" if nothing is suspicious."""
    return _first_sentence(rule, (_in_quotes, _between_blanks, _like_a_regular_expression, *_OF[rule.kind], *_LAST))


def spares_all(rule: Rule) -> bool:
    """Whether nothing could be killed for this one rule."""
    return rule.spares and _matches_all(rule)


def suspicions(values: Values, schema: Schema, file: str) -> list[Problem]:
    """A Problem for each suspicious rule in validated values that `file` gives."""
    return [
        Problem(file, key, f"{_quoted(rule.glob)} {sentence}")
        for key, rule in rules_of(values, schema)
        if (sentence := suspicion(rule))
    ]


def rules_of(values: Values, schema: Schema) -> Iterator[tuple[str, Rule]]:
    """Each glob in validated values, with the dotted key of its list."""
    keys = dict(keys_of(schema))
    for key, spec in keys.items():
        table, _, kind = key.rpartition(".")
        if spec.kind in ("globs", "names"):
            found = values
            for name in table.split("."):
                found = found.get(name, {})
            for glob in found.get(kind, ()):
                text = glob.decode("utf-8", "surrogateescape") if isinstance(glob, bytes) else glob
                yield key, Rule(kind, text, f"{table}.cgroups" in keys, table in _SPARING)


def _first_sentence(rule: Rule, checks: tuple[Callable[[Rule], str], ...]) -> str:
    return next((sentence for check in checks if (sentence := check(rule))), "")


# --- any list


def _in_quotes(rule: Rule) -> str:
    glob, bare = rule.glob, rule.glob.strip(_QUOTES)
    is_closed = glob[-1] in _QUOTES
    if glob[0] in _QUOTES or (is_closed and rule.kind != "commands"):
        return f"has quotes that are a part of it: write {_quoted(bare)}" if bare else "is nothing but quotes"
    return ""


def _between_blanks(rule: Rule) -> str:
    bare = rule.glob.strip()
    is_open = rule.glob[0].isspace() or (rule.glob[-1].isspace() and rule.kind != "commands")
    if not is_open:
        return ""
    return f"has blanks around it that are a part of it: write {_quoted(bare)}" if bare else "is nothing but blanks"


def _several_in_one(rule: Rule) -> str:
    several = [one.strip() for one in rule.glob.split(",")]
    if rule.kind == "commands" or len(several) == 1 or "[" in rule.glob:
        return ""
    return f"is one glob: write each by itself, {_listed([one for one in several if one])}"


def _like_a_regular_expression(rule: Rule) -> str:
    found = look(rule.kind, rule.glob)
    if not found:
        return ""
    globs = [_as_of_the_kind(rule, glob) for glob in as_globs(rule.glob)]
    write = "a glob for each text, with * for anything"
    others = [rule._replace(glob=glob) for glob in globs]
    if others and not any(look(*other[:2]) or _first_sentence(other, (*_OF[rule.kind], *_LAST)) for other in others):
        write = _listed(globs)
    return f"looks like a regular expression ({found}), and is matched as a glob: write {write}"


def _as_of_the_kind(rule: Rule, glob: str) -> str:
    """What a regular expression meant, as that list needs it: a name is short, and a unit has a suffix."""
    if rule.kind == "names" and least_bytes(glob) > COMM_BYTES:
        return cut(glob, COMM_BYTES) or glob
    if rule.kind == "units" and not any(can_end_with(glob, suffix) for suffix in _RUNNING):
        return f"{glob}.service"
    return glob


def _for_every_process(rule: Rule) -> str:
    if not _matches_all(rule):
        return ""
    effect = "nothing could be killed" if rule.spares else "it would set no process apart"
    return f"matches every process: {effect}"


def _matches_all(rule: Rule) -> bool:
    glob = rule.glob.encode("utf-8", "surrogateescape")
    return all(matches_glob(glob, text.encode()) for text in _PROBES[rule.kind])


# --- units


def _a_path(rule: Rule) -> str:
    if "/" not in rule.glob:
        return ""
    name = rule.glob.rstrip("/").rpartition("/")[2]
    return f"is a path, and a unit is a name: write {_in_cgroups(f'*/{name}', rule) or _quoted(name)}"


def _of_a_users_manager(rule: Rule) -> str:
    """Everything below user@UID.service counts as that: whatever a user may name, names nothing."""
    glob = rule.glob
    if look("names", glob) == ".*":  # what a unit may well be called, but hardly one of these
        glob = next(iter(as_globs(glob)), glob)
    write = _in_cgroups(f"*/{glob}", rule)
    is_snap = rule.glob.startswith("snap.") and rule.glob.endswith(".scope")
    if is_snap or rule.glob.startswith(_BELOW_A_USERS_MANAGER):
        instead = write or "the program's name in `names`, or user@UID.service, which is all that this user runs"
        return f"is a unit of a user's own manager, and such a unit counts as user@UID.service: write {instead}"
    if rule.glob.startswith(_ALSO_BELOW_A_USERS_MANAGER):
        instead = f": write {write} as well" if write else ""
        return f"matches what root starts, and not what a user starts, which counts as user@UID.service{instead}"
    return ""


def _a_slice(rule: Rule) -> str:
    if not rule.glob.endswith(".slice"):
        return ""
    instead = _in_cgroups(f"*/{rule.glob}", rule) or "the services and scopes in it"
    return f"is a slice, and a process belongs to a service or scope in it: write {instead}"


def _without_processes(rule: Rule) -> str:
    for suffix in _NEVER_RUNNING:
        if rule.glob.endswith(suffix):
            service = f": write {_quoted(rule.glob.removesuffix(suffix) + '.service')}"
            return f"has no processes, as a unit that ends in {suffix}{'' if suffix == '.target' else service}"
    for suffix in _RUNNING:
        if rule.glob.endswith(f"@{suffix}"):
            return f"is a template, which never runs: write {_quoted(f'{rule.glob.removesuffix(suffix)}*{suffix}')}"
    return ""


def _without_a_suffix(rule: Rule) -> str:
    if rule.glob.startswith(_NO_UNITS) or any(can_end_with(rule.glob, suffix) for suffix in _RUNNING):
        return ""
    template = "*" if rule.glob.endswith("@") else ""
    return f"has no suffix, and a unit's name has one: write {_quoted(f'{rule.glob}{template}.service')}"


# --- names, command lines, control groups


def _with_a_directory(rule: Rule) -> str:
    if not rule.glob.startswith(("/", "./", "*/")):
        return ""
    name = rule.glob.rstrip("/").rpartition("/")[2]
    return f"is a path, and a process name has none: write {_quoted(_as_of_the_kind(rule, name))}"


def _too_long(rule: Rule) -> str:
    if least_bytes(rule.glob) <= COMM_BYTES:
        return ""
    as_cut = cut(rule.glob, COMM_BYTES)
    instead = f": write {_quoted(as_cut)}" if as_cut else ""
    return f"is longer than any process name, of which the kernel keeps {COMM_BYTES} bytes{instead}"


def _an_option_alone(rule: Rule) -> str:
    if not rule.glob.startswith("--"):
        return ""
    option = rule.glob.rstrip("*")
    return f"is no whole command line, which begins with the program: write {_quoted(f'*{option}*')}"


def _in_the_mount(rule: Rule) -> str:
    for mount in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
        if rule.glob.startswith(f"{mount}/"):
            return f"is the path of a folder: write that in the hierarchy, {_quoted(rule.glob.removeprefix(mount))}"
    return ""


def _without_a_root(rule: Rule) -> str:
    if rule.glob.startswith(("/", "*", "?", "[")):
        return ""
    return f"is no whole path, which begins with /: write {_quoted(f'*/{rule.glob}')}"


def _with_a_slash_behind(rule: Rule) -> str:
    bare = rule.glob.rstrip("/")
    if bare == rule.glob:
        return ""
    return f"ends with a slash, as no path does: write {_quoted(bare)}" if bare else "is the root, which has no name"


_OF: dict[str, tuple[Callable[[Rule], str], ...]] = {
    "units": (_a_path, _of_a_users_manager, _a_slice, _without_processes, _without_a_suffix),
    "names": (_with_a_directory, _too_long),
    "commands": (_an_option_alone,),
    "cgroups": (_in_the_mount, _without_a_root, _with_a_slash_behind),
}
"""What can be wrong with a rule in each of the lists."""
_LAST = (_several_in_one, _for_every_process)


def _in_cgroups(glob: str, rule: Rule) -> str:
    """The rule on a control group that says so, where there is such a list."""
    return f"cgroups = [{_quoted(glob)}]" if rule.has_cgroups else ""


def _listed(globs: list[str]) -> str:
    return ", ".join(_quoted(glob) for glob in globs)


def _quoted(text: str) -> str:
    return f'"{text}"'
