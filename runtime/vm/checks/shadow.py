"""Shadow memory: the last accesses of every cell of a region, exact to the byte.

Cells are as large as the finest access that the region has seen (at first 16 bytes, the size of
asynchronous copies and matrix rows); a smaller access splits all cells of its region. Arrays are
made when first needed and zeroed by the operating system page by page, so that what nobody touches
takes no memory. A record packs time, agent, whether it was strong (atomic, volatile, relaxed, …)
and within one block's scope only, and the lane.

    write record: in flight (1 bit) | time (31) | narrow (1) | agent (23) | strong (1) | lane (6)
    read record of shared memory, one per warp:  time (30) | strong (1) | lanes (32)
"""

from __future__ import annotations

import numpy as np

from tilewright.runtime.vm.memory import Array

SEVERAL = 32
ATOMIC = 1 << 6
AGENT = 7
AGENTS = (1 << 23) - 1
NARROW = 1 << 30
TIME = 31
TIME_MASK = (1 << 31) - 1
FLIGHT = 1 << 62
STRONG = 1 << 32
MEMBERS = (1 << 32) - 1
READ_TIME = 33
_CHUNK = 1 << 13  # cells that splitting looks at together


class Region:
    """The cells of one allocation, or of a gang's shared memory (`columns` reading warps; 0: any
    number of readers, in planes).
    """

    def __init__(self, name: str, base: int, size: int, columns: int) -> None:
        self.name, self.base, self.size, self.columns = name, base, size, columns
        self.grain, self.shift = 16, 4
        self.clear()

    def clear(self) -> None:
        """Forgets all accesses, but not the grain."""
        self.cells = -(-self.size // self.grain) + 1
        self.writes: Array | None = None
        self.plain: Array | None = None  # plain writes that strong ones have hidden in `writes`
        self.reads: dict[int, Array] = {}
        self.last_read: Array | None = None
        self.readers: list[Array] = []
        self.atomics: list[Array] = []

    def written(self) -> Array:
        """The write records by cell."""
        if self.writes is None:
            self.writes = np.zeros(self.cells, np.int64)
        return self.writes

    def hidden(self) -> Array:
        """The plain write records behind strong ones, by cell."""
        if self.plain is None:
            self.plain = np.zeros(self.cells, np.int64)
        return self.plain

    def read_matrix(self, kind: int) -> Array:
        """Read records by warp column and cell, for one kind of agent."""
        found = self.reads.get(kind)
        if found is None:
            found = self.reads[kind] = np.zeros((self.columns, self.cells), np.int64)
        return found

    def last_reads(self) -> Array:
        """The time of the last read, by cell."""
        if self.last_read is None:
            self.last_read = np.zeros(self.cells, np.int64)
        return self.last_read

    def split(self, grain: int) -> None:
        """Finer cells from now on; all parts of a cell inherit its accesses."""
        ratio = self.grain // grain
        self.grain, self.shift = grain, grain.bit_length() - 1
        self.cells *= ratio
        for name in ("writes", "plain", "last_read"):
            records = getattr(self, name)
            if records is not None:
                setattr(self, name, finer(records, ratio))
        self.readers = [finer(plane, ratio) for plane in self.readers]
        self.atomics = [finer(plane, ratio) for plane in self.atomics]
        self.reads = {kind: finer(m, ratio) for kind, m in self.reads.items()}


def finer(records: Array, ratio: int) -> Array:
    """Each record (along the last axis) `ratio` times; stretches without any stay untouched
    memory.
    """
    cells = records.shape[-1]
    found: Array = np.zeros((*records.shape[:-1], cells * ratio), np.int64)
    for start in range(0, cells, _CHUNK):
        part = records[..., start : start + _CHUNK]
        if part.any():
            stop = (start + part.shape[-1]) * ratio
            found[..., start * ratio : stop] = np.repeat(part, ratio, axis=-1)
    return found
