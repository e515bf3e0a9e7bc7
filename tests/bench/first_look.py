"""The first decision after a calm, which nothing has prepared: by control group, and by a walk through the whole table.

Both are measured in turn on one tree of files, so that a busy machine slows both down.
"""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from bustd_monitor.ranking.search import CandidateSearch
from bustd_monitor.ranking.terms import Terms
from bustd_monitor.sensing.group_charges import GroupCharges
from bustd_monitor.sensing.process_table import ProcessTable

from . import quiet
from .procfs_tree import tree_in_groups
from .table import Figure, against, of_samples

_MIB = 2**20
_SIZES = ((100, 10, 15), (1000, 20, 15), (10_000, 200, 30), (10_000, 2000, 60))
"""Processes, control groups, and the milliseconds that the first look may take."""


def measure(directory: Path, terms: Terms, runs: int, most_processes: int) -> list[Figure]:
    """Look `runs` times in each of the two ways, among processes of which one has to die."""
    figures = []
    terms = terms._replace(room_bytes=64 * _MIB, needed_bytes=96 * _MIB)
    for processes, groups, most_ms in (size for size in _SIZES if size[0] <= most_processes):
        by_groups, by_walk = [], []
        with tree_in_groups(directory / f"groups{groups}", processes, groups) as (proc, root), quiet.no_collection():
            for _ in range(runs):
                by_groups.append(_first_look_ms(proc, GroupCharges(root, proc), terms))
                by_walk.append(_first_look_ms(proc, None, terms))
        key, what = f"{processes}_{groups}", f"{processes:,} in {groups:,} groups"
        note = "files in place of procfs"
        look = of_samples(f"first_look_{key}", f"first look, {what}", "ms", by_groups, note=note)
        walk = of_samples(f"first_walk_{key}", f"the same by a walk, {what}", "ms", by_walk, note=note)
        ratio = Figure(f"first_share_{key}", f"look / walk, {what}", "", look.value / walk.value, note="medians")
        figures += [against(look, look.value, most_ms), walk, ratio]
    return figures


def _first_look_ms(proc: str, groups: GroupCharges | None, terms: Terms) -> float:
    """Milliseconds; the victim has to be the same."""
    with closing(ProcessTable(proc)) as table:
        search = CandidateSearch(table, groups)
        started_ns = time.perf_counter_ns()
        ranking = search.rank(terms, frozenset(), 1000)
        took_ms = (time.perf_counter_ns() - started_ns) / 1e6
    assert ranking.candidates[0].process.comm == b"large", "another process came first"
    assert groups is None or not search.has_finished_a_round, "the groups were not enough"
    return took_ms
