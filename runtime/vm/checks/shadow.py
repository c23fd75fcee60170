"""Shadow memory: the last accesses of every cell of a region, exact to the byte.

Cells are as large as the finest access that the region has seen (at first 16 bytes, the size of
asynchronous copies and matrix rows); a smaller access splits all cells of its region. A record
packs time, agent, whether it was atomic, and the lane (32: several lanes of the warp).

    write record: in flight (1 bit) | time (31) | agent (24) | atomic (1) | lane (6)
    read record of shared memory, one per warp:  time | strong (1) | lane (6)
"""

from __future__ import annotations

import numpy as np

from tilewright.runtime.vm.memory import Array

SEVERAL = 32
ATOMIC = 1 << 6
AGENT = 7
TIME = 31
TIME_MASK = (1 << 31) - 1
FLIGHT = 1 << 62
STRONG = 1 << 6
READ_TIME = 7


class Region:
    """The cells of one allocation, or of a gang's shared memory (`columns` reading warps; 0: the
    last two readers).
    """

    def __init__(self, name: str, base: int, size: int, columns: int) -> None:
        self.name, self.base, self.size, self.columns = name, base, size, columns
        self.grain = 16
        self.clear()

    def clear(self) -> None:
        """Forgets all accesses, but not the grain."""
        cells = -(-self.size // self.grain) + 1
        self.cells = cells
        self.writes: Array = np.zeros(cells, np.int64)
        self.reads: dict[int, Array] = {}
        if self.columns:
            self.last_read: Array = np.zeros(cells, np.int64)
        else:
            self.readers: Array = np.zeros((2, cells), np.int64)

    def read_matrix(self, kind: int) -> Array:
        """Read records by warp column and cell, for one kind of agent."""
        found = self.reads.get(kind)
        if found is None:
            found = self.reads[kind] = np.zeros((self.columns, self.cells), np.int64)
        return found

    def split(self, grain: int) -> None:
        """Finer cells from now on; both halves of a cell inherit its accesses."""
        ratio = self.grain // grain
        self.grain = grain
        self.writes = np.repeat(self.writes, ratio)
        self.cells = len(self.writes)
        self.reads = {kind: np.repeat(m, ratio, axis=1) for kind, m in self.reads.items()}
        if self.columns:
            self.last_read = np.repeat(self.last_read, ratio)
        else:
            self.readers = np.repeat(self.readers, ratio, axis=1)
