"""Fill in what the man pages take from the code: keys, options, commands, exit codes and single values.

Usage: render.py DIRECTORY, whose name must not begin with `-`. Each *.scd beside this file is written there, complete,
for scdoc(1). A line `@WORD@` or `@WORD TABLE...@` is replaced by lines. Within a line, `@bustd.toml:KEY@` is replaced
by the key's default, and `@WORD@` by a short text.

Any Python from 3.11 on will do. It needs no msgpack, python-prctl or psutil, because nothing that uses them is called.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
TREE = HERE.parents[1]
sys.dont_write_bytecode = True  # the tree may be read-only, and rendering must not add files to a package
sys.path[:0] = [str(TREE / part) for part in ("protocol", "killer", "monitor")]
if find_spec("msgpack") is None:
    sys.modules["msgpack"] = ModuleType("msgpack")  # imported on the way to the schemas, and not used by them

from bustd_monitor import config  # noqa: E402
from bustd_monitor.cli.commands import COMMANDS, EXIT_CODES  # noqa: E402
from bustd_monitor.conditions.stalled_seconds import LONGEST_APART_MS  # noqa: E402
from bustd_monitor.ranking import ending, shipped_avoid, what_may_die  # noqa: E402
from bustd_shared.rules import killer_toml  # noqa: E402
from bustd_shared.rules.schema import Key, keys_of  # noqa: E402
from bustd_shared.rules.validation import COMM_BYTES, validate  # noqa: E402

SCHEMAS = {"bustd.toml": config.SCHEMA, "killer.toml": killer_toml.SCHEMA}
REASONS = {f"{name}.toml": table for name, table in tomllib.loads((HERE / "reasons.toml").read_text()).items()}
KILLER, MONITOR = TREE / "killer/bustd_killer/start.py", TREE / "monitor/bustd_monitor/start.py"


class CannotRender(Exception):
    """A page names something that the code does not have, or leaves out a table that it has."""


def escaped(text: str) -> str:
    """The text, escaped so that scdoc shows it unchanged; `words` in backquotes become bold."""
    return re.sub(r"`([^`]+)`", r"*\1*", re.sub(r"([\\*_])", r"\\\1", text))


def definitions(items: list[tuple[str, str]]) -> list[str]:
    """A list of terms and meanings for scdoc. The terms are scdoc's markup already; the meanings are escaped here."""
    return [line for term, meaning in items for line in (term, f"\t{escaped(meaning)}", "")]


# --- configuration


def keys(file: str, *tables: str) -> list[str]:
    """The keys of a table, or those above all tables if none is named. Several tables share one list of equal keys."""
    found = [table_keys(file, table) for table in tables or ("",)]
    if not found[0] or found.count(found[0]) != len(found):
        raise CannotRender(f"{file} has no keys in these tables, or different ones: {', '.join(tables)}")
    heading = ["## " + ", ".join(f"[{table}]" for table in tables), ""] if tables else []
    dotted = [f"{table}.{name}".strip(".") for table in tables[:1] or ("",) for name, _ in found[0]]
    meanings = [with_reason(file, whole, key.meaning) for whole, (_, key) in zip(dotted, found[0], strict=True)]
    return heading + definitions(
        [(term(file, name, key), text) for (name, key), text in zip(found[0], meanings, strict=True)]
    )


def with_reason(file: str, dotted: str, meaning: str) -> str:
    """What a key means, and why its default is what it is."""
    reason = REASONS[file].get(dotted)
    return f"{meaning} {reason['why']}" if reason else meaning


def without_reason() -> list[str]:
    """The keys without a reason for their default, and the reasons for what is no key or is empty by default."""
    found = []
    for file, schema in SCHEMAS.items():
        explained = {name for name, key in keys_of(schema) if key.default not in (None, "", [])}
        found += [f"{file}: {name}" for name in sorted(explained ^ REASONS[file].keys())]
    return found


def table_keys(file: str, table: str) -> list[tuple[str, Key]]:
    """Name and Key of each key of a table, in the order of the schema."""
    parts = ((name.rpartition("."), key) for name, key in keys_of(SCHEMAS[file]))
    return [(name, key) for (where, _, name), key in parts if where == table]


def term(file: str, name: str, key: Key) -> str:
    """The key, its default and the values that it accepts, in the words of `bustd check` about a wrong value."""
    _, (problem,) = validate({name: {}}, {name: key}, file)
    return f"*{name}* = {escaped(json.dumps(key.default))}++\n_{escaped(problem.expected)}_"


def default(file: str, dotted: str) -> str:
    """A default as prose writes it: 25 and not 25.0."""
    found = dict(keys_of(SCHEMAS[file]))
    if dotted not in found:
        raise CannotRender(f"{file} has no key {dotted}")
    value = found[dotted].default
    return f"{value:g}" if isinstance(value, float) else str(value)


def unlisted_tables(sources: dict[Path, str]) -> list[str]:
    """The tables whose keys no page lists."""
    words = {"bustd.toml": "BUSTD_TOML", "killer.toml": "KILLER_TOML"}
    asked = {
        (word, table)
        for text in sources.values()
        for word, tables in re.findall(r"^@(\w+_TOML)([^@\n]*)@$", text, re.MULTILINE)
        for table in tables.split() or ("",)
    }
    tables = {(file, name.rpartition(".")[0]) for file, schema in SCHEMAS.items() for name, _ in keys_of(schema)}
    return sorted(f"{file}: [{table}]" for file, table in tables if (words[file], table) not in asked)


def shipped(patterns: tuple[str, ...] | tuple[bytes, ...]) -> list[str]:
    """The patterns as one paragraph."""
    texts = [pattern.decode() if isinstance(pattern, bytes) else pattern for pattern in patterns]
    return [escaped(", ".join(texts)) + "."]


def what_may_die_in_order() -> list[str]:
    """Everything that decides what may die, in the order in which it counts."""
    return definitions([(f"*{escaped(ground.name)}*", ground.meaning) for ground in what_may_die.TABLE])


# --- the command


def commands() -> list[str]:
    """The commands of bustd(1), each as it is typed, with what it does."""
    items = []
    for command in COMMANDS:
        operands = re.sub("[A-Z]+", r"_\g<0>_", f" {command.operands}".rstrip())
        items.append((f"*{command.name}* [_OPTION_]...{operands}", command.description))
    return definitions(items)


def options() -> list[str]:
    """The options of bustd(1), each once, with the commands that take it."""
    items = [("*-h*, *--help*", "show this help message and exit"), ("*--version*", "print the version")]
    for option in dict.fromkeys(option for command in COMMANDS for option in command.options):
        value = f" _{option.value.metavar}_" if option.value else ""
        names = ", ".join(f"*{name}*{value}" for name in option.names)
        owners = ", ".join(command.name for command in COMMANDS if option in command.options)
        items.append((names, f"{option.help} ({owners})"))
    return definitions(items)


def command_exit_codes() -> list[str]:
    """The exit codes of bustd(1)."""
    return definitions([(f"*{code}*", meaning) for code, meaning in EXIT_CODES])


# --- the daemons


def exit_codes(path: Path) -> list[str]:
    """The exit codes in a module's docstring: `Exit codes: 0 this; 64 that. And a sentence.`"""
    text = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split())
    part = re.search(r"Exit codes: ((?:\d+ [^;.]+; )+\d+ [^;.]+)\. ?(.*)", text)
    if part is None:
        raise CannotRender(f"{path}: its docstring has no exit codes")
    lines = definitions([(f"*{code}*", meaning) for code, meaning in re.findall(r"(\d+) ([^;]+)", part[1])])
    return lines + ([escaped(part[2])] if part[2] else [])


def killer_usage() -> list[str]:
    """The usage that the killer prints. It is taken from the source, because importing it would need python-prctl."""
    for node in ast.parse(KILLER.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_USAGE":
            usage: str = ast.literal_eval(node.value)
            return ["```", *usage.removeprefix("usage: ").replace("\n       ", "\n").splitlines(), "```"]
    raise CannotRender(f"{KILLER} has no _USAGE")


# --- the pages

LINES = {
    "BUSTD_TOML": lambda *tables: keys("bustd.toml", *tables),
    "KILLER_TOML": lambda *tables: keys("killer.toml", *tables),
    "SHIPPED_UNITS": lambda: shipped(killer_toml.SHIPPED_UNITS),
    "SHIPPED_NAMES": lambda: shipped(killer_toml.SHIPPED_NAMES),
    "AVOIDED_UNITS": lambda: shipped(shipped_avoid.AVOIDED.units),
    "AVOIDED_NAMES": lambda: shipped(shipped_avoid.AVOIDED.names),
    "AVOIDED_CGROUPS": lambda: shipped(shipped_avoid.AVOIDED.cgroups),
    "NEEDS_GRACE": lambda: shipped(ending.NEEDS_GRACE),
    "WHAT_MAY_DIE": what_may_die_in_order,
    "BUSTD_OPTIONS": options,
    "BUSTD_COMMANDS": commands,
    "BUSTD_EXIT_CODES": command_exit_codes,
    "KILLER_EXIT_CODES": lambda: exit_codes(KILLER),
    "MONITOR_EXIT_CODES": lambda: exit_codes(MONITOR),
    "KILLER_USAGE": killer_usage,
}
WORDS = {
    "VERSION": tomllib.loads((TREE / "pyproject.toml").read_text())["project"]["version"],
    "COMM_BYTES": str(COMM_BYTES),
    "LONGEST_PSI_WINDOW_MS": str(LONGEST_APART_MS),
}


def page(source: str) -> str:
    """The source of a page with everything filled in."""
    lines = []
    for line in source.splitlines():
        request = re.fullmatch(r"@([A-Z_]+)((?: [a-z_.]+)*)@", line)
        if request and request[1] in LINES:
            lines += LINES[request[1]](*request[2].split())
        else:
            line = re.sub(r"@(bustd\.toml|killer\.toml):([a-z0-9_.]+)@", lambda m: escaped(default(m[1], m[2])), line)
            lines.append(re.sub(r"@([A-Z_]+)@", lambda m: WORDS.get(m[1], m[0]), line))
        if unknown := re.search(r"@[A-Z_]{2,}[^@]*@", lines[-1] if lines else ""):
            raise CannotRender(f"nothing is known as {unknown[0]}")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"


def main(arguments: list[str]) -> int:
    """Render every page. Returns EX_DATAERR if a page does not fit the code."""
    (directory,) = map(Path, arguments)
    sources = {path: path.read_text() for path in sorted(HERE.glob("*.scd"))}
    directory.mkdir(parents=True, exist_ok=True)
    try:
        if missing := unlisted_tables(sources):
            raise CannotRender(f"no page lists the keys of {', '.join(missing)}")
        if unexplained := without_reason():
            raise CannotRender(f"reasons.toml does not explain the default of {', '.join(unexplained)}")
        for path, source in sources.items():
            (directory / path.name).write_text(page(source))
    except CannotRender as error:
        sys.stderr.write(f"bustd: man pages: {error}\n")
        return 65
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: render.py DIRECTORY")
    sys.exit(main(sys.argv[1:]))
