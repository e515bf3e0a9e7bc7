"""The model itself: what counts once, what comes back, what a limit does, and that the real readers read its files."""

import itertools

import pytest

from bustd_monitor.sensing.meminfo import parse_unfreeable
from bustd_monitor.sensing.process_table import ProcessTable
from bustd_monitor.sensing.sensor import Sensor
from bustd_monitor.sensing.watermarks import watermark_bytes
from bustd_shared.kernel import cgroups
from bustd_shared.kernel.cgroup_memory import GroupFiles, parse_stat
from bustd_shared.kernel.process import read_file, read_process

from . import proc_files
from .files import shown
from .machine import Machine
from .memory import GIB, MIB, Kind
from .pressure import Trigger
from .processes import Plan, ramp
from .programs import forks, swaps_off
from .running import HIERARCHY


def held_by(machine, name):
    """Held bytes as the killer reads them, of each process of this name."""
    with shown(machine):
        pids = [process.pid for process in machine.living() if process.plan.name == name]
        return [read_process(pid).status.held_bytes for pid in pids]


def test_a_forked_copy_shows_its_parents_memory_and_takes_none():
    machine = Machine(GIB)
    machine.start(Plan("server", 200 * MIB, busy=0.1, does=forks(Plan("copy", copies=True, files=0), 3)))
    free = machine.free
    machine.advance(1)
    assert machine.free == pytest.approx(free, abs=MIB)
    assert held_by(machine, "copy") == [pytest.approx(200 * MIB, rel=0.01)] * 3  # and page tables


def test_what_two_map_comes_back_with_the_last_of_them():
    machine = Machine(GIB)
    segment = machine.segment(300 * MIB)
    pids = [machine.start(Plan(f"one-{number}", MIB, maps=segment)).pid for number in range(2)]
    free = machine.free
    machine.signal(pids[0], 9, "test")
    machine.advance(1)
    assert machine.free == pytest.approx(free, abs=10 * MIB)
    machine.signal(pids[1], 9, "test")
    machine.advance(1)
    assert machine.free == pytest.approx(free + 300 * MIB, abs=20 * MIB)


def test_a_process_that_shares_the_memory_of_another_frees_none_of_it():
    machine = Machine(GIB)
    parent = machine.start(Plan("parent", 300 * MIB))
    child = machine.start(Plan("child", shares=True, parent=parent))
    assert held_by(machine, "child") == [pytest.approx(300 * MIB, rel=0.01)]
    free = machine.free
    machine.signal(child.pid, 9, "test")
    machine.advance(1)
    assert machine.free == free
    assert machine.deaths[0].freed == 0


@pytest.mark.parametrize("kind", [Kind.TMPFS, Kind.SEGMENT])
def test_files_of_a_tmpfs_and_segments_outlive_what_maps_them(kind):
    machine = Machine(GIB)
    holder = machine.start(Plan("holder", MIB, maps=machine.segment(300 * MIB, kind)))
    machine.signal(holder.pid, 9, "test")
    machine.advance(1)
    assert machine.totals().shmem == 300 * MIB


def test_an_exit_gives_memory_back_bit_by_bit_and_shows_none_from_the_start():
    machine = Machine(16 * GIB)
    large = machine.start(Plan("large", 8 * GIB))
    free = machine.free
    machine.signal(large.pid, 9, "test")
    machine.advance(0.5)
    assert held_by(machine, "large") == [None]
    assert free + 3 * GIB < machine.free < free + 5 * GIB
    machine.advance(0.6)
    assert large.pid not in machine.processes
    assert machine.free == pytest.approx(free + 8 * GIB, rel=0.01)


def test_memory_can_come_back_later_than_the_pid_goes():
    machine = Machine(GIB)
    late = machine.start(Plan("late", 300 * MIB, late_s=1.0))
    free = machine.free
    machine.signal(late.pid, 9, "test")
    machine.advance(0.5)
    assert late.pid not in machine.processes
    assert machine.free == free
    machine.advance(1)
    assert machine.free > free + 290 * MIB


def test_a_stopped_process_obeys_sigterm_when_it_goes_on():
    machine = Machine(GIB)
    stopped = machine.start(Plan("stopped", MIB))
    machine.signal(stopped.pid, 19, "")
    machine.signal(stopped.pid, 15, "test")
    machine.advance(5)
    assert stopped.is_alive
    machine.signal(stopped.pid, 18, "")
    machine.advance(1)
    assert not stopped.is_alive


def test_what_is_idle_is_swapped_out_before_what_is_touched():
    machine = Machine(GIB, swap=GIB, cache=0)
    idle = machine.start(Plan("idle", 300 * MIB))
    touched = machine.start(Plan("touched", 300 * MIB, busy=0.5, touches=0.5))
    machine.start(Plan("leak", ramp(50 * MIB), busy=0.5))
    machine.advance(60, lambda: machine.swapped_out > 200 * MIB)
    assert idle.space.private.swapped > 3 * touched.space.private.swapped


def test_zram_takes_memory_for_what_it_stores():
    machine = Machine(GIB, swap=GIB, zram_ratio=2.0, cache=0)
    machine.start(Plan("leak", ramp(100 * MIB), busy=0.5))
    machine.advance(12)
    used = machine.swap_used
    assert used > 100 * MIB
    assert machine.zram_pool(used) == pytest.approx(used / 2)
    assert read_swap_stat(machine)[0] == int(used)


def read_swap_stat(machine):
    with shown(machine):
        return [int(word) for word in read_file("/sys/block/zram0/mm_stat").split()[:2]]


def test_swapoff_brings_back_what_was_swapped_out():
    machine = Machine(4 * GIB, swap=GIB)
    holder = machine.start(Plan("holder", 500 * MIB))
    holder.space.private.resident, holder.space.private.swapped = 200 * MIB, 300 * MIB
    machine.start(Plan("swapoff", 8192, busy=0.5, does=swaps_off(0.0)))
    machine.advance(5)
    assert machine.swap_used < MIB
    assert machine.swap_total < MIB
    assert holder.space.private.resident == pytest.approx(500 * MIB, rel=0.01)


def throttled() -> Machine:
    """A container of 60 MiB that reads 120 MiB over and over, on a machine with much memory."""
    machine = Machine(4 * GIB, disk_per_s=20 * MIB)
    machine.start(Plan("database", GIB))
    machine.group("/system.slice/container.service", high=60.0 * MIB)
    machine.start(Plan("container", 10 * MIB, files=120 * MIB, busy=1.0, touches=5.0, starts_s=0.5))
    machine.advance(20)
    return machine


def test_a_group_at_its_own_limit_stalls_itself_and_the_machine_reclaims_nothing():
    machine = throttled()
    group = machine.hierarchy.find("/system.slice/container.service")
    assert group.met["high"] > 100
    assert group.stalls.some_avg10 > 50
    assert group.usage <= 61 * MIB
    assert machine.by_kswapd + machine.by_direct == 0
    assert machine.direct_stalls == 0
    assert machine.cold == pytest.approx(0.1 * machine.ram)
    assert machine.stalls.some_avg10 > 50
    assert machine.available > 2 * GIB


def test_the_real_readers_read_the_files_of_a_group():
    machine = throttled()
    with shown(machine):
        files = GroupFiles(HIERARCHY, "/system.slice/container.service")
        memory = files.read()
        files.close()
        stat = parse_stat(read_file(f"{HIERARCHY}/system.slice/container.service/memory.stat"))
        members = cgroups.members(HIERARCHY, "/system.slice")
        events = read_file(f"{HIERARCHY}/system.slice/container.service/memory.events.local")
    assert memory.meminfo.total == 60 * MIB
    assert memory.pressure.some_avg10 > 50
    assert memory.stat.refaults_file > 50 * MIB
    assert stat.anonymous == pytest.approx(10 * MIB, abs=4096)
    assert len(members) == 2
    assert b"\nhigh 0\n" not in events


def test_a_group_at_its_hard_limit_loses_a_process_of_its_own():
    machine = Machine(4 * GIB)
    machine.start(Plan("database", GIB))
    machine.group("/system.slice/leak.service", max=200.0 * MIB)
    machine.start(Plan("leak", ramp(100 * MIB), busy=0.5))
    machine.advance(10)
    assert [death.process.plan.name for death in machine.deaths] == ["leak"]
    assert machine.hierarchy.find("/system.slice/leak.service").met["oom_kill"] == 1
    assert machine.kernel_kills == 0


def test_what_memory_min_holds_back_is_not_reclaimed_and_the_kernel_kills():
    machine = Machine(GIB, cache=0)
    machine.group("/system.slice/cache.service", min=400.0 * MIB)
    machine.start(Plan("cache", 10 * MIB, files=390 * MIB))
    machine.start(Plan("leak", ramp(50 * MIB), busy=0.5))
    kept = machine.totals().files
    machine.advance(60, lambda: machine.free < machine.low_mark)
    machine.advance(1)
    assert machine.totals().files > kept - 20 * MIB
    assert machine.available > 0.1 * machine.ram  # which no program can have


def test_the_readings_of_the_sensor_are_the_machines_own():
    machine = Machine(4 * GIB, swap=GIB, hugetlb=100 * MIB)
    machine.start(Plan("program", 500 * MIB, shared=200 * MIB))
    with shown(machine):
        sensor = Sensor()
        reading, rough = sensor.read(), sensor.read(10)
        sensor.close()
        assert watermark_bytes(reading.ram) == pytest.approx(machine.reserve, abs=4096)
    assert reading.ram == 4 * GIB
    assert reading.available == pytest.approx(machine.available, abs=4096)
    assert reading.total == pytest.approx(machine.available + 500 * MIB, abs=4096)
    assert (reading.shared, reading.hugetlb, reading.swap_usable) == (200 * MIB, 100 * MIB, 700 * MIB)
    assert (rough.is_whole, rough.free) == (False, pytest.approx(machine.free, abs=4096))
    assert parse_unfreeable(proc_files.meminfo(machine)).shared == 200 * MIB


def test_the_process_table_lists_scores_and_reads_the_programs():
    machine = Machine(GIB)
    large, small = machine.start(Plan("large", 300 * MIB)), machine.start(Plan("small", 10 * MIB, adj=-1000))
    with shown(machine):
        table = ProcessTable(hierarchy=HIERARCHY)
        pids = table.walk(100)
        process = table.read(large.pid, table.score(large.pid))
        scores = [table.score(pid) for pid in pids]
        machine.start(Plan("new", MIB))
        newcomers = table.newcomers()
        age_ms = table.age_ms(process)
        table.close()
    assert pids == [large.pid, small.pid]
    assert scores[0] > 666 + 180
    assert scores[1] == 0
    assert (process.held_bytes, process.unit, process.whole) == (
        pytest.approx(300 * MIB, rel=0.01),
        "large.service",
        "/system.slice/large.service",
    )
    assert machine.last_pid in newcomers
    assert age_ms > 500_000


def test_a_trigger_fires_once_in_a_window_in_which_tasks_stalled_for_long_enough():
    trigger = Trigger(0.1)
    fired = [tick / 10 for tick in range(60) if trigger.fires(tick / 10, max(tick / 10 - 2, 0) * 0.2)]
    assert fired[0] == pytest.approx(2.5, abs=0.2)
    assert all(later - earlier > 0.99 for earlier, later in itertools.pairwise(fired))
    patient = Trigger(0.1)
    assert not any(patient.fires(tick / 10, tick / 10 * 0.05) for tick in range(60))


def test_what_is_not_simulated_is_left_to_the_real_functions(tmp_path):
    (tmp_path / "real").write_text("real")
    with shown(Machine(GIB)):
        assert read_file(str(tmp_path / "real")) == b"real"
        assert read_file("/proc/no-such-file") is None
