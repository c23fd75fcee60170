"""From recordings to spans: the tracks of a block, and what lies on each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tilewright.runtime.vm.faults import Place
from tilewright.runtime.vm.program import Program
from tilewright.runtime.vm.timeline.counting import find_stages
from tilewright.runtime.vm.timeline.kinds import (
    ASYNCHRONOUS,
    BULK_COPY,
    BULK_STORE,
    CP_ASYNC,
    KINDS,
    MMA,
    NUMBER,
    WARP_KINDS,
    WGMMA,
    WORK,
)
from tilewright.runtime.vm.timeline.recording import NEVER, Recording
from tilewright.runtime.vm.timeline.walk import Piece, Walk, find_path

Block = tuple[int, int, int]
TOLERANCE = 500  # warps that differ by less than this part of the run share a track


@dataclass(frozen=True, slots=True)
class Span:
    """Something that takes virtual steps, `start` up to `end`.

    `track` is its row in the chart; `line` the PTX line (of work: the first), `source` the source
    line; `block` grid coordinates and `warps` the warps within the block. Asynchronous work has
    `bytes`, the number of instructions `count`, and the step `waited` at which a wait covered it.
    """

    track: str
    kind: str
    start: int
    end: int
    line: int
    source: str | None
    block: Block
    warps: tuple[int, ...]
    label: str
    bytes: int = 0
    count: int = 1
    waited: int | None = None


@dataclass(frozen=True, slots=True)
class Level:
    """The stages of one kind of work in flight in a block: (step, number) where it changes."""

    track: str
    kind: str
    block: Block
    steps: tuple[tuple[int, int], ...]

    @property
    def most(self) -> int:
        """The deepest."""
        return max((number for _, number in self.steps), default=0)


class Reader:
    """Reads the blocks of one recording."""

    def __init__(self, recording: Recording, program: Program) -> None:
        self.recording, self.program = recording, program
        self.walk = Walk(program)

    def horizon(self, block: int) -> int:
        """The last step of a block."""
        low = block * self.recording.block_warps
        return int(self.recording.clock[low : low + self.recording.block_warps].max(initial=0))

    def spans(self, block: int) -> Iterator[Span]:
        """Everything in one block (by number within the gang), track by track."""
        for warps, pieces in self._tracks(block):
            track = f"warps {ranges(warps)}" if len(warps) > 1 else f"warp {warps[0]}"
            role = self._role(block, warps, pieces)
            name = f"{track} · {role}" if role else track
            for piece in pieces:
                yield self._span(name, piece, block, warps)
        for kind in ASYNCHRONOUS:
            yield from self._work(block, NUMBER[kind.name])

    def _span(self, track: str, piece: Piece, block: int, warps: tuple[int, ...]) -> Span:
        first, last = self._place(piece.first), self._place(piece.last)
        label = first.text
        if piece.kind in (WORK.name, MMA.name) and last.line > first.line:
            label = f"PTX lines {first.line} to {last.line}"
        return Span(
            track, piece.kind, piece.start, piece.end, first.line, first.source,
            self.recording.blocks[block], warps, label,
        )  # fmt: skip

    def _place(self, pc: int) -> Place:
        return self.program.place(pc)

    # -- warps -------------------------------------------------------------------------------

    def _tracks(self, block: int) -> list[tuple[tuple[int, ...], list[Piece]]]:
        """Warps that do the same at (nearly) the same steps, with what the first of them does."""
        count = self.recording.block_warps
        same: dict[object, list[int]] = {}
        paths = {}
        for warp in range(count):
            path = find_path(self.recording, block * count + warp)
            same.setdefault(path.key, []).append(warp)
            paths[warp] = path
        near = max(self.horizon(block) // TOLERANCE, 1)
        tracks: list[tuple[list[int], list[Piece]]] = []
        for warps in same.values():
            pieces = self.walk.replay(paths[warps[0]])
            for others, known in tracks:
                if _alike(known, pieces, near):
                    others.extend(warps)
                    break
            else:
                tracks.append((warps, pieces))
        return [(tuple(sorted(warps)), pieces) for warps, pieces in tracks]

    def _role(self, block: int, warps: tuple[int, ...], pieces: list[Piece]) -> str:
        """What a group of warps is there for."""
        work = self.recording.operations
        own = np.array(warps) + block * self.recording.block_warps
        roles = []
        if np.isin(work.warp[_is(work.kind, CP_ASYNC.name, BULK_COPY.name)], own).any():
            roles.append("load")
        leaders = work.warp[work.kind == NUMBER[WGMMA.name]]
        members = (leaders[:, None] + np.arange(4)).reshape(-1)
        if np.isin(members, own).any() or any(piece.kind == MMA.name for piece in pieces):
            roles.append("math")
        if np.isin(work.warp[work.kind == NUMBER[BULK_STORE.name]], own).any():
            roles.append("store")
        return ", ".join(roles)

    # -- asynchronous work -------------------------------------------------------------------

    def _work(self, block: int, kind: int) -> Iterator[Span]:
        """The stages of one kind of work in a block."""
        work, count = self.recording.operations, self.recording.block_warps
        rows = np.flatnonzero((work.block == block) & (work.kind == kind))
        name, horizon = KINDS[kind].name, self.horizon(block)
        merges = name in (CP_ASYNC.name, BULK_COPY.name)
        stages: dict[tuple[int, bool, int], list[int]] = {}
        for row in rows.tolist():
            queue = 0 if merges else int(work.warp[row])
            key = queue, bool(work.by_phase[row]), int(work.group[row])
            stages.setdefault(key, []).append(row)
        for (queue, _, _), own in sorted(
            stages.items(), key=lambda s: int(work.issued[s[1]].min())
        ):
            start, end = int(work.issued[own].min()), int(work.ended[own].max())
            waited = int(work.covered[own].max())
            first = self._place(int(work.pc[own[0]]))
            warps = sorted({int(warp) % count for warp in work.warp[own]})
            if name == WGMMA.name:
                warps = list(range(queue % count, queue % count + 4))
            size = int(work.bytes[own].sum())
            number = len(own) // len(warps) if name == CP_ASYNC.name else len(own)
            yield Span(
                f"{name} warps {ranges(tuple(warps))}" if name == WGMMA.name else name,
                name, start, horizon if min(work.ended[own]) == NEVER else end,
                first.line, first.source, self.recording.blocks[block], tuple(warps), first.text,
                size, number, None if waited == NEVER else waited,
            )  # fmt: skip

    def levels(self, block: int) -> Iterator[Level]:
        """How many stages of each kind are in flight over time, of the queue that has the most."""
        count = self.recording.block_warps
        for kind in ASYNCHRONOUS:
            for by_phase in (True, False):
                stages = find_stages(self.recording, kind, by_phase=by_phase)
                here = (stages.queue if by_phase else stages.queue // count) == block
                found = [
                    _steps(stages.start[own], stages.end[own], self.horizon(block))
                    for queue in np.unique(stages.queue[here])
                    for own in [here & (stages.queue == queue)]
                ]
                if found:
                    deepest = max(found, key=lambda steps: max(number for _, number in steps))
                    place = self.recording.blocks[block]
                    yield Level(f"{kind.name} stages", kind.name, place, deepest)


def _is(column: np.ndarray, *names: str) -> np.ndarray:
    found: np.ndarray = np.isin(column, [NUMBER[name] for name in names])
    return found


def _alike(known: list[Piece], other: list[Piece], near: int) -> bool:
    """Whether two warps wait at the same instructions, at about the same steps."""
    plain = (WARP_KINDS[0].name, WARP_KINDS[1].name)
    a, b = ([p for p in pieces if p.kind not in plain] for pieces in (known, other))
    if len(a) != len(b) or bool(known) != bool(other):
        return False
    if known and abs(known[-1].end - other[-1].end) > near:
        return False
    return all(
        x.first == y.first and abs(x.start - y.start) <= near and abs(x.end - y.end) <= near
        for x, y in zip(a, b, strict=True)
    )


def _steps(start: np.ndarray, end: np.ndarray, horizon: int) -> tuple[tuple[int, int], ...]:
    """A step function: +1 at every start, -1 at every end."""
    end = np.minimum(end, horizon)
    times, index = np.unique(np.concatenate([start, end]), return_inverse=True)
    change = np.zeros(len(times), np.int64)
    np.add.at(change, index.reshape(-1), np.repeat([1, -1], [len(start), len(end)]))
    return tuple(zip(times.tolist(), np.cumsum(change).tolist(), strict=True))


def ranges(numbers: tuple[int, ...]) -> str:
    """`(0, 1, 2, 5)` as `0-2, 5`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{a}-{b}" if a != b else str(a) for a, b in runs)
