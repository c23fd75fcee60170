"""Counters of waits, and of the stages in flight when a warp goes on.

A stage is a group of asynchronous work that one wait covers: a cp.async, bulk or wgmma group, or
everything that completes one phase of an mbarrier. It is in flight from its first issue to that
wait, no matter when the virtual machine lets it act.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.timeline.kinds import (
    ASYNCHRONOUS,
    KINDS,
    MBARRIER,
    NUMBER,
    WAITS,
    WGMMA,
    Kind,
)
from tilewright.runtime.vm.timeline.recording import NEVER, Recording

_KINDS = len(KINDS) + 1
_FAR = 1 << 40  # beyond every step; queues are laid out this far apart


@dataclass
class Tally:
    """Waits at one instruction: how many warps, the steps that they waited beyond the instruction's
    own, and the stages that were in flight.
    """

    count: int = 0
    steps: int = 0
    depth_sum: int = 0
    depth_count: int = 0
    depth_max: int = 0

    def add(self, other: Tally) -> None:
        """Joins two tallies."""
        self.count += other.count
        self.steps += other.steps
        self.depth_sum += other.depth_sum
        self.depth_count += other.depth_count
        self.depth_max = max(self.depth_max, other.depth_max)

    @property
    def depth_mean(self) -> float:
        """The mean number of stages in flight."""
        return self.depth_sum / self.depth_count if self.depth_count else 0.0


@dataclass
class WaitCounts:
    """All waits of a launch: by kind of wait and program counter, and the kind of the work that
    they waited for.
    """

    tallies: dict[tuple[int, int, int], Tally] = field(default_factory=dict)

    def add(self, recording: Recording) -> None:
        """Counts a gang's waits."""
        waits = recording.waits
        depth, work = _depths(recording)
        steps = waits.until - waits.since - 1
        keys = (waits.pc * _KINDS + waits.kind) * _KINDS + work + 1
        for key in np.unique(keys).tolist():
            chosen = keys == key
            tally = Tally(int(np.count_nonzero(chosen)), int(steps[chosen].sum()))
            rest, kind_of_work = divmod(key, _KINDS)
            if kind_of_work:
                tally.depth_sum = int(depth[chosen].sum())
                tally.depth_count, tally.depth_max = tally.count, int(depth[chosen].max())
            self.merge((rest % _KINDS, rest // _KINDS, kind_of_work - 1), tally)

    def merge(self, key: tuple[int, int, int], tally: Tally) -> None:
        """Joins what is known of one instruction."""
        self.tallies.setdefault(key, Tally()).add(tally)

    def by_kind(self) -> dict[str, dict[str, int]]:
        """The number of waits and the steps waited, by kind of wait."""
        found = {kind.name: self._sum(0, NUMBER[kind.name]) for kind in WAITS}
        return {
            name: {"count": tally.count, "steps": tally.steps}
            for name, tally in found.items()
            if tally.count
        }

    def stages(self) -> dict[str, dict[str, float]]:
        """Stages in flight at the waits, by kind of work: the most, and the mean."""
        found = {kind.name: self._sum(2, NUMBER[kind.name]) for kind in ASYNCHRONOUS}
        return {
            name: {"max": tally.depth_max, "mean": tally.depth_mean}
            for name, tally in found.items()
            if tally.count
        }

    def lines(self, program: Any) -> list[dict[str, Any]]:
        """The same by instruction."""
        rows: dict[int, tuple[int, Tally]] = {}
        for (kind, pc, _), tally in self.tallies.items():
            rows.setdefault(pc, (kind, Tally()))[1].add(tally)
        places = {pc: program.place(pc) for pc in rows}
        return [
            {
                "line": places[pc].line, "text": places[pc].text, "source": places[pc].source,
                "kind": KINDS[kind].name, "count": tally.count, "steps": tally.steps,
                "stages_max": tally.depth_max, "stages_mean": tally.depth_mean,
            }
            for pc, (kind, tally) in sorted(rows.items())
        ]  # fmt: skip

    def _sum(self, index: int, number: int) -> Tally:
        total = Tally()
        for key, tally in self.tallies.items():
            if key[index] == number:
                total.add(tally)
        return total


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of one kind of work: the queue that orders each, from when to when it is in
    flight.
    """

    queue: Array
    start: Array
    end: Array
    group: Array

    def depth(self, queue: Array, until: Array) -> Array:
        """How many are in flight just before each step, in its own queue."""
        at = queue * _FAR + until
        started = np.searchsorted(np.sort(self.queue * _FAR + self.start), at)
        ended = np.searchsorted(np.sort(self.queue * _FAR + self.end), at)
        found: Array = started - ended
        return found


def find_stages(recording: Recording, kind: Kind, *, by_phase: bool) -> Stages:
    """The stages of a kind of work. Those that complete on mbarriers queue by block, groups by
    warp.
    """
    work = recording.operations
    chosen = (work.kind == NUMBER[kind.name]) & (work.by_phase == by_phase)
    queue = (work.block if by_phase else work.warp)[chosen]
    group = work.group[chosen]
    if not len(group):
        return Stages(queue, queue, queue, group)
    low, most = int(group.min()), int(group.max() - group.min()) + 1
    keys, index = np.unique(queue * most + group - low, return_inverse=True)
    index = index.reshape(-1)
    start, end = np.full(len(keys), _FAR - 1), np.zeros(len(keys), np.int64)
    np.minimum.at(start, index, work.issued[chosen])
    np.maximum.at(end, index, np.where(work.covered == NEVER, _FAR - 1, work.covered)[chosen])
    return Stages(keys // most, start, end, keys % most + low)


def _depths(recording: Recording) -> tuple[Array, Array]:
    """For every wait the stages in flight as it ends, and the kind of work (-1: none)."""
    waits = recording.waits
    depth, work = np.zeros(len(waits.pc), np.int64), np.full(len(waits.pc), -1, np.int64)
    for wait in WAITS:
        chosen = waits.kind == NUMBER[wait.name]
        if wait is MBARRIER or not wait.queue or not chosen.any():
            continue
        kind = next(kind for kind in ASYNCHRONOUS if kind.name == wait.queue)
        stages = find_stages(recording, kind, by_phase=False)
        warp = waits.warp[chosen]
        if kind is WGMMA:
            warp = warp - warp % recording.block_warps % 4
        depth[chosen] = stages.depth(warp, waits.until[chosen])
        work[chosen] = NUMBER[kind.name]
    for kind in ASYNCHRONOUS[:2]:
        stages = find_stages(recording, kind, by_phase=True)
        chosen = (waits.kind == NUMBER[MBARRIER.name]) & np.isin(waits.phase, stages.group)
        block = waits.warp[chosen] // recording.block_warps
        depth[chosen] = stages.depth(block, waits.until[chosen])
        work[chosen] = NUMBER[kind.name]
    return depth, work


def describe_waits(counters: dict[str, Any]) -> list[str]:
    """What the printed report says of waits and stages."""
    waits = [
        f"{kind} {found['count']:,} ({found['steps']:,} steps)"
        for kind, found in counters["waits"].items()
    ]
    stages = [
        f"{kind} at most {found['max']}, {found['mean']:.1f} on average"
        for kind, found in counters["stages"].items()
    ]
    lines = [f"  waits: {', '.join(waits)}"] if waits else []
    return lines + ([f"  stages in flight: {'; '.join(stages)}"] if stages else [])
