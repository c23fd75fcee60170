"""Counters of memory traffic, per access line: sectors of global requests, wavefronts of shared
ones.

A global request of a warp moves the 32-byte sectors that it touches. A shared request is served in
phases (32 lanes of up to 4 bytes, 16 of 8, 8 of 16); each phase takes as many wavefronts as the
fullest of the 32 four-byte banks has different words. Patterns repeat in loops, so results are
remembered by the pattern of offsets. The footprint of a launch is what memory must move at least.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilewright.runtime.vm.memory import Array


@dataclass
class Line:
    """What one PTX line did."""

    space: str
    kind: str
    requests: int = 0
    bytes: int = 0
    sectors: int = 0
    ideal_sectors: int = 0
    wavefronts: int = 0
    ideal_wavefronts: int = 0

    @property
    def efficiency(self) -> float:
        """Requested bytes over moved bytes (global), ideal over actual wavefronts (shared)."""
        if self.space == "global":
            return self.bytes / (32 * self.sectors) if self.sectors else 1.0
        return self.ideal_wavefronts / self.wavefronts if self.wavefronts else 1.0

    @property
    def conflicts(self) -> int:
        """Wavefronts beyond the ideal: bank conflicts."""
        return self.wavefronts - self.ideal_wavefronts


def count_sectors(offsets: Array, warps: Array, size: int) -> tuple[int, int]:
    """Sectors that the warps' requests touch, and the fewest that could hold as many different
    bytes.
    """
    unit = min(size, 32)
    first = offsets // 32
    last = (offsets + size - 1) // 32
    sectors = np.concatenate([first, last[last != first]])
    owners = np.concatenate([warps, warps[last != first]])
    touched = len(np.unique(owners * (1 << 44) + sectors))
    places = np.unique(warps * (1 << 48) + offsets)
    ideal = np.bincount(places >> 48) * unit
    return touched, int((-(-ideal // 32)).sum())


def count_wavefronts(offsets: Array, lanes: Array, size: int) -> tuple[int, int]:
    """Wavefronts of shared accesses, and the phases that would suffice without conflicts."""
    per_phase = {8: 16, 16: 8}.get(size, 32)
    phases = lanes // per_phase
    words = (offsets >> 2)[:, None] + np.arange(max(size // 4, 1))
    keys = np.unique(phases[:, None] * (1 << 32) + words)
    phase, bank = keys >> 32, keys & 31
    counts = np.bincount(phase * 32 + bank, minlength=(int(phase.max()) + 1) * 32).reshape(-1, 32)
    return int(counts.max(axis=1).sum()), len(np.unique(phases))


@dataclass(frozen=True, slots=True)
class Pattern:
    """What all steps have in common whose offsets, counted from a multiple of 128, are equal.

    `low` and `high` bound the bytes, `bits` is the union of all offsets (which shows alignment),
    `sectors` are the different 32-byte sectors of a global access.
    """

    serial: int
    requests: int
    moved: int
    ideal: int
    low: int
    high: int
    bits: int
    sectors: Array


class Footprint:
    """Which sectors of global memory were read and which written, once each."""

    def __init__(self) -> None:
        self.marks: dict[bool, Array] = {side: np.zeros(1024, np.bool_) for side in (False, True)}

    def mark(self, kind: str, offsets: Array) -> None:
        """Some accesses, each within one sector; an atomic one reads and writes."""
        sectors = offsets >> 5
        self.mark_sectors(kind, sectors, int(np.maximum.reduce(sectors)))

    def mark_sectors(self, kind: str, sectors: Array, most: int) -> None:
        """Sectors of some accesses, none above `most`."""
        for side in (False, True):
            if kind == "atomic" or side == (kind == "write"):
                if most >= len(self.marks[side]):
                    grown = np.zeros(2 * most + 2, np.bool_)
                    grown[: len(self.marks[side])] = self.marks[side]
                    self.marks[side] = grown
                self.marks[side][sectors] = True

    def join(self, other: Footprint) -> None:
        """Adds what somebody else touched."""
        for side, marks in other.marks.items():
            mine = self.marks[side]
            if len(mine) < len(marks):
                mine, marks = marks, mine
            np.logical_or(mine[: len(marks)], marks, mine[: len(marks)])
            self.marks[side] = mine

    def count(self) -> dict[str, int]:
        """How many different sectors."""
        reads, writes = (int(np.count_nonzero(self.marks[side])) for side in (False, True))
        return {"read_sectors": reads, "written_sectors": writes}


Key = tuple[int, bool, int, bytes]


class Traffic:
    """The lines of a launch."""

    def __init__(self) -> None:
        self.footprint = Footprint()
        self.lines: dict[tuple[int, str], Line] = {}
        self.memory: dict[Key, Pattern] = {}
        self.serial = 0
        self.copied: dict[str, int] = {"plain": 0, "cp.async": 0, "bulk": 0}

    def line(self, line: int, space: str, kind: str) -> Line:
        """The record of a PTX line and space."""
        found = self.lines.get((line, space))
        if found is None:
            found = self.lines[line, space] = Line(space, kind)
        return found

    def count(self, record: Line, offsets: Array, lanes: Array | None, size: int) -> None:
        """Adds one step; `lanes` are the lanes of the offsets (None: 0, 1, 2, …)."""
        if record.space == "local":
            record.bytes += size * len(offsets)
            return
        key, base = self.look(record.space, offsets, lanes, size)
        pattern = self.memory.get(key) or self.learn(key, offsets - base, lanes)
        self.add(record, pattern, base, size * len(offsets))

    def look(self, space: str, offsets: Array, lanes: Array | None, size: int) -> tuple[Key, int]:
        """The key of a step's pattern in `memory`, and where the pattern begins."""
        base = offsets.item(0) & ~127
        raw = (offsets - base).tobytes()
        if lanes is not None:
            raw += lanes.tobytes()
        return (size, space == "global", len(offsets), raw), base

    def learn(self, key: Key, offsets: Array, lanes: Array | None) -> Pattern:
        """A pattern that is new: its offsets must be inside of their space."""
        size, is_global = key[0], key[1]
        if lanes is None:
            lanes = np.arange(len(offsets))
        warps = lanes // 32
        if is_global:
            moved, ideal = count_sectors(offsets + (1 << 40), warps, size)
        else:
            moved, ideal = count_wavefronts(offsets + (1 << 20), lanes, size)
        self.serial += 1
        if len(self.memory) > 20_000:
            self.memory.clear()
        found = self.memory[key] = Pattern(
            self.serial, len(np.unique(warps)), moved, ideal,
            int(offsets.min()), int(offsets.max()) + size, int(np.bitwise_or.reduce(offsets)),
            np.unique(offsets >> 5),
        )  # fmt: skip
        return found

    def add(self, record: Line, pattern: Pattern, base: int, size: int) -> None:
        """Adds one step of a known pattern, `size` bytes in all."""
        record.bytes += size
        record.requests += pattern.requests
        if record.space == "global":
            record.sectors += pattern.moved
            record.ideal_sectors += pattern.ideal
            first = base >> 5
            most = first + (pattern.high >> 5)
            self.footprint.mark_sectors(record.kind, pattern.sectors + first, most)
        else:
            record.wavefronts += pattern.moved
            record.ideal_wavefronts += pattern.ideal
