"""Who has read global memory: any number of unordered readers per cell.

A region has as many planes of read records as its most read cell has unordered readers; planes
after the first are rarely touched, and untouched ones take no memory. A read takes the first plane
whose record it makes superfluous: an empty one, one that its reader knows of, one of its own warp,
or a second one of gangs that have ended (a later gang is ordered behind all of those or none).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tilewright.runtime.vm.checks import shadow
from tilewright.runtime.vm.checks.shadow import Region
from tilewright.runtime.vm.memory import Array

Known = Callable[[Array, Array], Array]
"""`known(records, elements)`: which records the readers of these elements know."""


def record_readers(
    region: Region, planes: list[Array], reads: tuple[Array, Array], known: Known, base: int
) -> None:
    """Notes reads (cells and records, element by element); agents below `base` have ended."""
    cells, records = reads
    pending = np.arange(len(cells))
    ended = np.full(len(cells), -1)  # the plane of an ended gang's record
    level = 0
    while len(pending):
        if level == len(planes):
            planes.append(np.zeros(region.cells, np.int64))
        plane = planes[level]
        old = plane[cells[pending]]
        takes = old == 0
        if not takes.all():
            past = _compare(records, (old, pending, takes), ended, known, base)
            _keep_latest(planes, cells, (pending[past], old[past]), ended, level)
        chosen = pending[takes]
        plane[cells[chosen]] = records[chosen]
        winners = plane[cells[chosen]]
        lost = winners != records[chosen]
        if lost.any():
            losers, winners = chosen[lost], winners[lost]
            mates = (winners ^ records[losers]) & ~np.int64(63) == 0
            plane[cells[losers[mates]]] = records[losers[mates]] & ~np.int64(63) | shadow.SEVERAL
            pending = np.concatenate([pending[~takes], losers[~mates]])
        else:
            pending = pending[~takes]
        level += 1


def _compare(
    records: Array, at: tuple[Array, Array, Array], ended: Array, known: Known, base: int
) -> Array:
    """Marks in `takes` which old records the new ones make superfluous; gives those of gangs that
    have ended.
    """
    old, pending, takes = at
    busy = np.flatnonzero(~takes)
    before, elements = old[busy], pending[busy]
    agents = before >> shadow.AGENT & shadow.AGENTS
    past = agents < base
    takes[busy] = past & (ended[elements] >= 0)
    new = records[elements]
    strong = (before & shadow.ATOMIC != 0) | (new & shadow.ATOMIC == 0)
    mate = (agents == new >> shadow.AGENT & shadow.AGENTS) & strong
    learned = known(before, elements) & strong
    takes[busy] |= learned | mate
    several = mate & ~learned & ((before ^ new) & 63 != 0)
    if several.any():
        records[elements[several]] = new[several] & ~np.int64(63) | shadow.SEVERAL
    return busy[past]


def _keep_latest(
    planes: list[Array], cells: Array, at: tuple[Array, Array], ended: Array, level: int
) -> None:
    """Of several records of gangs that have ended, the latest stays, in the first one's plane."""
    elements, old = at
    for first in np.unique(ended[elements]).tolist():
        chosen = ended[elements] == first
        if first >= 0:
            places = cells[elements[chosen]]
            planes[first][places] = np.maximum(planes[first][places], old[chosen])
        else:
            ended[elements[chosen]] = level
