"""What is kept of a gang's run: columns of numbers, without references to the machine that ran it.

Code is kept as runs (first instruction, count, and which set of warps executed them); waits and
asynchronous operations have one row per warp.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.timeline.kinds import NUMBER
from tilewright.runtime.vm.timeline.operations import Operation
from tilewright.runtime.vm.timeline.recorder import MOST_RUNS, Recorder

NEVER = -1
"""In the columns `ended` and `covered`: not before the kernel ended."""


@dataclass(frozen=True, slots=True)
class Waits:
    """One row per warp and wait: its kind (by number), place, first and last step; `after` runs had
    begun; `phase` numbers the mbarrier phase that it waited for.
    """

    kind: Array
    pc: Array
    after: Array
    warp: Array
    since: Array
    until: Array
    phase: Array


@dataclass(frozen=True, slots=True)
class Operations:
    """One row per warp and asynchronous operation; `block` is where its bytes arrive; `group` the
    group, or the phase of the mbarrier where `by_phase`.
    """

    kind: Array
    pc: Array
    warp: Array
    block: Array
    issued: Array
    ended: Array
    covered: Array
    group: Array
    bytes: Array
    by_phase: Array


@dataclass(frozen=True, slots=True)
class Recording:
    """A gang's run. `blocks` are the grid coordinates of its blocks, `clock` the last step of each
    warp; `is_whole` is False where the recorder had to stop before the end.
    """

    blocks: tuple[tuple[int, int, int], ...]
    block_warps: int
    starts: Array
    sizes: Array
    sets: Array
    members: tuple[Array, ...]
    waits: Waits
    operations: Operations
    clock: Array
    is_whole: bool


def keep(recorder: Recorder) -> Recording:
    """The recording of a recorder whose gang has ended."""
    gang = recorder.gang
    recorder.settle()
    sets, members = _number_sets([here for _, _, here in recorder.runs], recorder.everybody)
    return Recording(
        tuple(gang.block_index(block) for block in range(gang.count)),
        recorder.block_warps,
        _column([start for start, _, _ in recorder.runs]),
        _column([size for _, size, _ in recorder.runs]),
        sets,
        members,
        _keep_waits(recorder),
        _keep_operations(recorder),
        recorder.clock.copy(),
        len(recorder.runs) < MOST_RUNS,
    )


def _column(values: Any) -> Array:
    found: Array = np.array(values, np.int64).reshape(-1)
    return found


def _number_sets(places: list[Any], everybody: Array) -> tuple[Array, tuple[Array, ...]]:
    """Every run's set of warps as a number, and the sets."""
    numbers: dict[Any, int] = {}
    known: dict[int, int] = {}
    members: list[Array] = []
    column = np.empty(len(places), np.int64)
    for index, here in enumerate(places):
        number = known.get(id(here))
        if number is None:
            warps = everybody[here]
            number = known[id(here)] = numbers.setdefault(warps.tobytes(), len(members))
            if number == len(members):
                members.append(warps)
        column[index] = number
    return column, tuple(members)


class _Columns:
    """Turns entries for sets of warps into rows for single ones."""

    def __init__(self, recorder: Recorder, sets: list[Any]) -> None:
        known = {id(here): recorder.everybody[here] for here in sets if not isinstance(here, int)}
        warps = [here if isinstance(here, int) else known[id(here)] for here in sets]
        self.counts = [1 if isinstance(column, int) else len(column) for column in warps]
        self.is_single = max(self.counts, default=1) == 1
        self.warps = self.join(warps)

    def repeat(self, values: list[int]) -> Array:
        """A column of what all warps of an entry have in common."""
        return _column(values) if self.is_single else np.repeat(_column(values), self.counts)

    def join(self, values: list[Any]) -> Array:
        """A column of arrays; a number stands for all warps of its entry, None for never."""
        if self.is_single:
            return _column([_single(value) for value in values])
        pairs = zip(values, self.counts, strict=True)
        return np.concatenate([_column([]), *(_spread(value, count) for value, count in pairs)])


def _single(value: Any) -> int:
    """The number, or the one element, of an entry for one warp."""
    if value is None:
        return NEVER
    return int(value.item() if isinstance(value, np.ndarray) else value)


def _spread(value: Any, count: int) -> Array:
    if isinstance(value, np.ndarray):
        return value
    return np.full(count, NEVER if value is None else value)


def _keep_waits(recorder: Recorder) -> Waits:
    waits = recorder.waits
    columns = _Columns(recorder, [entry[3] for entry in waits])
    return Waits(
        columns.repeat([NUMBER[entry[0].name] for entry in waits]),
        columns.repeat([entry[1] for entry in waits]),
        columns.repeat([entry[2] for entry in waits]),
        columns.warps,
        columns.join([entry[4] for entry in waits]),
        columns.join([entry[5] for entry in waits]),
        columns.repeat([entry[6] for entry in waits]),
    )


def _keep_operations(recorder: Recorder) -> Operations:
    """Rows of operations of several warps, then those of single ones."""
    single = [entry for entry in recorder.operations if isinstance(entry.warps, int)]
    several = [entry for entry in recorder.operations if not isinstance(entry.warps, int)]
    parts = [_rows(recorder, several), _rows(recorder, single)]
    return Operations(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _rows(recorder: Recorder, work: list[Operation]) -> tuple[Array, ...]:
    """The columns of `Operations`."""
    columns = _Columns(recorder, [entry.warps for entry in work])
    place, warp = columns.repeat([entry.place for entry in work]), columns.warps
    group = columns.join([entry.group for entry in work])
    group = np.where((place >= 0) & (group == NEVER), -2 - place, group)  # phases that stay open
    issued = columns.join([entry.issued for entry in work])
    ended = columns.join([entry.ended for entry in work])
    covered = columns.join([entry.covered for entry in work])
    segment = max(recorder.gang.segment, 1)
    return (
        columns.repeat([NUMBER[entry.kind.name] for entry in work]),
        columns.repeat([entry.pc for entry in work]),
        warp,
        np.where(place >= 0, place // segment, warp // recorder.block_warps),
        issued,
        np.where(ended == NEVER, NEVER, np.maximum(ended, issued + 1)),
        np.where(place >= 0, _passed(recorder, group), covered),
        group,
        columns.join([entry.bytes for entry in work]),
        place >= 0,
    )


def _passed(recorder: Recorder, phases: Array) -> Array:
    """The step at which a wait first saw each phase complete."""
    if not recorder.phases.seen:
        return np.full(len(phases), NEVER)
    return _column([recorder.phases.seen.get(phase, NEVER) for phase in phases.tolist()])
