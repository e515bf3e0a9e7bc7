"""What another user plants in the place of root's log and PID file: `bustd` follows, waits for and writes none of it.

In a mount namespace of its own. On some distributions a group may write to /var/log.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support import install, pair

pytestmark = [pytest.mark.root, pytest.mark.attack("a local user")]

MOUNTS = 'mount --bind "$0/run" /run && mount --bind "$0/log" /var/log && exec "$@"'
IN_GROUP = {"user": 65534, "group": 1500, "extra_groups": []}
PLANTS = {
    "link": "ln -s /var/log/../log/precious {}",
    "FIFO": "mkfifo {}",
    "second name": "ln {place}/log/precious {}",
    "directory": "mkdir {}",
}


@pytest.mark.parametrize("name", ["log/bustd.log", "run/bustd.pid"])
@pytest.mark.parametrize("what", PLANTS)
def test_what_another_user_plants_is_refused_at_once_and_roots_file_stays(place: Path, what: str, name: str) -> None:
    for directory in ("run", "log"):
        (place / directory).mkdir()
        os.chown(place / directory, 0, IN_GROUP["group"])
        (place / directory).chmod(0o775)
    precious = place / "log" / "precious"
    precious.write_text("precious\n")
    precious.chmod(0o600)
    plant = PLANTS[what].format(f"{place}/{name}", place=place)
    if subprocess.run(plant, shell=True, capture_output=True, **IN_GROUP).returncode:
        subprocess.run(plant, shell=True, check=True)  # where fs.protected_hardlinks keeps another user from it
    apart = ["unshare", "--mount", "sh", "-c", MOUNTS, str(place)]
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("no mount namespace can be had here")
    words = install.bustd("--dry-run", *pair.files(place, pair.NEVER, pair.PERMISSIVE), *pair.scope())
    ran = subprocess.run([*apart, *words, "--user", "nobody"], capture_output=True, text=True, timeout=20, cwd="/")
    assert ran.returncode == os.EX_CANTCREAT, ran
    assert ran.stderr.startswith(f"bustd: /{'var/' if name.startswith('log') else ''}{name}: "), ran
    assert precious.read_text() == "precious\n"
    assert precious.stat().st_mode & 0o777 == 0o600
