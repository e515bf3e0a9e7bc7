"""A simulated machine that runs the real monitor and the real checks of the killer, without a sleep.

    with simulated(Machine(8 * GIB)) as run:     # running.py: the real Loop on the machine's files
        run.machine.start(Plan("leak", ramp(200 * MIB), starts_s=5))
        run.run(60)                              # a minute of the machine's time
        assert run.killed == ["leak"]

`proc_files` and `cgroup_files` are the one place where values become texts; `files` shows these to the real readers by
replacing functions of `os` below /proc and /sys. A reader of a file that is not there yet needs one function there.

How the model simplifies the kernel:

- Time goes by in steps of 10 ms where memory is short, and of up to 250 ms elsewhere. The pair's own work takes none.
- Memory is blocks of bytes, no pages: `memory.Block`. A block is charged to one group, and mapped by any number of
  processes. There is one zone and one node; reclaimable slab, the swap cache and Unevictable lists are left out.
- Reclaim takes cold page cache first, then swaps out (what is idle before what is touched) and drops page cache that
  programs use, a tenth as much while there is something to swap. It begins at the low watermark and ends at the high
  one. What allocates waits for it between the low and the min watermark, where the recorded machines settle.
- A program wants bytes as a function of the time that it has run, touches a share of its memory in each second, and
  waits for the disk when a part of that is missing. All of that is stall, for PSI; other waits are not simulated.
- PSI: each task's stalls are spread over the processors evenly, and independently of each other; totals, averages and
  triggers are then computed as in kernel/sched/psi.c; those of groups are sampled every 100 ms. `test_recorded.py`
  holds all this against recorded traces.
- The kernel kills where reclaim has found nothing for 0.1 s: no cache, and no swap or nothing to put there.
- A group at its memory.high or memory.max reclaims its own memory at once, and stalls; memory.low counts as memory.min.
- SIGTERM, SIGKILL and the exit take the time that `Plan` says; memory comes back bit by bit until
  the exit, or `late_s` after it.
"""
