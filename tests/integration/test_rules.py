"""What may die: the user's rules in the monitor, root's in the killer, and the next candidate after a refusal."""

import os
import re
import signal

import pytest

from tests.support import pair, victims
from tests.support.pair import ALWAYS, ONE_KILL, PERMISSIVE

HOLDER = """
# {mark}
import os, time
with open("/proc/self/comm", "wb") as comm: comm.write(b"{mark}")
kept = bytes([1]) * ({mib} << 20)
print("ready", flush=True)
time.sleep(120)
"""
MATCHERS = {"names": ["small*"], "commands": ["*# small*"]}


def holder(crew, mark: str, mib: int, **how):
    """A victim that can be recognised by its name and by its command line."""
    return crew.program(HOLDER.format(mark=mark, mib=mib), **how)


@pytest.mark.parametrize("how", ["names", "commands"])
def test_the_preferred_goes_first(crew, place, how):
    policy = {**ALWAYS, f"victims.prefer.{how}": MATCHERS[how]}
    with holder(crew, "small", 24) as small, holder(crew, "large", 48) as large:
        with pair.pair(crew, place, monitor=policy, killer=ONE_KILL) as bustd:
            assert victims.exits_within(small, 15), bustd.log()
            bustd.await_line("the killer: refused, rate")
            assert f"preferred by {how.rstrip('s')}" in bustd.await_line("floor fires")[0]
        assert victims.is_alive(large)


@pytest.mark.parametrize("how", ["names", "commands"])
def test_the_avoided_goes_last(crew, place, how):
    policy = {**ALWAYS, f"victims.avoid.{how}": MATCHERS[how]}
    with (
        holder(crew, "small", 48) as small,
        holder(crew, "other", 24) as other,
        pair.pair(crew, place, monitor=policy) as bustd,
    ):
        assert victims.exits_within(other, 15), bustd.log()
        assert f"after it {small.pid}" in bustd.await_line("floor fires")[0]
        assert victims.exits_within(small, 15), "avoided is not protected"


@pytest.mark.parametrize("how", ["names", "commands"])
def test_a_process_that_victims_never_matches_is_not_even_asked_for(crew, place, how):
    policy = {**ALWAYS, f"victims.never.{how}": MATCHERS[how]}
    with holder(crew, "small", 48) as small, holder(crew, "other", 24) as other:
        with pair.pair(crew, place, monitor=policy) as bustd:
            assert victims.exits_within(other, 15), bustd.log()
            bustd.await_line("NOBODY TO KILL")
            assert str(small.pid) not in bustd.log()
        assert victims.is_alive(small)


CLASS_PATH = """
import os, sys
if len(sys.argv) == 1:
    jars = ":".join("/opt/app/lib/dependency-%03d-1.2.3.jar" % number for number in range(200))
    os.execv(sys.executable, [sys.executable, "-I", "-c", {program!r}, "-cp", jars, "org.example.{main}"])
"""


def java(crew, main: str, mib: int):
    """A program with a command line of more than 7 KiB, in which its main class stands last."""
    program = HOLDER.format(mark="java", mib=mib)
    return crew.program(CLASS_PATH.format(program=program, main=main))


def test_a_rule_on_a_main_class_behind_a_long_class_path_is_heeded(crew, place):
    policy = {**ALWAYS, "victims.never.commands": ["*org.example.DataNode"]}
    with java(crew, "DataNode", 48) as spared, java(crew, "NameNode", 24) as other:
        with pair.pair(crew, place, monitor=policy) as bustd:
            assert victims.exits_within(other, 15), bustd.log()
            bustd.await_line("NOBODY TO KILL")
            assert str(spared.pid) not in bustd.log()
        assert victims.is_alive(spared)


def test_a_never_that_can_not_be_judged_spares_and_says_so(crew, place):
    policy = {**ALWAYS, "victims.never.commands": ["*org.example.DataNode"]}
    longer = CLASS_PATH.replace("range(200)", "range(4000)").replace('jars, "org', '*jars.split(":"), "org')
    program = HOLDER.format(mark="java", mib=48)
    with crew.program(longer.format(program=program, main="NameNode")) as spared, crew.victim(24) as other:
        with pair.pair(crew, place, monitor=policy) as bustd:
            assert victims.exits_within(other, 15), bustd.log()
            why = "never could not be judged: its command line is longer than 128 KiB"
            bustd.await_line(rf"spared: {spared.pid} \(java\) with 5\d MiB: {why}")
        assert victims.is_alive(spared)


def test_where_there_is_a_rule_in_only_no_other_process_dies(crew, place):
    with holder(crew, "small", 24) as small, holder(crew, "large", 48) as large:
        with pair.pair(crew, place, monitor={**ALWAYS, "victims.only.names": ["small"]}) as bustd:
            assert victims.exits_within(small, 15), bustd.log()
            bustd.await_line("NOBODY TO KILL")
        assert victims.is_alive(large)


@pytest.mark.root
@pytest.mark.parametrize("rule", ["prefer", "avoid", "never"])
def test_rules_by_user(place, rule):
    """The larger one belongs to root. Each rule that names root, or the user `nobody`, reverses their order."""
    crew = pair.CREWS["root"]
    named = "nobody" if rule == "prefer" else "root"
    policy = {**ALWAYS, f"victims.{rule}.users": [named]}
    with holder(crew, "roots", 48, as_nobody=False) as roots, holder(crew, "nobodys", 24) as nobodys:
        with pair.pair(crew, place, monitor=policy, killer=ONE_KILL) as bustd:
            assert victims.exits_within(nobodys, 15), bustd.log()
            bustd.await_line("NOBODY TO KILL" if rule == "never" else "the killer: refused, rate")
        assert victims.is_alive(roots)


@pytest.mark.root
@pytest.mark.parametrize("protected", ["root", "nobody"])
def test_the_killers_rules_by_user_bind_the_monitor_too(place, protected):
    crew = pair.CREWS["root"]
    with holder(crew, "roots", 24, as_nobody=False) as roots, holder(crew, "nobodys", 24) as nobodys:
        dies, lives = (nobodys, roots) if protected == "root" else (roots, nobodys)
        with pair.pair(crew, place, killer={**PERMISSIVE, "protect.users": [protected]}) as bustd:
            assert victims.exits_within(dies, 15), bustd.log()
            bustd.await_line("NOBODY TO KILL")
        assert victims.is_alive(lives)


@pytest.mark.parametrize("options", [("-u", "none|leak*"), ("--unkillables", "leak"), ("-u", "no", "-u", "?eak")])
def test_unkillables_live_although_they_are_the_largest(crew, place, options):
    with crew.victim(48) as leak, crew.victim(24, name=b"other") as other:
        with pair.pair(crew, place, *options) as bustd:
            assert victims.exits_within(other, 15), bustd.log()
            bustd.await_line("NOBODY TO KILL")
            assert "protected" not in bustd.log(), "the monitor need not be told by the killer"
        assert victims.is_alive(leak)


def test_the_killer_itself_refuses_what_a_monitor_without_the_option_asks_for(crew, place):
    with crew.victim(48) as leak, crew.victim(24, name=b"other") as other:
        with (
            pair.lone_killer(crew, place, "--protect-name", "nothing", "--protect-name", "leak*") as killer,
            pair.lone_monitor(crew, place) as monitor,
        ):
            monitor.await_line(rf"SIGTERM for {leak.pid} \(leak\)")
            monitor.await_line("the killer: refused, protected")
            killer.await_line(rf"refused SIGTERM to {leak.pid} \(leak, unit .*\) for floor: protected name leak\*")
            assert victims.exits_within(other, 15), monitor.log()
        assert victims.is_alive(leak)


def test_rules_that_can_hardly_be_meant_so_are_said_at_the_start_and_after_a_change_and_stop_nothing(crew, place):
    rules = {**ALWAYS, "victims.never.units": ["postgresql"]}
    with crew.victim(48) as leak:
        killer = {**PERMISSIVE, "protect.names": ["'X'"]}
        with pair.pair(crew, place, "-u", "^(X)$", monitor=rules, killer=killer) as bustd:
            said = bustd.await_line("bustd-killer: warning: ")[0]
            assert 'killer.toml: protect.names: "\'X\'" has quotes that are a part of it: write "X"' in said
            bustd.await_line(r'bustd-monitor: warning: .*/bustd.toml: victims.never.units: "postgresql" has no suffix')
            bustd.await_line(r'bustd-monitor: warning: command line: victims.never.names: "\^\(X\)\$" looks like')
            assert victims.exits_within(leak, 15), bustd.log()
            pair.files(place, {**ALWAYS, "victims.never.cgroups": ["system.slice"]}, killer)
            os.kill(bustd.monitor_pid(), signal.SIGHUP)
            bustd.await_line(
                r'bustd-monitor: warning: .*/bustd.toml: victims.never.cgroups: "system.slice" is no whole path'
            )


def test_a_command_says_on_standard_error_which_rules_can_hardly_be_meant_so(crew, place):
    files = pair.files(place, {**ALWAYS, "victims.never.names": ["'X'"]}, PERMISSIVE)
    result = pair.run(crew, "explain", *files, *pair.scope())
    assert result.returncode == 0
    assert result.stderr.splitlines() == [
        f'bustd: warning: {place}/bustd.toml: victims.never.names: "\'X\'" has quotes that are a part of it: write "X"'
    ]


DEAF = """
_protection = protection


def protection(process, terms):
    spared = _protection(process, terms)
    return None if spared is not None and spared.shield is Shield.NEVER else spared
"""


def test_unkillables_live_even_under_a_monitor_that_does_not_heed_them(crew, place):
    with (
        pair.planted({"bustd_monitor/ranking/what_may_die.py": DEAF}) as python,
        crew.victim(48) as leak,
        crew.victim(24, name=b"other") as other,
        pair.pair(crew, place, "-u", "leak", python=python) as bustd,
    ):
        bustd.await_line(
            rf"bustd-killer: refused SIGTERM to {leak.pid} \(leak, unit .*\) for floor: protected name leak"
        )
        assert victims.exits_within(other, 15), bustd.log()
        assert victims.is_alive(leak)


def test_on_a_refusal_the_next_candidate_is_asked_for_and_the_refused_one_not_again(crew, place):
    rules = {**ONE_KILL, "protect.names": ["first*", "second"], "rate.interval_ms": 0}
    with (
        crew.victim(60, name=b"first-one", own_group=True) as first,
        crew.victim(48, name=b"second", own_group=True) as second,
        crew.victim(34, name=b"third", own_group=True) as third,
        crew.victim(24, name=b"fourth", own_group=True) as fourth,
    ):
        with pair.lone_killer(crew, place, rules=rules) as killer, pair.lone_monitor(crew, place) as monitor:
            assert victims.exits_within(third, 15), monitor.log()
            monitor.await_line("the killer: refused, rate")
            verdicts = re.findall(r"bustd-killer: (\w+) SIGTERM to (\d+)", killer.log())
            assert all(victims.is_alive(child) for child in (first, second, fourth))
        assert verdicts == [
            ("refused", str(first.pid)),
            ("refused", str(second.pid)),
            ("signalled", str(third.pid)),
            ("refused", str(fourth.pid)),  # the rate
        ]
    said = rf"SIGTERM for {first.pid} .* after it {second.pid} \(second, 5\d MiB\), {third.pid} \(third, 3\d MiB\)"
    assert re.search(rf"floor fires: .*{said}", monitor.log())
    assert re.search(rf"asking for the next: {third.pid} \(third\) of uid", monitor.log())


def test_an_oom_score_adj_moves_the_place(crew, place):
    with crew.victim(40, name=b"larger") as larger, crew.victim(24, name=b"willing", adj=500) as willing:
        with pair.pair(crew, place, killer=ONE_KILL) as bustd:
            assert victims.exits_within(willing, 15), bustd.log()
            assert "oom_score_adj 500 +" in bustd.await_line("floor fires")[0]
            bustd.await_line("the killer: refused, rate")
        assert victims.is_alive(larger)


COMPOSITOR = """
import os, time
os.setsid()
def run(name, mib):
    pid = os.fork()
    if pid == 0:
        with open("/proc/self/comm", "wb") as comm: comm.write(name)
        kept = bytes([1]) * (mib << 20)
        os.write(ready, b".")
        time.sleep(120)
        os._exit(0)
    return pid
heard, ready = os.pipe()
with open("/proc/self/comm", "wb") as comm: comm.write({name!r})
pids = [run(b"editor-unsaved", 30), run(b"firefox", 60)]
os.read(heard, 1), os.read(heard, 1)
print(*pids, flush=True)
time.sleep(120)
"""


@pytest.mark.parametrize("name", [b"niri", b"unheard-of"])
def test_of_what_a_compositor_has_started_the_leak_dies_alone(crew, place, name):
    with crew.program(COMPOSITOR.format(name=name)) as compositor:
        editor, leak = victims.children(compositor.pid)
        with pair.pair(crew, place, "-g", killer=ONE_KILL) as bustd:
            bustd.await_line(rf"floor fires: .* SIGTERM for {leak} \(firefox\)")
            bustd.await_line("the killer: signalled 1 in")
            bustd.await_line("the victim is gone after|the victim has no memory any more")
        assert victims.is_alive(compositor)
        assert victims.start_ticks(editor)
