"""What a daemon has in memory after it has read its configuration, in a fresh interpreter."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "argparse",
    "bustd_shared.rules.config_files",
    "bustd_shared.rules.globs",
    "bustd_shared.rules.regular_expressions",
    "bustd_shared.rules.suspicious",
    "bustd_shared.rules.validation",
    "dataclasses",
    "difflib",
    "fnmatch",
    "pathlib",
    "pwd",
    "re",
    "subprocess",
    "tomllib",
    "typing",
}

PROGRAM = """
import sys
from {module} import load
imported = sorted(sys.modules)
config = load({path!r})
try:
    load({broken!r})
except Exception as error:
    broken = type(error).__name__
loaded, config = sorted(sys.modules), repr(config)
import json
print(json.dumps([imported, loaded, config, broken]))
"""


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("bustd_shared.rules.killer_toml", "[rate]\nburst = 7\n[protect]\nusers = ['root']"),
        ("bustd_monitor.config", "[sleep]\nshortest_ms = 7\n[victims.never]\nusers = ['root']"),
    ],
)
def test_neither_the_import_nor_the_reading_loads_what_is_heavy(module, line, tmp_path):
    path, broken = tmp_path / "x.toml", tmp_path / "broken.toml"
    path.write_text(line)
    broken.write_text("unknown = ")
    path.chmod(0o644)
    program = PROGRAM.format(module=module, path=str(path), broken=str(broken))
    # -S as well: a site that imports `typing` for a coverage tool or an editable install is not what is tested here.
    paths = f"import sys; sys.path[:] = {sys.path!r}\n"
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", paths + program], capture_output=True, text=True, check=True
    )
    imported, loaded, config, error = json.loads(result.stdout)
    assert "7" in config
    assert error == "ConfigError"
    assert HEAVY & set(imported) == set()
    assert HEAVY & set(loaded) == set()
