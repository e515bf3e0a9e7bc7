"""A machine for containers: PID and mount namespaces in which nothing runs but what is started here.

Run as process 1 of the PID namespace (pid_namespace.run_inside). It plays one scenario with podman and the image, and
prints what became of it as JSON. Whatever happens, no process outside of the namespace can be seen or signalled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MIB = 2**20
LEAK_MIB, KEPT_MIB = 100, 150
_GROUPS = Path("/sys/fs/cgroup")

BUSTD_TOML = """
conditions.floor = { available_percent = 100, available_mib = 1073741824, swap_percent = 100, relief_percent = 0 }
"""
"""Memory is always short."""

KILLER_TOML = """
limits = { available_percent = 100, minimum_mib = 48 }
protect.units = ["kept-*.service"]
"""
"""The smallest victim is larger than podman, and than this module."""

HOLDING = "import sys, time; held = bytes([1]) * (int(sys.argv[1]) << 20); print('ready', flush=True); time.sleep(600)"


class Podman:
    """podman with everything of its own below `place`, and containers in a control group of this test's."""

    def __init__(self, place: Path, archive: str, image: str) -> None:
        """Load the image from the archive."""
        self._place, self._image, self._logs = place, image, {}
        self._command = ["podman", "--root", f"{place}/storage", "--runroot", "/run/of-podman"]
        self._command += ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]
        self._command += ["--tmpdir", "/run/podman", "--events-backend", "none", "--runtime", "runc"]
        self.group = _GROUPS / f"bustd-test-{place.name}"
        said = self.run("load", "-i", archive)
        assert said.startswith("0\n"), said

    def start(self, name: str, options: list[str], words: list[str]) -> subprocess.Popen[bytes]:
        """A container of the image, in the foreground, with its output in a file."""
        # no network, no limits: this machine may have no control groups that could keep them
        own = ["--name", name, "--network", "none", "--pids-limit", "0", "--ulimit", "host"]
        own += ["--cgroup-parent", f"/{self.group.name}"]
        self._logs[name] = self._place / f"{name}.log"
        with self._logs[name].open("wb") as log:
            command = [*self._command, "run", "--rm", *own, *options, self._image, *words]
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def logs(self) -> dict[str, str]:
        """What each container has said."""
        return {name: path.read_text(errors="replace") for name, path in self._logs.items()}

    def run(self, *words: str) -> str:
        """What a podman command says, its exit code first."""
        ended = subprocess.run([*self._command, *words], capture_output=True, text=True, timeout=60, check=False)
        return f"{ended.returncode}\n{ended.stdout}{ended.stderr}"


def main(
    place: Path,
    archive: str,
    image: str,
    *,
    containers: list[dict[str, Any]],
    asked: list[str],
    ends: int,
    seconds: int,
) -> dict[str, Any]:
    """Start a leak, a larger process in a protected unit, and the containers.

    Wait until the leak has died and `ends` containers have ended, or all of them, or for so many `seconds`. `asked`: a
    container and the command that is then executed in it.
    """
    _mount()
    _configure(place / "etc")
    podman = Podman(place, archive, image)
    kept_in = _GROUPS / f"kept-{place.name}.service"
    try:
        with _holding(LEAK_MIB) as leak, _holding(KEPT_MIB) as kept:
            kept_in.mkdir()
            (kept_in / "cgroup.procs").write_text(str(kept.pid))
            running = {one["name"]: podman.start(one["name"], one["options"], one["words"]) for one in containers}
            for _ in range(seconds * 10):  # nothing tells of podman's containers
                ended = sum(one.poll() is not None for one in running.values())
                if ended == len(running) or (ended == ends and leak.poll() is not None):
                    break
                time.sleep(0.1)
            said = podman.run("exec", *asked) if asked else ""
            fates = {"leak": leak.poll(), "kept": kept.poll()}
            for name in running:
                podman.run("stop", "--time", "5", name)
            codes = {name: process.wait() for name, process in running.items()}
            return {**fates, "codes": codes, "logs": podman.logs(), "asked": said}
    finally:
        for folder in (kept_in, *sorted(podman.group.glob("**/"), reverse=True)):
            if folder.is_dir():
                folder.rmdir()


def _mount() -> None:
    """What a machine of its own has: /run, /dev/shm, and control groups of version 2 as systemd mounts them."""
    for words in (
        ("mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run"),
        ("mount", "-t", "tmpfs", "shm", "/dev/shm"),
        ("umount", "--recursive", "/sys/fs/cgroup"),
        ("mount", "-t", "cgroup2", "groups", "/sys/fs/cgroup"),
    ):
        subprocess.run(words, check=True)
    Path("/run/bustd").mkdir()


def _configure(directory: Path) -> None:
    """As Kubernetes lays a ConfigMap: links to links, in a directory that everybody may write to."""
    (directory / "..2026").mkdir(parents=True)
    (directory / "..2026/bustd.toml").write_text(BUSTD_TOML)
    (directory / "..2026/killer.toml").write_text(KILLER_TOML)
    (directory / "..data").symlink_to("..2026")
    for name in ("bustd.toml", "killer.toml"):
        (directory / name).symlink_to(f"..data/{name}")
    directory.chmod(0o777)


@contextmanager
def _holding(mib: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-I", "-c", HOLDING, str(mib)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.kill()


if __name__ == "__main__":
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    given = json.loads(sys.argv[1])
    print(json.dumps(main(Path(given.pop("place")), **given)))
