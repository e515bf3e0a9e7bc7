"""What DESIGN.md says of the parts, held against the source; integration/test_resident.py has the running daemons."""

import _ctypes
import ast
import importlib.util
import sys
from pathlib import Path

import pytest

from bustd_monitor.conditions.table import BY_NAME
from tests.support.footprint import code_lines

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {name: ROOT / part / name for part, name in (
    ("protocol", "bustd_protocol"),
    ("protocol", "bustd_shared"),
    ("killer", "bustd_killer"),
    ("monitor", "bustd_monitor"),
)}  # fmt: skip
SOURCES = [path for package in PACKAGES.values() for path in sorted(package.rglob("*.py"))]

# --- the source: who may import whom

MAY_IMPORT = {
    "bustd_shared": {"msgpack"},
    "bustd_protocol": {"bustd_shared", "msgpack"},
    "bustd_killer": {"bustd_protocol", "bustd_shared", "prctl", "msgpack"},
    "bustd_monitor": {"bustd_protocol", "bustd_shared", "psutil", "msgpack", "jeepney"},
}
"""Beside themselves and the standard library."""

ONLY_IN = {
    "msgpack": {
        "bustd_protocol.codec",
        "bustd_shared.daemon.forked",
        "bustd_killer.policy",
        "bustd_killer.stage1.handing_on",
        "bustd_monitor.traces.framing",
    },
    "prctl": {"bustd_killer.start", "bustd_killer.stage1"},
    "ctypes": {"bustd_killer.stage1.libc", "bustd_monitor.sensing.sysinfo"},
    "_ctypes": {"bustd_shared.daemon.libc", "bustd_shared.daemon.mrelease"},
    "_thread": {"bustd_monitor.reclaimer", "bustd_monitor.sensing.command_lines"},
    "mmap": {"bustd_monitor.sensing.fill_rate"},
    "psutil": {"bustd_monitor.reporting.describe"},
    "jeepney": {"bustd_monitor.cli.notify", "bustd_monitor.cli.notifying.session_bus"},
    "argparse": {"bustd_monitor.cli"},
    "subprocess": {"bustd_monitor.cli"},
    "pwd": {"bustd_killer.stage1.identity", "bustd_shared.rules.validation", "bustd_monitor.cli"},
    "grp": {"bustd_killer.stage1.identity", "bustd_shared.kernel.machine_lock"},
    "tomllib": {"bustd_shared.rules.config_files"},
    "_socket": {"bustd_shared.daemon.packets"},
}  # fmt: skip
"""Each has one module (or package) that knows it."""


def module_of(path: Path) -> str:
    (package,) = (package for package in PACKAGES.values() if path.is_relative_to(package))
    return ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")


def path_of(module: str) -> Path:
    path = PACKAGES[module.partition(".")[0]].parent / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(path: Path) -> set[str]:
    """Every module that the file imports at any place, but for a type checker only."""
    found = set()
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    tree = ast.parse(path.read_text())
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            found |= {whole} | {f"{whole}.{alias.name}" for alias in node.names if path_is_module(whole, alias.name)}
    return found


def path_is_module(package: str, name: str) -> bool:
    return package.partition(".")[0] in PACKAGES and path_of(f"{package}.{name}").exists()


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_who_imports_whom(path):
    module = module_of(path)
    package = module.partition(".")[0]
    for name in imports(path):
        top = name.partition(".")[0]
        assert top in MAY_IMPORT[package] | {package} or top in sys.stdlib_module_names, name
        owners = ONLY_IN.get(top, {module})
        assert any(module == owner or module.startswith(f"{owner}.") for owner in owners), f"{module} imports {name}"


FLOORS = {
    "bustd_shared": ("daemon", "kernel", "rules"),
    "bustd_monitor": (
        *("amounts", "sensing", "ranking", "conditions", "config", "deciding", "reporting", "leaving"),
        *("readers", "event_log", "arguments", "batch", "reclaimer", "deadlines", "client", "inherited", "sleeper"),
        *("calm", "driver", "dialogue", "loop", "start"),
        *("traces", "cli", "__main__"),
    ),
}
"""The rooms (folders, and modules beside them) of a package, the lowest first: each imports only what is below it."""


def room_of(module: str) -> str:
    """The first name below the package."""
    return module.split(".")[1] if "." in module else ""


def graph(package: str) -> dict[str, set[str]]:
    """Which rooms of a package each of its rooms imports, itself left out."""
    drawn: dict[str, set[str]] = {}
    for path in sorted(PACKAGES[package].rglob("*.py")):
        room = room_of(module_of(path))
        if room:
            seen = {room_of(name) for name in imports(path) if name.startswith(f"{package}.")}
            drawn.setdefault(room, set()).update(seen - {room, ""})
    return drawn


def drawing(package: str) -> str:
    """The graph, a line for each room from the lowest: what runs up is marked."""
    floors, drawn = FLOORS[package], graph(package)
    lines = []
    for room in sorted(drawn, key=lambda room: floors.index(room) if room in floors else -1):
        arrows = [f"{below}{'' if is_below(floors, below, room) else ' (UP)'}" for below in sorted(drawn[room])]
        lines.append(f"{room} -> {', '.join(arrows) or 'nothing'}")
    return "\n".join(lines)


def is_below(floors: tuple[str, ...], lower: str, upper: str) -> bool:
    return lower in floors and upper in floors and floors.index(lower) < floors.index(upper)


@pytest.mark.parametrize("package", FLOORS)
def test_rooms_import_downwards_only(package):
    drawn = graph(package)
    assert set(drawn) == set(FLOORS[package])
    assert "(UP)" not in drawing(package), drawing(package)


def test_the_drawing_marks_an_arrow_that_runs_up(monkeypatch):
    monkeypatch.setitem(FLOORS, "bustd_shared", ("kernel", "daemon", "rules"))
    assert "kernel -> daemon (UP)" in drawing("bustd_shared")


def test_the_commands_import_the_daemons_modules_and_none_of_those_imports_a_command():
    for path in SOURCES:
        if not module_of(path).startswith("bustd_monitor.cli"):
            assert not [name for name in imports(path) if f"{name}.".startswith("bustd_monitor.cli.")], path


def test_no_daemon_imports_what_records_and_replays():
    for path in SOURCES:
        if not module_of(path).startswith(("bustd_monitor.cli", "bustd_monitor.traces")):
            assert not [name for name in imports(path) if f"{name}.".startswith("bustd_monitor.traces.")], path


def test_nothing_but_a_connection_codes_messages_or_advances_a_session():
    """Code that can do one without the other will omit it one day."""
    ends = ("bustd_protocol.connection", "bustd_killer.peer")  # test_peer_table.py has them agree
    outside = [path for path in SOURCES if module_of(path) not in ends]
    assert [module_of(path) for path in outside if "bustd_protocol.codec" in imports(path)] == []
    for path in outside:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("session"):
                assert {alias.name for alias in node.names} == {"Role"}, path
            elif isinstance(node, ast.ImportFrom) and node.module in ("bustd_protocol", None):
                assert "session" not in {alias.name for alias in node.names}, path


NOT_OF_A_CONDITION = {
    ("bustd_monitor.arguments", "conditions.pressure.psi_some_avg10"): "the key that the option --psi sets",
    ("bustd_monitor.traces.records", "pressure"): "a field of Reading",
}


def names_of_conditions_in(path: Path) -> list[str]:
    """The literals of a file that are the name of a condition, or lead to one of its keys."""
    literals = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
    texts = [literal.decode() if isinstance(literal, bytes) else literal for literal in literals]
    return [text for text in texts if isinstance(text, str) and is_of_a_condition(text)]


def is_of_a_condition(text: str) -> bool:
    return text in BY_NAME or (" " not in text and any(f"conditions.{name}" in text for name in BY_NAME))


@pytest.mark.parametrize("path", [path for path in SOURCES if "bustd_monitor" in path.parts], ids=module_of)
def test_the_name_of_a_condition_stands_in_its_own_file_and_nowhere_else(path):
    module = module_of(path)
    for text in names_of_conditions_in(path):
        assert module == f"bustd_monitor.conditions.{text}" or (module, text) in NOT_OF_A_CONDITION, text


def test_the_search_for_names_of_conditions_finds_those_in_their_own_files():
    for name in BY_NAME:
        assert names_of_conditions_in(path_of(f"bustd_monitor.conditions.{name}")) == [name]


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_a_file_fits_in_a_head(path):
    assert len(path.read_text().splitlines()) <= 300


def test_how_long_the_killer_is(capsys):
    lines = {path.stem: code_lines(path) for path in SOURCES if path.is_relative_to(PACKAGES["bustd_killer"])}
    statements = sum(
        isinstance(node, ast.stmt)
        for path in SOURCES
        if path.is_relative_to(PACKAGES["bustd_killer"])
        for node in ast.walk(ast.parse(path.read_text()))
    )
    with capsys.disabled():
        parts = ", ".join(f"{name} {count}" for name, count in lines.items() if count)
        print(f"\nkiller: {sum(lines.values())} lines of code, {statements} statements ({parts})")


# --- the source: a class name exists once in a program

PROGRAMS = {
    "the killer": ("bustd_protocol", "bustd_shared", "bustd_killer"),
    "the monitor": ("bustd_protocol", "bustd_shared", "bustd_monitor"),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_class_name_exists_once_in_a_program(program):
    places: dict[str, list[str]] = {}
    for path in (path for package in PROGRAMS[program] for path in SOURCES if package in path.parts):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(module_of(path))
    assert len(places) > 40
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}


# --- the source: the monitor has no call that could signal anything

SIGNALLING = {
    *("kill", "killpg", "pidfd_send_signal", "raise_signal", "pthread_kill", "tgkill", "tkill", "send_signal"),
    *("terminate", "abort", "sigqueue", "syscall", "F_SETOWN", "F_SETSIG", "TIOCSTI", "fcntl", "ioctl"),
    *("system", "popen", "posix_spawn", "posix_spawnp", "spawnv", "spawnl", "forkpty", "execl", "execve", "execvp"),
    *("eval", "exec", "__import__", "import_module", "getattr_static", "PyDLL", "pythonapi"),
}
LIBC_FUNCTIONS = {"mlockall", "sysinfo", "fnmatch", "prctl", "process_mrelease"}
"""Those of the monitor. prctl(2) signals the process that calls it, and no other; process_mrelease(2) takes memory of
what has its SIGKILL already, and of nothing else."""


def signalling_calls(path: Path) -> list[str]:
    """Names in the file that can send a signal, start a program that does, or hide either."""
    tree, found = ast.parse(path.read_text()), []
    libraries = {"CDLL"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and "CDLL" in ast.unparse(node.value.func):
            libraries |= {ast.unparse(target) for target in node.targets}
    for node in ast.walk(tree):
        names = [node.attr] if isinstance(node, ast.Attribute) else [node.id] if isinstance(node, ast.Name) else []
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        found += [name for name in names if name in SIGNALLING]
        if isinstance(node, ast.Attribute) and node.attr not in LIBC_FUNCTIONS:
            owner = node.value.func if isinstance(node.value, ast.Call) else node.value
            if ast.unparse(owner).rpartition(".")[2] in libraries:
                found.append(f"libc's {node.attr}")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "vars", "globals", "locals"):
            found += [ast.unparse(node)] if not reads_one_known_attribute(node, tree) else []
    return sorted(set(found))


def reads_one_known_attribute(call: ast.Call, tree: ast.AST) -> bool:
    """Whether a getattr names what it reads, or reads from something that is no module."""
    if ast.unparse(call.func) != "getattr":
        return False
    if isinstance(call.args[1], ast.Constant):
        return call.args[1].value not in SIGNALLING
    brought = (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return ast.unparse(call.args[0]) not in {alias.asname or alias.name for node in brought for alias in node.names}


def is_resident(module: str) -> bool:
    """Whether the monitor has it in memory while it runs, and not the commands or a short-lived child alone."""
    never = ("bustd_monitor.cli", "bustd_monitor.traces", "bustd_monitor.reporting.describe", "bustd_killer")
    return not module.startswith(never) and module not in (
        "bustd_shared.kernel.machine_lock",
        "bustd_shared.rules.config_files",
        "bustd_shared.rules.globs",
        "bustd_shared.rules.regular_expressions",
        "bustd_shared.rules.suspicious",
        "bustd_shared.rules.validation",
    )


@pytest.mark.parametrize("path", [path for path in SOURCES if is_resident(module_of(path))], ids=module_of)
def test_no_module_of_the_monitor_can_signal_anything(path):
    assert signalling_calls(path) == []


def test_the_monitor_executes_nothing_but_itself():
    assert [module_of(path) for path in SOURCES if "execv(" in path.read_text()] == ["bustd_monitor.start"]
    assert "os.execv(sys.executable, sys.orig_argv)" in path_of("bustd_monitor.start").read_text()


def test_the_search_for_such_calls_finds_those_of_the_killer():
    assert "pidfd_send_signal" in signalling_calls(path_of("bustd_killer.flight"))
    assert "libc's syscall" in signalling_calls(path_of("bustd_killer.stage1.libc"))


def functions_of_libc(path: Path) -> set[str]:
    """Every text in a file that calls the C library by `_ctypes`, beside its documentation: names of functions."""
    tree = ast.parse(path.read_text())
    prose = {
        node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    constants = {node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in prose}
    return {node.value for node in constants if isinstance(node.value, str)}


BY_CTYPES = {
    "bustd_shared.daemon.libc": LIBC_FUNCTIONS - {"sysinfo", "process_mrelease"},
    "bustd_shared.daemon.mrelease": {"process_mrelease"},
}


@pytest.mark.parametrize("module", BY_CTYPES)
def test_what_is_called_by_ctypes_without_ctypes_is_named_and_signals_nothing(module):
    path = path_of(module)
    assert functions_of_libc(path) == BY_CTYPES[module]
    assert "dlopen(None," in path.read_text(), "this program itself, and no library beside it"


@pytest.mark.parametrize("module", BY_CTYPES)
def test_of_the_c_library_nothing_is_looked_up_but_what_is_named_and_only_when_it_is_loaded(monkeypatch, module):
    """However a name is put together: no text need hold it."""
    looked_up = []

    def dlsym(library, name, dlsym=_ctypes.dlsym):
        looked_up.append(name)
        return dlsym(library, name)

    monkeypatch.setattr(_ctypes, "dlsym", dlsym)
    path = path_of(module)
    spec = importlib.util.spec_from_file_location("libc_again", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert set(looked_up) == BY_CTYPES[module]
    assert not set(looked_up) & SIGNALLING
    inside = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert not [node.name for node in inside if "dlsym" in ast.unparse(node) or "dlopen" in ast.unparse(node)]
