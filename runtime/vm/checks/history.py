"""What the blocks of one process did to global memory, for comparison with those of others.

Blocks that run in several processes do not see each other's accesses, so each process keeps, for
every cell, the first and last read and write by its own blocks. Afterwards they are compared as if
one process had run all: the last write before with the first write and the first read after (which
is none if the cell's own process wrote it first), the last read before with the first write after.
Only kernels without atomics and strong accesses to global memory run like this, so nothing orders
accesses of different blocks.

A record is the number of the access (counted within the process) and the lane of the gang.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tilewright.runtime.vm.checks.shadow import finer
from tilewright.runtime.vm.memory import Array

LANE_BITS = 18
_LANE = (1 << LANE_BITS) - 1
FIRST_READ, LAST_READ, FIRST_WRITE, LAST_WRITE = range(4)


class Cells:
    """The records of one allocation; cells are as small as the finest access."""

    def __init__(self, size: int) -> None:
        self.size, self.grain = size, 16
        self.records: Array = np.zeros((4, -(-size // self.grain) + 1), np.int64)

    def split(self, grain: int) -> None:
        """Finer cells from now on."""
        if grain < self.grain:
            self.records = finer(self.records, self.grain // grain)
            self.grain = grain


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a conflict: program counter, what it was, block, warp and lane."""

    pc: int
    what: str
    block: int
    warp: int
    lane: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two accesses to one place of an allocation by blocks that nothing orders."""

    base: int
    offset: int
    earlier: Side
    later: Side
    was_write: bool


@dataclass
class History:
    """The accesses of a process, in order; `block_lanes` are the lanes of a block."""

    block_lanes: int
    pcs: list[int] = field(default_factory=lambda: [0])
    blocks: list[int] = field(default_factory=lambda: [0])
    whats: dict[tuple[int, str], str] = field(default_factory=dict)
    cells: dict[int, Cells] = field(default_factory=dict)

    def note(
        self, base: int, size: int, offsets: Array, lanes: Array, *, unit: int, kind: str,
        at: tuple[int, str, int],
    ) -> None:  # fmt: skip
        """Lanes of the gang access `unit` bytes each of the allocation at `base`; `at` are the
        program counter, what the access is, and the gang's first block.
        """
        cells = self.cells.get(base)
        if cells is None:
            cells = self.cells[base] = Cells(size)
        cells.split(min(unit, cells.grain))
        places, per = (offsets - base) // cells.grain, unit // cells.grain
        record = lanes + (len(self.pcs) << LANE_BITS)
        if per > 1:
            places = (places[:, None] + np.arange(per)).reshape(-1)
            record = np.repeat(record, per)
        self.pcs.append(at[0])
        self.blocks.append(at[2])
        self.whats[at[0], kind] = at[1]
        first_read, last_read, first_write, last_write = cells.records
        if kind == "read":
            untouched = (first_read[places] | first_write[places]) == 0
            first_read[places[untouched]] = record[untouched]
            last_read[places] = record
        else:
            untouched = first_write[places] == 0
            first_write[places[untouched]] = record[untouched]
            last_write[places] = record

    def side(self, record: int, kind: str) -> Side:
        """Who made a recorded access."""
        number, lane = record >> LANE_BITS, record & _LANE
        block, within = divmod(lane, self.block_lanes)
        pc = self.pcs[number]
        what = self.whats[pc, kind]
        return Side(pc, what, self.blocks[number] + block, within // 32, within % 32)

    def append(self, later: History) -> None:
        """Joins the history of the blocks that come after these."""
        shift = len(self.pcs) << LANE_BITS
        self.pcs += later.pcs
        self.blocks += later.blocks
        self.whats = {**later.whats, **self.whats}
        for base, theirs in later.cells.items():
            mine = self.cells.setdefault(base, Cells(theirs.size))
            mine.split(theirs.grain)
            theirs.split(mine.grain)
            moved = np.where(theirs.records != 0, theirs.records + shift, 0)
            fresh = (mine.records[FIRST_READ] | mine.records[FIRST_WRITE]) == 0
            for row in (LAST_READ, LAST_WRITE):
                np.copyto(mine.records[row], moved[row], where=moved[row] != 0)
            np.copyto(mine.records[FIRST_READ], moved[FIRST_READ], where=fresh)
            unwritten = mine.records[FIRST_WRITE] == 0
            np.copyto(mine.records[FIRST_WRITE], moved[FIRST_WRITE], where=unwritten)


def find_conflicts(before: History, after: History) -> list[Conflict]:
    """The conflicts between two processes' blocks, one per pair of instructions, in the order of
    the later access.
    """
    found: list[tuple[int, Conflict]] = []
    for base, theirs in after.cells.items():
        mine = before.cells.get(base)
        if mine is None:
            continue
        mine.split(theirs.grain)
        theirs.split(mine.grain)
        for first, second in (
            (LAST_WRITE, FIRST_READ), (LAST_WRITE, FIRST_WRITE), (LAST_READ, FIRST_WRITE),
        ):  # fmt: skip
            earlier, later = mine.records[first], theirs.records[second]
            both = np.flatnonzero((earlier != 0) & (later != 0))
            if len(both):
                chosen = _one_per_pair(before, after, earlier[both], later[both])
                for index in chosen.tolist():
                    cell = int(both[index])
                    was_write = first == LAST_WRITE
                    conflict = Conflict(
                        base, cell * mine.grain,
                        before.side(int(earlier[cell]), "write" if was_write else "read"),
                        after.side(int(later[cell]), "read" if second == FIRST_READ else "write"),
                        was_write,
                    )  # fmt: skip
                    found.append((int(later[cell]), conflict))
    return [conflict for _, conflict in sorted(found, key=lambda pair: pair[0])]


def _one_per_pair(before: History, after: History, earlier: Array, later: Array) -> Any:
    """Of each pair of instructions the conflict that comes first."""
    first = np.array(before.pcs)[earlier >> LANE_BITS]
    second = np.array(after.pcs)[later >> LANE_BITS]
    order = np.argsort(later, kind="stable")
    pairs = np.stack([first, second], axis=1)[order]
    _, index = np.unique(pairs, axis=0, return_index=True)
    return order[index]
