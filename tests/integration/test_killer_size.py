"""How small what serves is: stage 2 of the killer with everything that it loads, in the ordinary case."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import install
from tests.test_architecture import code_lines

MOST_LINES, MOST_OWN_MODULES, MOST_MODULES, MOST_PRIVATE_KIB = 2040, 32, 95, 2400
"""What it is, a little rounded up. What issue 12 wants is 700 lines, 50 modules and 1.7 MB: it is not reached."""

PROBE = """
import sys
{load}
private = sum(int(line.split()[1]) for line in open("/proc/self/smaps_rollup") if line.startswith("Private_"))
print([private, sorted(sys.modules)])
"""
LOAD = "sys.path.append({site!r})\nimport bustd_killer.serving"


def loaded(load: str) -> tuple[int, list[str]]:
    """Private memory in KiB and the modules of an interpreter that is started as stage 2 is."""
    command = [install.python(), "-I", "-S", "-c", PROBE.format(load=load)]
    subprocess.run(command, check=True, capture_output=True)  # compiled and in the page cache by now
    private, modules = ast.literal_eval(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return private, modules


@pytest.fixture(scope="module")
def site() -> Path:
    return Path(install.program("bustd_killer")).parents[1]


def test_how_large_what_serves_is(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare_kib, bare = loaded("")
    whole_kib, modules = loaded(LOAD.format(site=str(site)))
    own = [name for name in modules if name.startswith("bustd_")]
    files = [path for name in own for path in (site / f"{name.replace('.', '/')}.py",) if path.exists()]
    lines = sum(map(code_lines, files))
    private_kib = whole_kib - bare_kib
    with capsys.disabled():
        print(
            f"\nthe killer that serves: {lines} lines of code in {len(own)} modules of its own, {len(modules)} modules "
            f"in all ({len(bare)} in a bare interpreter), {private_kib} KiB private above it "
            f"(Python {sys.version_info.major}.{sys.version_info.minor})"
        )
    assert lines <= MOST_LINES
    assert len(own) <= MOST_OWN_MODULES
    assert len(modules) <= MOST_MODULES
    assert private_kib <= MOST_PRIVATE_KIB


def test_nothing_of_the_start_is_loaded_by_what_serves(site: Path) -> None:
    _, modules = loaded(LOAD.format(site=str(site)))
    gone = {"bustd_killer.start", "bustd_killer.stage1", "bustd_shared.rules.killer_toml", "prctl", "ctypes", "fcntl"}
    gone |= {"bustd_shared.kernel.cgroups", "bustd_shared.kernel.cgroup_memory", "bustd_shared.kernel.watched_group"}
    gone |= {"typing", "re", "argparse", "socket", "signal", "threading", "tomllib", "subprocess", "pwd"}
    assert not gone & set(modules)
