"""A captured killer: in its very process, after its lockdown, everything is tried. THREATS.md lists what is left."""

import json
import os
import re
import shutil
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bustd_killer.stage1 import landlock
from tests.support import install, victims
from tests.support.place import place_for_all

pytestmark = [pytest.mark.root, pytest.mark.attack("a captured killer")]

THREATS = Path(__file__).parents[2] / "killer" / "THREATS.md"
ATTACKER = Path(__file__).with_name("captured_killer.py")
LEFT = re.compile(r"^- `([^`]+)`", re.MULTILINE)


@contextmanager
def an_installation_whose_stage_2_is(program: Path, plan: dict[str, object], place: Path) -> Iterator[Path]:
    """A copy of the installation in which stage 1 executes another program than stage 2."""
    home = place / "captured"
    shutil.copytree(install.home(), home, symlinks=True)
    (serve,) = home.glob("lib/python*/site-packages/bustd_killer/serve.py")
    shutil.copy(program, serve)
    (serve.parent / "plan.json").write_text(json.dumps(plan))
    for path in (serve, serve.parent / "plan.json"):
        path.chmod(0o644)
    yield serve.with_name("__main__.py")


@pytest.fixture(scope="module")
def attempts() -> Iterator[dict[str, str]]:
    """What became of each attempt."""
    with place_for_all() as place:
        yield attempts_in(place)


def attempts_in(place: Path) -> dict[str, str]:
    secret, shell, opened = place / "secret", place / "shell", place / "open"
    secret.write_text("root's\n")
    secret.chmod(0o600)
    shutil.copy("/bin/sh", shell)
    opened.mkdir()
    opened.chmod(0o777)
    (opened / "file").write_text("everybody's\n")
    (opened / "file").chmod(0o666)
    device = place / "device"
    try:
        os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(1, 1))
    except OSError:
        device = Path("/dev/mem")
    set_uid = next((path for path in ("/bin/su", "/usr/bin/su", "/bin/mount") if Path(path).exists()), "/bin/true")
    with (
        victims.victim(0) as victim,
        socket.socket(socket.AF_UNIX) as root_socket,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.create_server(("127.0.0.1", 0)) as tcp,
    ):
        root_socket.bind(str(place / "root.sock"))
        root_socket.listen()
        (place / "root.sock").chmod(0o600)
        name = f"bustd-test-{os.getpid()}"
        abstract.bind(f"\0{name}")
        abstract.listen()
        plan = {
            "secret": str(secret),
            "shell": str(shell),
            "place": str(place),
            "open": str(opened),
            "device": str(device),
            "set_uid": set_uid,
            "loader": landlock.loader(os.path.realpath(install.python())),
            "root_socket": str(place / "root.sock"),
            "abstract": name,
            "port": tcp.getsockname()[1],
            "victim": victim.pid,
        }
        with an_installation_whose_stage_2_is(ATTACKER, plan, place) as program:
            config = place / "killer.toml"
            config.write_text(f"[peer]\nuser = {victims.NOBODY.pw_uid}\n")
            command = [str(place / "captured/bin/python3"), "-I", str(program), "--config", str(config)]
            ran = subprocess.run(
                [*command, "--socket", str(place / "killer.sock"), "--only-descendants-of", str(os.getpid())],
                input="typed by root\n",
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )
    told = dict(json.loads(line) for line in ran.stderr.splitlines() if line.startswith("["))
    assert told, ran.stderr
    assert secret.read_text() == "root's\n"
    assert shell.stat().st_mode & stat.S_ISUID == 0
    return told


def test_what_is_left_to_a_captured_killer_is_the_list_in_threats(
    attempts: dict[str, str], record_property: Callable[[str, object], None]
) -> None:
    record_property("left", ", ".join(name for name, outcome in attempts.items() if outcome == "done"))
    text = THREATS.read_text().partition("## What a captured killer can still do")[2].partition("\n## ")[0]
    assert {name for name, outcome in attempts.items() if outcome == "done"} == set(LEFT.findall(text))


@pytest.mark.parametrize(
    "attempt",
    [
        "write root's file",
        "read root's file",
        "chmod root's file",
        "chmod root's shell to set-uid",
        "chown root's file",
        "read /etc/shadow",
        "open root's device",
        "connect to a socket of root",
        "connect by TCP",
        "execute a program",
        "execute a set-uid program",
        "trace another process",
        "become root",
        "SIGSTOP to another user's process",
        "SIGUSR1 to another user's process",
    ],
)
def test_each_of_the_attacks_on_the_first_edition_is_refused(attempts: dict[str, str], attempt: str) -> None:
    assert attempts[attempt] in ("EPERM", "EACCES")


@pytest.mark.parametrize("path", ["/run/systemd/private", "/run/docker.sock", "/var/run/docker.sock"])
def test_what_trusts_root_does_not_trust_the_killers_user(path: str) -> None:
    """By its mode: the killer is neither its owner nor in its group, and can't make a socket either."""
    if not Path(path).exists():
        pytest.skip(f"no {path} here")
    found = Path(path).stat()
    assert found.st_mode & 0o002 == 0
    assert found.st_uid == 0
