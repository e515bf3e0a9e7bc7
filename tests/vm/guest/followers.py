"""What reads events in the story: the pipes of docs/events.md, and a `bustd watch` of alice's own."""

import re
from pathlib import Path

import desktop
import machine

MAIL = machine.PLACE / "mail"
"""Every mail, one after the other."""
WATCHED = machine.PLACE / "watched"
"""What alice's `bustd watch --json` has printed."""
RESTARTED = "mysql.service"
"""What docs/events.md restarts where a process of its user has died."""
COUNT = 4
"""Readers: these three and alice's `bustd notify`."""


def start():
    """The scripts and the unit of docs/events.md, letter by letter, except that alice stands for the user mysql; and a
    mail(1) that puts all into a file.
    """
    page = Path("/run/job/events.md").read_text()
    mail, _, restart = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    (unit,) = re.findall(r"```ini\n(.*?)```", page, re.DOTALL)
    Path("/usr/local/bin/bustd-mail").write_text(mail)
    Path("/etc/systemd/system/bustd-mail.service").write_text(unit)
    program = Path("/usr/local/bin/mail")
    program.write_text(f'#!/bin/sh\n{{ echo "to $3: $2"; cat; }} >>{MAIL}\n')
    program.chmod(0o755)
    machine.run("systemctl", "enable", "--now", "bustd-mail")
    Path("/etc/systemd/system", RESTARTED).write_text("[Service]\nExecStart=sleep infinity\n")
    machine.run("systemctl", "start", RESTARTED)
    Path("/usr/local/bin/bustd-restart").write_text(restart.replace("== 112", "== 1001"))
    machine.run("systemd-run", "--quiet", "--unit=restarter", "sh", "/usr/local/bin/bustd-restart")
    desktop.start("watcher", "/bin/sh", "-c", f"exec bustd watch --json --new >{WATCHED}")


def connected():
    """The lines of ss(8) about connections to the events socket, the one of each reader."""
    peers = machine.run("ss", "-xp", "state", "connected")
    return [line for line in peers.splitlines() if "/run/bustd/events" in line]


def mails():
    """How many there were about a leak."""
    return len(re.findall(r"^floor fires: .*\(leak\)", MAIL.read_text(), re.MULTILINE))
