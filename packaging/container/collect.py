"""Collects the root of the image: bustd, the Python that it runs with, their shared libraries, licences, and users.

It runs as root in the first stage of the Containerfile, on Debian: `python3 collect.py SOURCE ROOT`.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

VERSION = f"python3.{sys.version_info.minor}"
PACKAGES = (
    *("python3-minimal", f"{VERSION}-minimal", f"lib{VERSION}-minimal", f"lib{VERSION}-stdlib"),
    *("python3-msgpack", "python3-prctl", "python3-psutil"),
)
"""Debian's; the shared libraries that their files name come with them, and no other package does."""

KEPT = re.compile(rf"/usr/bin/{VERSION}|/usr/bin/python3|/usr/lib/python3.*|/usr/share/doc/[^/]+/copyright")
UNUSED = re.compile(
    rf"/usr/lib/{VERSION}/(ensurepip|idlelib|pydoc_data|test|tkinter|turtledemo|unittest|venv|sqlite3|dbm|curses|wsgiref"
    r"|xmlrpc|asyncio|multiprocessing|concurrent|http|xml|_pyrepl|lib2to3|pydoc\.py|doctest\.py|pdb\.py|_pydecimal\.py"
    r"|lib-dynload/_?(sqlite3|dbm|gdbm|curses|curses_panel|readline|ssl|hashlib|asyncio|codecs_\w+|test\w+|xx\w+)\."
    r"|sitecustomize\.py)"
    r"|.*/(tests?|__pycache__)/.*|.*\.pyi|/usr/lib/python3/dist-packages/_?psutil_(bsd|osx|windows).*"
)
"""Much that bustd does not import, and what would bring shared libraries. `prove` shows that nothing is missing."""

USERS = {"root": 0, "bustd": 65518, "bustd-killer": 65519, "nobody": 65534}
"""With the host's processes in sight a uid below 1000 could be one that the host has given to a service of its own."""

FOLDERS = ("proc", "sys", "dev", "run/bustd", "tmp", "var/log", "etc/bustd")
MODULES = "usr/lib/python3/dist-packages"
OURS = ("bustd_protocol", "bustd_shared", "bustd_killer", "bustd_monitor")
OPTIONAL = {"jeepney"}
"""For `bustd notify`, which belongs into a desktop session."""


def main(source: Path, root: Path) -> None:
    """Make the root, compile what is in it, and prove inside it that Python finds everything that bustd imports."""
    files = [file for package in PACKAGES for file in files_of(package)]
    for file in files:
        copy(file, root)
    owners = {library: owner_of(library) for library in libraries_of(files)}
    for library, owner in owners.items():
        copy(library, root)
        copy(Path(f"/usr/share/doc/{owner}/copyright"), root)
    write_packages(root / "var/lib/dpkg/status.d", {*PACKAGES, *owners.values()})
    for name in ("/usr/lib/os-release", "/etc/os-release"):
        copy(Path(name), root)
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for package in OURS:
        shutil.copytree(source / package, root / MODULES / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, mode, place in (
        *((name, 0o755, "usr/bin") for name in ("bustd", "bustd-killer", "bustd-monitor")),
        *((name, 0o644, "etc/bustd") for name in ("bustd.toml", "killer.toml")),
        ("LICENSE", 0o644, "usr/share/doc/bustd"),
    ):
        (root / place).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, root / place / name)
        (root / place / name).chmod(mode)
    write_users(root / "etc")
    prove(root)
    # Unchecked: what is in an image does not change. The same files then give the same image.
    how = ("-q", "--invalidation-mode", "unchecked-hash", "-s", root, "-p", "/")
    subprocess.run([sys.executable, "-m", "compileall", *how, root / "usr/lib"], check=True)


def files_of(package: str) -> Iterator[Path]:
    """What the image takes of an installed package."""
    listed = subprocess.run(["dpkg-query", "--listfiles", package], check=True, capture_output=True, text=True)
    for name in listed.stdout.splitlines():
        file = Path(name)
        if KEPT.fullmatch(name) and not UNUSED.match(name) and (file.is_symlink() or file.is_file()):
            yield file


def libraries_of(files: list[Path]) -> list[Path]:
    """The shared libraries that the programs and modules among the files name, and the loader, as ldd(1) finds them."""
    found = {}
    for file in files:
        if not file.is_symlink() and (".so" in file.name or file.parent == Path("/usr/bin")):
            said = subprocess.run(["ldd", file], check=True, capture_output=True, text=True).stdout
            if "not found" in said:
                raise SystemExit(f"{file}: {said}")
            found |= dict.fromkeys(re.findall(r"(?:=> |^\t)(/\S+)", said, re.MULTILINE))
    return [Path(name) for name in found]


def owner_of(library: Path) -> str:
    """The package that a library is from. dpkg knows it by the name without the links of a merged /usr."""
    said = subprocess.run(["dpkg-query", "--search", library.resolve()], check=True, capture_output=True, text=True)
    return said.stdout.partition(":")[0]


def copy(file: Path, root: Path) -> None:
    """To the same place below the root, which has Debian's links of a merged /usr; a link with what it points to."""
    top = Path("/", *file.parts[1:2])
    if top.is_symlink() and not (root / top.name).is_symlink():
        root.mkdir(exist_ok=True)
        (root / top.name).symlink_to(top.readlink())
        (root / top.readlink()).mkdir(parents=True, exist_ok=True)
    target = root / file.relative_to("/")
    if target.exists() or target.is_symlink():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(file, target, follow_symlinks=False)
    if file.is_symlink():
        copy(file.parent / file.readlink(), root)


def write_packages(directory: Path, packages: set[str]) -> None:
    """Which packages the files are from, and in which version, where scanners for vulnerabilities look."""
    directory.mkdir(parents=True)
    for package in packages:
        said = subprocess.run(["dpkg-query", "--status", package], check=True, capture_output=True, text=True)
        (directory / package).write_text(said.stdout)


def write_users(etc: Path) -> None:
    """The monitor's user and the killer's, beside root and nobody. None can log in."""
    etc.mkdir(exist_ok=True)
    lines = [f"{name}:x:{uid}:{uid}:{name}:/nonexistent:/usr/sbin/nologin\n" for name, uid in USERS.items()]
    (etc / "passwd").write_text("".join(lines))
    (etc / "group").write_text("".join(f"{name}:x:{uid}:\n" for name, uid in USERS.items()))


def prove(root: Path) -> None:
    """Import inside the root every module that bustd's files name, also those that a function imports when it runs."""
    names = set()
    for package in OURS:
        for file in sorted((root / MODULES / package).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module)
    names = {name for name in names if name.partition(".")[0] not in OPTIONAL}
    code = f"import importlib\nfor name in {sorted(names)!r}: importlib.import_module(name)"
    subprocess.run(["chroot", root, "/usr/bin/python3", "-I", "-B", "-c", code], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
