"""One machine from a warning to what is known of it after two reboots. The machine goes on after each: a file on its
disk says in which chapter it is. Each step returns its faults, and what it saw.
"""

import json
import os
import re
import signal
import time
from pathlib import Path

import daemons
import desktop
import followers
import machine
from daemons import MONITOR, main_pid

_CHAPTER = Path("/var/lib/vm-chapter")
_METRICS = Path("/var/lib/prometheus/node-exporter/bustd.prom")
_WORKLOAD = ("/usr/bin/python3", "-s", "-E", f"{machine.GUEST}/workload.py")
_DECIDED = "b85db34848ea49ada72c29427e7688e7"
_LEAK_RATE_MIB, _LEAK_HAS_MIB, _ROOM_MIB = 5, 60, 380
"""The program beside the leak leaves so much room: on 1 GiB it takes a minute, and the warning comes 19 s before the
decision, 14 s where a command of 28 MiB is run meanwhile (on the simulated machine of tests/simulated).
"""
_FORGERY = f"""
import socket
fields = b"MESSAGE=floor fires: forged\\nMESSAGE_ID={_DECIDED}\\n_SYSTEMD_UNIT={MONITOR}\\nBUSTD_VICTIM_PID=1\\n"
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(fields, "/run/systemd/journal/socket")
"""
"""An entry that any user can write: it is no kill, neither to the metrics nor to the history."""
_AHEAD_US = 10_000_000
"""A warning must come so long before the decision."""
_OVER_S, _PATIENCE_S = 240, 150
_REBOOT_S = 600


def chapters():
    """(steps, how the chapter ends) in their order: a step is its name and what it does."""
    return [
        (
            [
                ("story: a user logs in", log_in),
                ("story: a leak", leak),
                ("story: what is told of it", told),
                ("story: readers outlive the monitor", readers),
            ],
            reboot,
        ),
        ([("story: after a reboot", after_reboot)], crash),
        ([("story: after a crash", after_crash)], None),
    ]


def perform(job, tell):
    """This boot's chapter; whether the machine comes back for another. `tell` performs a step and returns its report.

    After a step that could not be performed nothing that follows says anything.
    """
    number = int(_CHAPTER.read_text()) if _CHAPTER.exists() else 0
    if number == 0:
        tell("install", 400, lambda: daemons.install("/run/job/" + job["deb"]))
    steps, ends = chapters()[number]
    for name, step in steps:
        if "error" in tell(name, 600, step):
            return False
    if ends is None:
        return False
    _CHAPTER.write_text(str(number + 1))
    os.sync()
    machine.emit("start", name="story: the machine starts again", seconds=_REBOOT_S)
    ends()
    return True


def reboot():
    machine.run("systemctl", "--no-block", "reboot")


def crash():
    """As if power was cut; but first the journal writes what it has, which it does within five minutes."""
    machine.run("journalctl", "--sync")
    Path("/proc/sysrq-trigger").write_text("b")


# --- the first boot


def log_in():
    """alice's session, pipes as docs/events.md has them, and metrics by their timer."""
    desktop.log_in()
    _METRICS.parent.mkdir(parents=True)
    machine.run("systemctl", "start", "bustd-metrics.timer")
    followers.start()
    faults = [] if machine.within(_PATIENCE_S, desktop.agent_pid) else [f"the agent does not run: {desktop.log()}"]
    if not machine.within(_PATIENCE_S, _METRICS.exists):
        faults.append("the timer has written no metrics")
    machine.run("systemctl", "stop", "bustd-metrics.timer")  # what comes and goes each minute makes a leak less even
    if not machine.within(_PATIENCE_S, lambda: len(followers.connected()) == followers.COUNT):
        faults.append(f"the readers of events are {followers.connected()}")
    return {"faults": faults, "kills_before": _kills_counted()}


def leak():
    """A warning, then the kill, then what was killed; the larger program beside it lives."""
    since_us, service = time.monotonic_ns() // 1000, main_pid(followers.RESTARTED)
    before_mib = _available_mib()
    editor_mib = before_mib - _LEAK_HAS_MIB - _ROOM_MIB
    desktop.start("editor", *_WORKLOAD, "hold", "--name", "editor", "--mib", str(editor_mib))
    machine.within(60, lambda: _available_mib() < before_mib - 0.9 * editor_mib)
    _start_leak("--mib", str(_LEAK_HAS_MIB), "--rate", str(_LEAK_RATE_MIB))
    screens = {}
    if machine.within(_OVER_S, desktop.notifications):
        screens["explain"] = desktop.screen("bustd", "explain")
    is_over = machine.within(_OVER_S, lambda: _find(_told_deaths, desktop.notifications()))
    shown, faults = desktop.notifications(), []
    if not is_over or len(shown) < 2:
        return {"faults": ["there was no notification of a death"], "shown": shown, "log": _log(since_us)}
    warned, death = shown[0], _find(_told_deaths, shown)
    decided = _entries(f"MESSAGE_ID={_DECIDED}")[-1]
    ahead_us = int(decided["__MONOTONIC_TIMESTAMP"]) - warned["monotonic_us"]
    if warned["summary"] != "Memory is running out" or "Then bustd will end leak, which holds" not in warned["body"]:
        faults.append(f"the first notification is {warned}")
    if warned["actions"][1:2] != ["End leak"] or "Not this one" not in warned["actions"]:
        faults.append(f"the warning's buttons are {warned['actions']}")
    if ahead_us < _AHEAD_US:
        faults.append(f"the warning came {ahead_us / 1e6:.1f} s before the decision")
    if death["summary"] != "bustd ended leak" or "leak was ended because memory was short" not in death["body"]:
        faults.append(f"the notification of a death is {death}")
    if not machine.within(30, lambda: main_pid(followers.RESTARTED) not in (0, service)):
        faults.append(f"{followers.RESTARTED} was not restarted: {daemons.log_of('restarter', since=0)}")
    if decided["BUSTD_VICTIM_COMM"] != "leak" or _is_alive("leak") or not _is_alive("editor"):
        faults.append(f"{decided['BUSTD_VICTIM_COMM']} was to die")
    screens["notifications"] = f"{_drawn(warned)}\n\n{_drawn(death)}"
    seen = {"shown": shown, "warned_ahead_s": ahead_us / 1e6, "editor_mib": editor_mib, "screens": screens}
    return {"faults": faults, "log": _log(since_us), **seen}


def _available_mib():
    return machine.meminfo()["MemAvailable"] >> 20


def _drawn(note):
    buttons = " ".join(f"[{label}]" for label in note["actions"][1::2])
    return "\n".join([note["summary"], note["body"], *([buttons] if buttons else [])])


def _start_leak(*options):
    desktop.start("leak", *_WORKLOAD, "leak", *options)


def _told_deaths(note):
    return "was ended because memory was short" in note["body"]


def _find(is_it, found):
    return next((one for one in found if is_it(one)), None)


def _is_alive(unit):
    return desktop.as_user("systemctl", "--user", "is-active", unit, check=False).strip() == "active"


def _entries(*matches):
    """Entries of the monitor in this boot's journal."""
    machine.run("journalctl", "--sync")
    words = ("journalctl", "--boot", "-o", "json", "--no-pager", f"_SYSTEMD_UNIT={MONITOR}", *matches)
    return [json.loads(line) for line in machine.run(*words, check=False).splitlines()]


def _log(since_us):
    return [one["MESSAGE"] for one in _entries() if int(one["__MONOTONIC_TIMESTAMP"]) >= since_us]


def told():
    """The log by priority, the status to anybody, the figures for a server, the mail."""
    faults = []
    desktop.as_user("python3", "-c", _FORGERY)
    forged = machine.run("journalctl", "-b", "-o", "cat", "--no-pager", f"MESSAGE_ID={_DECIDED}")
    if "forged" not in forged:
        faults.append(f"there is no forged entry: {forged}")
    machine.run("systemctl", "start", "bustd-metrics.timer")
    units = ("-u", "bustd-monitor", "-u", "bustd-killer")
    warnings = desktop.screen("journalctl", "-b", "-p", "warning", *units, "-o", "cat", "--no-pager")
    if not re.search(r"floor fires: .* SIG(TERM|KILL) for \d+ \(leak\) of uid 1001", warnings):
        faults.append(f"journalctl -p warning: {warnings}")
    status = desktop.as_user("bustd", "status")
    killed = re.search(r"^  \S+ \S+ leak \(\d+\).*: SIG\w+ for floor; gone after", status, re.MULTILINE)
    if not status.startswith("BUSTD OK: watching; ") or not killed:
        faults.append(f"alice's status: {status}")
    if not machine.within(_PATIENCE_S, lambda: _kills_counted() == {"floor": 1}):
        faults.append(f"the metrics have {_kills_counted()} kills")
    mail = followers.MAIL.read_text() if followers.MAIL.exists() else ""
    if not re.search(r"^to root: bustd on bustd-vm\nfloor fires: .*\(leak\)", mail, re.MULTILINE):
        faults.append(f"the mail is: {mail}")
    screens = {"status": desktop.screen("bustd", "status"), "warnings": warnings}
    return {"faults": faults, "screens": screens, "mail": mail}


def _kills_counted():
    """How many there were by each condition, as the file of the metrics has it."""
    text = _METRICS.read_text() if _METRICS.exists() else ""
    kills = re.findall(r'^bustd_kills_total\{condition="(\w+)".*\} (\d+)$', text, re.MULTILINE)
    return {condition: int(count) for condition, count in kills if count != "0"}


def readers():
    """The monitor is started again: each reader goes on, and is told of the next kill."""
    faults, agent = [], desktop.agent_pid()
    mail_before, notes_before = followers.mails(), len(desktop.notifications())
    os.kill(main_pid(MONITOR), signal.SIGKILL)
    time.sleep(3)
    machine.run("systemctl", "restart", MONITOR)
    daemons.await_killer()
    if not machine.within(_PATIENCE_S, lambda: len(followers.connected()) == followers.COUNT):
        faults.append(f"after a restart the readers are {followers.connected()}")
    _start_leak("--rate", "100")
    is_told = machine.within(120, lambda: _find(_told_deaths, desktop.notifications()[notes_before:]))
    if not is_told:
        faults.append(f"no notification after a restart; the agent said: {desktop.log()}")
    if not machine.within(30, lambda: followers.mails() == mail_before + 1):
        faults.append(f"no mail after a restart: {followers.MAIL.read_text()}")
    kinds = [json.loads(line)["kind"] for line in followers.WATCHED.read_text().splitlines()]
    if kinds.count("decision") != 2 or "ready" not in kinds:
        faults.append(f"a reader was told {kinds}")
    if desktop.agent_pid() != agent:
        faults.append("the agent was started again")
    machine.run("systemctl", "stop", MONITOR)
    if Path("/run/bustd/events").exists():
        faults.append("the stopped monitor left its socket of events")
    machine.run("systemctl", "start", MONITOR)
    daemons.await_killer()
    if not machine.within(_PATIENCE_S, lambda: len(followers.connected()) == followers.COUNT):
        faults.append(f"after a stop and a start the readers are {followers.connected()}")
    return {"faults": faults, "kinds": kinds}


# --- the boots after it


def after_reboot():
    """History has both kills of the first boot, which ended well; the catalog explains one of them."""
    daemons.await_killer()
    begun, faults = time.monotonic(), []
    table = desktop.screen("bustd", "history")
    seen = {"history_took_s": time.monotonic() - begun}
    if [row.split()[3:4] for row in re.findall(r"^ +\d .*$", table, re.MULTILINE)] != [["leak"], ["leak"]]:
        faults.append(f"the history is: {table}")
    if "without a shutdown" in table:
        faults.append(f"the first boot was shut down: {table}")
    whole = desktop.screen("bustd", "history", "2")
    for text in ("(leak) died", "floor, ", "next ", "(editor,", "came back ", "bustd-killer: "):
        if text not in whole:
            faults.append(f"{text} is not in: {whole}")
    explained = desktop.screen("journalctl", "-b", "-1", "-x", "-n", "1", "--no-pager", f"MESSAGE_ID={_DECIDED}")
    if not re.search(r"^░░ Subject: bustd asks for the death of process \d+", explained, re.MULTILINE):
        faults.append(f"the catalog: {explained}")
    refused = desktop.as_user("sh", "-c", "bustd history 2>&1", check=False)
    if "add you to the group systemd-journal" not in refused:
        faults.append(f"to one who may not read the journal it said: {refused}")
    return {"faults": faults, "screens": {"history": table, "whole": whole, "explained": explained}, **seen}


def after_crash():
    """Only the second boot, in which nothing died, has no shutdown."""
    daemons.await_killer()
    table = desktop.screen("bustd", "history")
    known = json.loads(machine.run("bustd", "history", "--json"))
    boots = machine.run("journalctl", "--list-boots", "--no-pager")
    lines = table.splitlines()
    places = [place for place, line in enumerate(lines) if "the boot ended without a shutdown" in line]
    faults = [] if len(places) == 1 and places[0] >= 3 else [f"the history is: {table}"]
    return {"faults": faults, "screens": {"crash": table}, "known": known, "boots": boots}
