"""How much serves: stage 2 of the killer with everything that it loads (lines of code, modules, private memory)."""

from __future__ import annotations

import ast
import statistics
import subprocess
import tokenize
from pathlib import Path
from typing import NamedTuple

from . import install

LINES_AIM, MODULES_AIM, PRIVATE_AIM_KIB = 700, 50, 1660
"""What issue 12 wants; 1660 KiB are 1.7 MB."""

_RUNS = 5
_PROBE = """
import sys
{load}
private = sum(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Private_"))
print([private, sorted(sys.modules)])
"""


class Footprint(NamedTuple):
    """`lines`: by module of bustd's own. `private_kib`: above a bare interpreter, the median of some runs."""

    lines: dict[str, int]
    modules: list[str]
    bare_modules: list[str]
    private_kib: int

    def __str__(self) -> str:
        return (
            f"the killer that serves: {sum(self.lines.values())} lines of code in {len(self.lines)} modules of its "
            f"own, {len(self.modules)} modules in all ({len(self.bare_modules)} in a bare interpreter), "
            f"{self.private_kib} KiB private above it"
        )


def measure() -> Footprint:
    """What the installation's interpreter takes when it has loaded what serves, beside what it takes bare."""
    site = Path(install.program("bustd_killer")).parents[1]
    bare_kib, bare_modules = _loaded("")
    whole_kib, modules = _loaded(f"sys.path.append({str(site)!r})\nimport bustd_killer.serving")
    own = {name: _file(site, name) for name in modules if name.startswith("bustd_")}
    lines = {name: code_lines(path) for name, path in own.items()}
    return Footprint(lines, modules, bare_modules, whole_kib - bare_kib)


def code_lines(path: Path) -> int:
    """Lines that hold code: no comment, no docstring or other free-standing text, nothing empty."""
    silent = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    with path.open("rb") as file:
        lines = {
            number
            for token in tokenize.tokenize(file.readline)
            if token.type not in silent | {tokenize.ENCODING}
            for number in range(token.start[0], token.end[0] + 1)
        }
    texts = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ]
    return len(lines - {number for text in texts for number in range(text.lineno, (text.end_lineno or 0) + 1)})


def _file(site: Path, module: str) -> Path:
    path = site / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _loaded(load: str) -> tuple[int, list[str]]:
    """Private memory in KiB and the modules of an interpreter that is started as stage 2 is."""
    command = [install.python(), "-I", "-S", "-c", _PROBE.format(load=load)]
    subprocess.run(command, check=True, capture_output=True)  # compiled and in the page cache by now
    runs = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(_RUNS)]
    found = [ast.literal_eval(run) for run in runs]
    return round(statistics.median(private for private, _ in found)), found[0][1]
