"""The container image, as packaging/container/README.md and the DaemonSet start it: a leak dies, and nothing else does.

`make image` builds the image, and `make image-test` names it to these tests.
"""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from bustd_shared import __version__
from tests.support import pid_namespace

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "packaging/container/README.md").read_text()
ARCHIVE = os.environ.get("BUSTD_IMAGE", "")
IMAGE = f"localhost/bustd:{__version__}"
NO_ARCHIVE = "no image is named: as root, `make image` builds one, and `make image-test` runs these tests with it"
TOOLS = ("podman", "runc", "skopeo")
LACKING = [tool for tool in TOOLS if not shutil.which(tool)]

LEFT_OUT = {"--detach": 1, "--name": 2, "--restart": 2, "--network": 2, "--memory": 2, "--ulimit": 2}
"""README's options that start it in the background, or that this machine may be unable to keep, with their words."""

GROUPS_OUT_OF_SIGHT = "this is a cgroup namespace of its own"
PROCESSES_OUT_OF_SIGHT = "this is a PID namespace of its own"

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not ARCHIVE, reason=NO_ARCHIVE),
    pytest.mark.skipif(bool(LACKING), reason=f"not installed: {', '.join(LACKING)}"),
]


def play(tmp_path: Path, *containers: dict, asked: tuple[str, ...] = (), ends: int = 0, seconds: int = 30) -> dict:
    """What became of the leak and of the protected process (None: it lives), and what the containers said."""
    if missing := pid_namespace.what_is_missing():
        pytest.skip(missing)
    given = {"place": str(tmp_path), "archive": ARCHIVE, "image": IMAGE, "containers": containers}
    given |= {"asked": asked, "ends": ends, "seconds": seconds}
    ended = pid_namespace.run_inside("tests.support.node", json.dumps(given), seconds=180)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def as_readme_says(tmp_path: Path, **left_out: str) -> dict:
    """The one container of README, without what starts it in the background and what this machine can't limit."""
    (command,) = re.findall(r"^    podman run (.*?localhost/bustd:\S+)$", README, re.MULTILINE | re.DOTALL)
    words = shlex.split(command.replace("\\\n", " "))[:-1]
    for name, count in LEFT_OUT.items():
        at = words.index(name)
        del words[at : at + count]
    for name, value in left_out.items():
        at = words.index(f"--{name}")
        assert words[at + 1] == value
        del words[at : at + 2]
    at = words.index("/etc/bustd:/etc/bustd:ro")
    words[at] = f"{tmp_path}/etc:/etc/bustd:ro"
    return {"name": "bustd", "options": words, "words": []}


def skopeo(*words: str) -> str:
    return subprocess.run(["skopeo", *words], check=True, capture_output=True, text=True, timeout=60).stdout


def members_of(layer: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(layer) as archive:
        return archive.getmembers()


def test_the_image_holds_three_programs_beside_python_and_no_shell(tmp_path):
    skopeo("copy", f"oci-archive:{ARCHIVE}", f"dir:{tmp_path}")
    layers = json.loads((tmp_path / "manifest.json").read_text())["layers"]
    members = [member for layer in layers for member in members_of(tmp_path / layer["digest"].partition(":")[2])]
    programs = {member.name for member in members if member.mode & 0o111 and (member.isfile() or member.issym())}
    assert {name for name in programs if "bin/" in name and "python3" not in name} == {
        f"usr/bin/{name}" for name in ("bustd", "bustd-killer", "bustd-monitor")
    }
    assert "var/lib/dpkg/status.d/libc6" in {member.name for member in members}, "a scanner finds what it is made of"
    assert not any(member.mode & (stat.S_ISUID | stat.S_ISGID) for member in members), "nothing gains a privilege"
    assert not any(member.mode & stat.S_IWOTH for member in members if member.isfile())
    (most,) = re.findall(r"takes (\d+) MB", README)
    assert sum(member.size for member in members) <= int(most) * 10**6


def test_it_says_what_it_is_and_begins_with_the_pair():
    found = json.loads(skopeo("inspect", "--config", f"oci-archive:{ARCHIVE}"))
    assert (found["config"]["Entrypoint"], found["config"]["Cmd"]) == (["/usr/bin/bustd"], ["--no-daemon"])
    assert found["config"]["Labels"]["org.opencontainers.image.version"] == __version__


def test_the_pair_in_one_container_kills_the_leak_and_not_the_larger_process_of_a_protected_unit(tmp_path):
    became = play(tmp_path, as_readme_says(tmp_path), asked=("bustd", "bustd", "status"))
    log = became["logs"]["bustd"]
    assert (became["leak"], became["kept"]) == (-15, None), log
    assert became["codes"] == {"bustd": 0}
    assert "the killer serves as uid 65519 (user bustd-killer), with CAP_KILL alone" in log
    assert "serving the monitor" in log and "uid 65518" in log
    assert "whether another pair" not in log
    assert GROUPS_OUT_OF_SIGHT not in log
    assert "NO KILL MAY WORK" not in log
    assert "PSI triggers with a window of" in log
    assert "watching; the killer " in became["asked"], "bustd status reaches the monitor"


def test_the_two_containers_of_the_daemonset_do_the_same_and_the_monitors_has_no_power(tmp_path):
    killer, monitor = (as_the_daemonset_has(container, tmp_path) for container in daemonset()["containers"])
    became = play(tmp_path, killer, monitor, asked=("monitor", "bustd", "explain"))
    log = "".join(became["logs"].values())
    assert (became["leak"], became["kept"]) == (-15, None), log
    assert became["codes"] == {"killer": 0, "monitor": 0}
    assert "serving the monitor" in log and "uid 65518" in log
    assert "whether another pair" not in log
    assert GROUPS_OUT_OF_SIGHT in became["logs"]["monitor"]
    assert re.search(r'protect.units "kept-\*.service": 1 process', became["asked"]), became["asked"]


def test_without_the_machines_processes_it_kills_nothing_and_says_why(tmp_path):
    became = play(tmp_path, as_readme_says(tmp_path, pid="host"), seconds=5)
    log = became["logs"]["bustd"]
    assert (became["leak"], became["kept"]) == (None, None), log
    assert PROCESSES_OUT_OF_SIGHT in log


def test_a_second_pair_that_shares_run_bustd_does_not_start(tmp_path):
    first = as_readme_says(tmp_path)
    became = play(tmp_path, first, first | {"name": "second"}, ends=1)
    assert sorted(became["codes"].values()) == [0, 73], became["logs"]
    assert "protects this machine already" in "".join(became["logs"].values())


def daemonset() -> dict:
    """Its pods' specification."""
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    documents = list(yaml.safe_load_all((ROOT / "packaging/kubernetes/bustd.yaml").read_text()))
    (found,) = (document for document in documents if document["kind"] == "DaemonSet")
    return found["spec"]["template"]["spec"]


def as_the_daemonset_has(container: dict, tmp_path: Path) -> dict:
    """The container with podman's options for what its securityContext and its mounts say."""
    context = container["securityContext"]
    places = {"run": "/run/bustd", "configuration": f"{tmp_path}/etc"}
    options = ["--pid", "host", "--cap-drop", "all", "--security-opt", "no-new-privileges"]
    options += ["--user", f"{context['runAsUser']}:{context['runAsGroup']}", "--entrypoint", container["command"][0]]
    options += ["--read-only", "--read-only-tmpfs=false"]
    for capability in context["capabilities"].get("add", []):
        options += ["--cap-add", capability]
    for mount in container["volumeMounts"]:
        how = ":ro" if mount.get("readOnly") else ""
        options += ["--volume", f"{places[mount['name']]}:{mount['mountPath']}{how}"]
    return {"name": container["name"], "options": options, "words": container.get("args", [])}
