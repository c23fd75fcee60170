"""Replays one warp of a recording: pieces of work, matrix instructions and waiting, in order.

The clock needs no record of its own: code advances it by its length, a wait sets it. A wait begins
at its own instruction; where the warp polled before it succeeded, what was recorded since then were
the polls, and is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.program import Program
from tilewright.runtime.vm.timeline.kinds import BARRIER, KINDS, MMA, NUMBER, WORK
from tilewright.runtime.vm.timeline.recording import Recording

GAP = 4  # instructions between two of mma.sync that are still drawn as one piece


@dataclass(slots=True)
class Piece:
    """A kind from step `start` to `end`, at the instructions `first` to `last`."""

    kind: str
    start: int
    end: int
    first: int
    last: int


@dataclass(frozen=True)
class Path:
    """What one warp did: its runs of code, and its waits with the number of runs before each
    (`place`) and whether they lie inside of the last of those.
    """

    starts: Array
    sizes: Array
    waits: Array  # kind, pc, since, until, place, is inside

    @property
    def key(self) -> tuple[bytes, bytes, bytes]:
        """Equal for warps that did the same at the same steps."""
        return self.starts.tobytes(), self.sizes.tobytes(), self.waits.tobytes()


def find_path(recording: Recording, warp: int) -> Path:
    """The runs and waits of a warp."""
    holds = np.array([bool((warps == warp).any()) for warps in recording.members], np.bool_)
    index = np.flatnonzero(holds[recording.sets]) if len(holds) else np.zeros(0, np.int64)
    starts, sizes = recording.starts[index], recording.sizes[index]
    waits = recording.waits
    mine = waits.warp == warp
    kind, pc, after = waits.kind[mine], waits.pc[mine], waits.after[mine]
    place = np.searchsorted(index, after)
    inside = (place > 0) & (kind != NUMBER[BARRIER.name])
    if len(index):
        last = np.maximum(place - 1, 0)
        inside &= (index[last] == after - 1) & (starts[last] <= pc)
        inside &= pc < starts[last] + sizes[last]
    columns = kind, pc, waits.since[mine], waits.until[mine], place, inside.astype(np.int64)
    return Path(starts, sizes, np.stack(columns))


@dataclass
class Walk:
    """Turns paths into pieces; remembers where a program's matrix instructions stand."""

    program: Program
    known: dict[tuple[int, int], list[tuple[str, int, int]]] = field(default_factory=dict)

    def replay(self, path: Path) -> list[Piece]:
        """The pieces of a path."""
        pieces: list[Piece] = []
        starts, sizes = path.starts.tolist(), path.sizes.tolist()
        at = done = clock = 0  # the present run, its instructions that are done, the step
        for kind, pc, since, until, place, inside in path.waits.T.tolist():
            stop = place - 1 if inside else place
            while at < stop:
                clock = self.work(pieces, starts[at] + done, sizes[at] - done, clock)
                at, done = at + 1, 0
            if inside:
                begin = starts[at] + done
                self.work(pieces, begin, pc - begin, clock)
                done = pc + 1 - starts[at]
            _cut(pieces, since)
            pieces.append(Piece(KINDS[kind].name, since, until, pc, pc))
            clock = until
        for begin, size in zip(starts[at:], sizes[at:], strict=True):
            clock = self.work(pieces, begin + done, size - done, clock)
            done = 0
        return pieces

    def work(self, pieces: list[Piece], begin: int, size: int, clock: int) -> int:
        """Adds straight code; returns the step at which it ends."""
        if size <= 0:
            return clock
        parts = self.known.get((begin, size))
        if parts is None:
            parts = self.known[begin, size] = self._split(begin, size)
        for kind, offset, length in parts:
            start, first = clock + offset, begin + offset
            last = pieces[-1] if pieces else None
            if last is not None and last.kind == kind and last.end == start:
                last.end = start + length
                last.first = min(last.first, first)
                last.last = max(last.last, first + length - 1)
            else:
                pieces.append(Piece(kind, start, start + length, first, first + length - 1))
        return clock + size

    def _split(self, begin: int, size: int) -> list[tuple[str, int, int]]:
        """Stretches of matrix instructions within straight code: kind, offset, length."""
        code = self.program.instructions[begin : begin + size]
        marks = [offset for offset, ins in enumerate(code) if ins.opcode == "mma"]
        parts: list[tuple[str, int, int]] = []
        at = 0
        for mark in marks:
            if parts and parts[-1][0] == MMA.name and mark - at < GAP:
                _, first, _ = parts[-1]
                parts[-1] = MMA.name, first, mark + 1 - first
            else:
                if mark > at:
                    parts.append((WORK.name, at, mark - at))
                parts.append((MMA.name, mark, 1))
            at = mark + 1
        if size > at:
            parts.append((WORK.name, at, size - at))
        return parts


def _cut(pieces: list[Piece], since: int) -> None:
    """Drops what lies behind a step."""
    while pieces and pieces[-1].start >= since:
        pieces.pop()
    if pieces:
        pieces[-1].end = min(pieces[-1].end, since)
