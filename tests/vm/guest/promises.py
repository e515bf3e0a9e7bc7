"""How the units behave, seen on the running machine: each step returns its faults, and what it saw."""

import os
import shutil
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import daemons
import machine
from daemons import KILLER, MONITOR, log_of, main_pid

_BLOWS = 6
_BOX = "box.slice"
_WORKLOAD = f"{machine.GUEST}/workload.py"
_CONNECT = """
import socket, sys
link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
link.settimeout(10)
try:
    link.connect("/run/bustd/killer.sock")
    print("closed" if link.recv(4096) == b"" else "answered")
except OSError as error:
    print(type(error).__name__)
"""


def all_of():
    """(name, what it stands for in the core set or "", step) in the order in which they are taken."""
    return [
        ("promise: the killer starts by its socket", "socket activation", socket_activation),
        ("promise: either restarts without the other", "", restarts),
        ("promise: they come back, however often", "Restart= and the limit of starts of both units", returns),
        ("promise: another user cannot connect", "who may talk to the killer", strangers),
        ("promise: hidepid is named, not guessed around", "", blinded),
        ("promise: a wrong killer.toml", "a mistake of root's, and the status that tells", wrong_killer_toml),
        ("promise: a wrong bustd.toml", "", wrong_bustd_toml),
        ("promise: status and metrics say what is so", "what a user and a server are told", told),
        ("promise: one control group is watched by itself", "", limited_group),
    ]


def socket_activation():
    machine.run("systemctl", "stop", MONITOR, KILLER, "bustd-killer.socket", check=False)
    faults = [f"{KILLER} still runs" for _ in range(main_pid(KILLER) != 0)]
    socket_gone = not Path("/run/bustd/killer.sock").exists()
    machine.run("systemctl", "start", "bustd-killer.socket")
    owner = machine.run("stat", "-c", "%U:%G %a", "/run/bustd/killer.sock").strip()
    if owner != "root:bustd 660":
        faults.append(f"the socket is {owner}")
    if not socket_gone:
        faults.append("the stopped socket unit left its file")
    if main_pid(KILLER):
        faults.append("the killer runs before anybody has connected")
    machine.run("systemctl", "start", MONITOR)
    daemons.await_killer()
    if not main_pid(KILLER):
        faults.append("the killer was not started by its socket")
    return {"faults": faults, "socket": owner}


def restarts():
    faults = []
    monitor, killer = main_pid(MONITOR), main_pid(KILLER)
    machine.run("systemctl", "restart", KILLER)
    daemons.await_killer(main_pid(KILLER))
    if main_pid(KILLER) == killer or main_pid(MONITOR) != monitor:
        faults.append("after a restart of the killer the PIDs are not as they should be")
    killer = main_pid(KILLER)
    machine.run("systemctl", "restart", MONITOR)
    daemons.await_killer(killer)
    if main_pid(KILLER) != killer or main_pid(MONITOR) == monitor:
        faults.append("after a restart of the monitor the PIDs are not as they should be")
    return {"faults": faults}


def returns():
    """SIGKILL, more often in a row than systemd's usual limit of starts would have it."""
    faults = []
    for unit in (KILLER, MONITOR):
        for _ in range(_BLOWS):
            pid = main_pid(unit)
            os.kill(pid, signal.SIGKILL)
            if not machine.within(60, lambda unit=unit, pid=pid: main_pid(unit) not in (0, pid)):
                return {"faults": [f"{unit} did not come back"]}
        daemons.await_killer(main_pid(KILLER))
        shown = machine.show(unit, "NRestarts", "Restart", "RestartUSec", "StartLimitIntervalUSec")
        if (shown["Restart"], shown["RestartUSec"], shown["StartLimitIntervalUSec"]) != ("always", "1s", "0"):
            faults.append(f"{unit}: {shown}")
    return {"faults": faults}


def strangers():
    """An ordinary user is stopped by the file's mode; one who has the group, by the killer's look at SO_PEERCRED."""
    machine.run("systemctl", "stop", MONITOR)
    since = time.time()
    outsider = machine.run("setpriv", "--reuid=mallory", "--regid=mallory", "--clear-groups", "python3", "-c", _CONNECT)
    insider = machine.run("setpriv", "--reuid=mallory", "--regid=bustd", "--clear-groups", "python3", "-c", _CONNECT)
    machine.run("systemctl", "start", MONITOR)
    daemons.await_killer()
    said = log_of(KILLER, since=since)
    faults = []
    if outsider.strip() != "PermissionError":
        faults.append(f"mallory's connection: {outsider.strip()}")
    if insider.strip() != "closed" or "refused a connection of uid 1002" not in said:
        faults.append(f"mallory in the group bustd: {insider.strip()}; the killer said: {said}")
    return {"faults": faults, "outsider": outsider.strip(), "insider": insider.strip()}


def blinded():
    """Units that share the machine's /proc, and that with hidepid: refused and named; and what is named does help."""
    faults, since = [], time.time()
    machine.run("groupadd", "--system", "--force", "proc")
    machine.run("mount", "-o", "remount,hidepid=2,gid=proc", "/proc")
    drop_ins = [Path(f"/run/systemd/system/{unit}.d/shared-proc.conf") for unit in (KILLER, MONITOR)]
    try:
        _with_drop_ins(drop_ins, "[Service]\nProtectControlGroups=no\nProtectKernelTunables=no\n")
        machine.run("systemctl", "restart", KILLER, MONITOR, check=False)
        said = log_of(MONITOR, since=since)
        if "give both units SupplementaryGroups=" not in said:
            faults.append(f"the monitor did not say how to mend it: {said}")
        with_group = "[Service]\nProtectControlGroups=no\nProtectKernelTunables=no\nSupplementaryGroups=proc\n"
        _with_drop_ins(drop_ins, with_group)
        machine.run("systemctl", "restart", KILLER, MONITOR)
        daemons.await_killer(main_pid(KILLER))
    finally:
        for drop_in in drop_ins:
            drop_in.unlink()
        machine.run("mount", "-o", "remount,hidepid=0,gid=0", "/proc")
        machine.run("groupdel", "proc")
        machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", KILLER, MONITOR)
    daemons.await_killer(main_pid(KILLER))
    return {"faults": faults}


def _with_drop_ins(drop_ins, text):
    for drop_in in drop_ins:
        drop_in.parent.mkdir(parents=True, exist_ok=True)
        drop_in.write_text(text)
    machine.run("systemctl", "daemon-reload")


def wrong_killer_toml():
    """A waiting connection does not start it again without a pause, and the monitor tells that nobody can be killed."""
    drop_in = Path("/etc/bustd/killer.toml.d/wrong.toml")
    drop_in.parent.mkdir()
    drop_in.write_text("[protect]\nunit = ['a']\n")
    since, faults = time.time(), []
    machine.run("systemctl", "restart", KILLER, check=False)
    time.sleep(20)
    said, status = log_of(KILLER, since=since), machine.show(MONITOR, "StatusText").get("StatusText", "")
    starts = said.count("nearest known key: protect.units")
    socket = machine.show("bustd-killer.socket", "ActiveState", "SubState")
    drop_in.unlink()
    drop_in.parent.rmdir()
    daemons.await_killer()  # nobody has to start it: the socket does
    if not 1 <= starts <= 12:
        faults.append(f"{starts} starts in 20 s")
    if "NOT PROTECTED" not in status:
        faults.append(f"the monitor's status was: {status}")
    if socket["ActiveState"] != "active":
        faults.append(f"the socket was {socket}")
    return {"faults": faults, "starts_in_20_s": starts, "status": status, "said": said.splitlines()[-6:]}


def wrong_bustd_toml():
    """A reload fails and says why, and SIGHUP alone keeps what is in force; a start: exit 78, and no second try."""
    drop_in = Path("/etc/bustd/bustd.toml.d/wrong.toml")
    drop_in.parent.mkdir()
    drop_in.write_text("[conditions.flor]\nenabled = true\n")
    since, faults, pid = time.time(), [], main_pid(MONITOR)
    try:
        machine.run("systemctl", "reload", MONITOR)
        faults.append("a reload took a wrong configuration for a right one")
    except RuntimeError:
        said = log_of(MONITOR, since=since)
        if "nearest known key: conditions.floor" not in said or "stays in force" in said:
            faults.append(f"a reload that failed has said: {said}")
    os.kill(pid, signal.SIGHUP)
    time.sleep(3)
    if main_pid(MONITOR) != pid or "the old configuration stays in force" not in log_of(MONITOR, since=since):
        faults.append("a wrong configuration was not survived by a SIGHUP")
    machine.run("systemctl", "restart", MONITOR, check=False)
    time.sleep(5)
    shown = machine.show(MONITOR, "ActiveState", "ExecMainStatus", "NRestarts")
    said = log_of(MONITOR, since=since)
    drop_in.unlink()
    drop_in.parent.rmdir()
    machine.run("systemctl", "restart", MONITOR)
    daemons.await_killer()
    if (shown["ActiveState"], shown["ExecMainStatus"], shown["NRestarts"]) != ("failed", "78", "0"):
        faults.append(f"after a wrong configuration: {shown}")
    if "nearest known key: conditions.floor" not in said:
        faults.append("the log does not name the nearest key")
    return {"faults": faults, "shown": shown}


def told():
    """To any user, with the exit code of a plugin; and to a server, by the unit that its timer starts."""
    faults, metrics = [], Path("/var/lib/prometheus/node-exporter/bustd.prom")
    as_mallory = ["setpriv", "--reuid=mallory", "--regid=mallory", "--clear-groups"]

    def status():
        code = "bustd status; echo $?"
        return machine.run(*as_mallory, "sh", "-c", code).splitlines()

    well = status()
    if not well[0].startswith("BUSTD OK: watching; the killer ") or well[-1] != "0":
        faults.append(f"the status of a machine in good health: {well}")
    machine.run("systemctl", "start", "bustd-metrics.service")
    if metrics.exists():
        faults.append("metrics were written where nothing reads them")
    metrics.parent.mkdir(parents=True)
    machine.run("systemctl", "start", "bustd-metrics.service")
    text = metrics.read_text() if metrics.exists() else ""
    shutil.rmtree(metrics.parents[1])
    for line in ("bustd_protected 1", 'bustd_refusals_total{reason="protected"} ', "bustd_reaction_seconds_count "):
        if line not in text:
            faults.append(f"{line} is not in the metrics: {text[:2000]}")
    machine.run("systemctl", "stop", MONITOR)
    ill = status()
    machine.run("systemctl", "start", MONITOR)
    daemons.await_killer()
    if not ill[0].startswith("BUSTD CRITICAL: NOT PROTECTED: the monitor is stopped") or ill[-1] != "2":
        faults.append(f"the status without a monitor: {ill}")
    return {"faults": faults, "status": well[:1] + ill[:1]}


def limited_group():
    """A slice with a limit fills up while the machine has plenty; a pair of its own watches it. Nothing else dies."""
    faults, since = [], time.time()
    with ExitStack() as undo:
        for unit in ("box-bustd", "box-leak", "box-idle"):
            undo.callback(machine.run, "systemctl", "stop", f"{unit}.service", check=False)
        machine.run("systemctl", "set-property", "--runtime", _BOX, "MemoryMax=250M", "MemorySwapMax=0")
        undo.callback(machine.run, "systemctl", "revert", _BOX, check=False)
        machine.start_unit("box-idle", _BOX, "alice", [_WORKLOAD, "hold", "--mib", "120"])
        machine.run("systemd-run", "--quiet", "--unit=box-bustd", "bustd", "run", "-n", "--cgroup", f"/{_BOX}")
        if not machine.within(60, lambda: "connected to the killer" in log_of("box-bustd", since=since)):
            faults.append("the pair for the control group does not start")
        idle = main_pid("box-idle.service")
        machine.start_unit("box-leak", _BOX, "alice", [_WORKLOAD, "leak", "--rate", "10"])
        leak = main_pid("box-leak.service")
        if not machine.within(60, lambda: not Path(f"/proc/{leak}").exists()):
            faults.append("the leak lives")
        said, others = log_of("box-bustd", since=since), log_of(MONITOR, since=since)
        if f" to {leak} (leak, unit box-leak.service, holding" not in said:
            faults.append("the killer of the control group has not signalled the leak")
        if main_pid("box-idle.service") != idle or not Path(f"/proc/{idle}").exists():
            faults.append("the larger, idle program in the control group died")
        if " fires: " in others:
            faults.append("the machine's own pair saw a shortage")
        events = Path(f"/sys/fs/cgroup/{_BOX}/memory.events").read_text()
        if "oom_kill 0" not in events:
            faults.append(f"the kernel killed: {events}")
    return {"faults": faults, "said": said.splitlines()[-12:]}
