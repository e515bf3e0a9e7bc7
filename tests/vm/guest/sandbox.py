"""What the units' sandbox is, as the kernel and systemd show it: each step returns its faults, and what it saw."""

import os
import pwd
import re
from pathlib import Path

import captured
import machine
import system
from daemons import KILLER, MONITOR, main_pid

_CAP_KILL = 1 << 5


def all_of():
    """(name, what it stands for in the core set or "", step) in the order in which they are taken."""
    files = "the unit files as systemd and the kernel read them"
    return [
        ("sandbox: capabilities, locked memory, rank", files, what_proc_shows),
        ("sandbox: memory of their own", files, memory_of_their_own),
        ("sandbox: filters of system calls", files, filters),
        ("sandbox: no writable path", files, nothing_writable),
        ("sandbox: handed-over PSI descriptors", files, handed_over_triggers),
        ("sandbox: systemd-analyze security", files, exposure),
        ("sandbox: a captured killer", "what is left to a captured killer in its unit", captured.captured_killer),
        ("sandbox: a captured monitor", "what is left to a captured monitor in its unit", captured.captured_monitor),
    ]


def status_of(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def what_proc_shows():
    faults, seen = [], {}
    users = {unit: pwd.getpwnam(name).pw_uid for unit, name in ((KILLER, "bustd-killer"), (MONITOR, "bustd"))}
    for unit, powers in ((KILLER, _CAP_KILL), (MONITOR, 0)):
        pid = main_pid(unit)
        status = status_of(pid)
        sets = {name: int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        wanted = dict.fromkeys(sets, powers)
        shown = {
            "sets": sets,
            "NoNewPrivs": status["NoNewPrivs"],
            "Seccomp": status["Seccomp"],
            "VmLck": status["VmLck"],
            "VmRSS": status["VmRSS"],
            "VmSwap": status["VmSwap"],
            "uids": sorted(set(map(int, status["Uid"].split()))),
            "oom_score_adj": int(Path(f"/proc/{pid}/oom_score_adj").read_text()),
            "nice": os.getpriority(os.PRIO_PROCESS, pid),
            "autogroup": int(Path(f"/proc/{pid}/autogroup").read_text().split()[-1]),
        }
        seen[unit] = shown
        if sets != wanted:
            faults.append(f"{unit} has {sets}, not {wanted}")
        if shown["NoNewPrivs"] != "1" or shown["Seccomp"] != "2":
            faults.append(f"{unit}: NoNewPrivs {shown['NoNewPrivs']}, Seccomp {shown['Seccomp']}")
        if shown["VmLck"].startswith("0 "):
            faults.append(f"{unit} has no locked memory")
        if shown["uids"] != [users[unit]]:
            faults.append(f"{unit} runs as uids {shown['uids']}, not {users[unit]}")
        if (shown["oom_score_adj"], shown["nice"], shown["autogroup"]) != (-1000, -20, -20):
            said = f"nice {shown['nice']}, that of its session {shown['autogroup']}"
            faults.append(f"{unit}: oom_score_adj {shown['oom_score_adj']}, {said}")
    return {"faults": faults, "seen": seen}


def memory_of_their_own():
    """What the control groups say: a service's memory.min counts only as far as its slice's."""
    wanted = {
        "bustd.slice/memory.min": 64 << 20,
        "bustd.slice/bustd-killer.service/memory.min": 32 << 20,
        "bustd.slice/bustd-killer.service/memory.swap.max": 0,
        "bustd.slice/bustd-monitor.service/memory.min": 32 << 20,
        "bustd.slice/bustd-monitor.service/memory.max": 64 << 20,
        "bustd.slice/bustd-monitor.service/memory.swap.max": 0,
        "bustd.slice/bustd-monitor.service/pids.max": 9,
    }
    seen = {name: Path("/sys/fs/cgroup", name).read_text().strip() for name in wanted}
    return {"faults": [f"{name} is {seen[name]}" for name in wanted if seen[name] != str(wanted[name])], "seen": seen}


def filters():
    """Calls that must not be in a filter: those that signal, for the monitor; those that the unit makes needless."""
    signalling = {"kill", "tkill", "tgkill", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "ptrace"}
    never = {
        "socket",
        "connect",
        "capset",
        "setpriority",
        "setuid",
        "ptrace",
        "mount",
        "bpf",
        "kill",
        "tkill",
        "tgkill",
    }
    faults, sizes = [], {}
    for unit, forbidden, needed in (
        (KILLER, never | {"process_mrelease"}, {"pidfd_open", "pidfd_send_signal", "landlock_add_rule"}),
        (MONITOR, signalling, {"poll", "getdents64", "getxattr", "pidfd_open", "process_mrelease"}),
    ):
        permitted = set(machine.show(unit, "SystemCallFilter")["SystemCallFilter"].split())
        sizes[unit] = len(permitted)
        if not needed <= permitted or any(name.startswith("~") for name in permitted):
            faults.append(f"{unit}: this is no list of what is permitted: {permitted}")
        faults += [f"{unit} may call {name}" for name in sorted(permitted & forbidden)]
    return {"faults": faults, "permitted_calls": sizes}


def nothing_writable():
    """Every mount that the daemons see is read-only, except /proc and the terminals."""
    faults = []
    for unit in (KILLER, MONITOR):
        lines = Path(f"/proc/{main_pid(unit)}/mountinfo").read_text().splitlines()
        uppermost = {fields[4]: fields[5].split(",") for fields in map(str.split, lines)}  # the last of a place counts
        writable = {place for place, options in uppermost.items() if "rw" in options}
        faults += [f"{unit}: {place} is writable" for place in sorted(writable - {"/proc", "/dev/pts"})]
        if len(uppermost) < 5 or "ro" not in uppermost["/"]:
            faults.append(f"{unit}: this is no table of a sandbox's mounts: {uppermost}")
    return {"faults": faults}


def handed_over_triggers():
    """systemd has OpenFile= since 253. With an older one the monitor opens the file by itself, or polls."""
    said = machine.run("journalctl", "-o", "cat", "--no-pager", f"_PID={main_pid(MONITOR)}")
    wanted = ["PSI triggers with a window of 1 s, opened with privilege"]
    if int(re.match(r"\d+", system.systemd())[0]) < 253:  # 252.39-1~deb12u2, 262-1
        wanted = ["PSI triggers with a window of 2 s", "no PSI triggers, polling instead: "]
    if any(words in said for words in wanted):
        return {"faults": []}
    lines = [line for line in said.splitlines() if "PSI" in line]
    return {"faults": [f"the monitor did not say: {' or '.join(wanted)}, but {lines}"]}


def exposure():
    """The monitor's is at most 0.6 and the lowest of all; the killer's at most 0.7: its capability counts twice."""
    units = [KILLER, MONITOR, "earlyoom.service", "systemd-oomd.service"]
    scores = {unit: _exposure_of(unit) for unit in units}
    faults = []
    if scores[MONITOR] >= min(scores["earlyoom.service"], scores["systemd-oomd.service"]):
        faults.append(f"the monitor's exposure is not the lowest: {scores}")
    if scores[KILLER] > 0.7 or scores[MONITOR] > 0.6:
        faults.append(f"the exposure of one of the units is above what THREATS.md explains: {scores}")
    return {"faults": faults, "scores": scores}


def _exposure_of(unit):
    """As systemd-analyze rates the file, masked or not, with nothing of this machine's in it."""
    file = f"/usr/lib/systemd/system/{unit}"
    text = machine.run("systemd-analyze", "security", "--no-pager", "--offline=true", file, check=False)
    return float(text.rpartition("exposure level for")[2].split(":")[1].split()[0])
