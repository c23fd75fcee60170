"""The recorder of a gang: one clock per warp, and what its warps waited for and started.

A *virtual step* is one instruction of one warp. Every warp has a clock of its own, which each
instruction advances by one; whoever waits goes on when the last of what it waits for has happened:
a barrier at the step of its last arrival, an mbarrier at the step that completed its phase. So
warps that the virtual machine runs one after another lie side by side, as they would on hardware.
Polls of an mbarrier that fail belong to the wait and cost no steps. Asynchronous work takes no
steps of its own: it ends at the step at which the virtual machine lets it act.

Straight code is recorded as it runs, one small tuple per run of code and cohort; only instructions
that start, group or await asynchronous work are recorded one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Instruction
from tilewright.runtime.vm.timeline.kinds import (
    BARRIER,
    BULK_COPY,
    BULK_STORE,
    COPY_WAIT,
    CP_ASYNC,
    MBARRIER,
    STORE_WAIT,
    WGMMA,
    WGMMA_WAIT,
    Kind,
)
from tilewright.runtime.vm.timeline.operations import Operation
from tilewright.runtime.vm.timeline.phases import Phases

if TYPE_CHECKING:
    from tilewright.runtime.vm.cohort import Cohort, Run
    from tilewright.runtime.vm.gang import Gang

MOST_RUNS = 1_000_000  # per gang; what follows is not drawn
LATEST = 256  # operations among which the copies of an open group are looked for
SPIN_STEPS = 64  # polls of one mbarrier that are no further apart are one wait


Waited = tuple[Kind, int, int, Any, Array, Array, int]
"""Kind, program counter, runs so far, warps, first and last step, phase of an mbarrier."""


class Recorder:
    """The clocks and events of one gang's run."""

    def __init__(self, gang: Gang) -> None:
        self.gang = gang
        self.block_warps = gang.block_lanes // 32
        self.everybody: Array = np.arange(gang.n // 32)
        self.start()

    def start(self) -> None:
        """New blocks: every clock stands at zero."""
        count = len(self.everybody)
        self.clock: Array = np.zeros(count, np.int64)
        self.group: Array = np.zeros(count, np.int64)  # of cp.async copies, by warp
        self.here: Any = slice(0, 0)  # the warps that execute, and
        self.lanes = 0  # the lanes of whole warps
        self.pending = 0  # instructions of theirs that the clock does not hold yet
        self.end, self.pc = 0, 0  # the end of their run, the instruction in it
        self.waiting, self.waiting_pc = self.clock, -1  # when the present wait ends, and where
        self.known_group: tuple[Any, Array] = (None, self.group)  # of some warps, until they commit
        self.sizes: dict[tuple[int, int], Array] = {}
        self.moment: int | None = None  # when a poller drives the work of others
        self.runs: list[tuple[int, int, Any]] = []
        self.waits: list[Waited] = []
        self.operations: list[Operation] = []
        self.products: dict[int, list[Operation]] = {}  # wgmma that no wait covers, by warpgroup
        self.phases = Phases()
        self.completed: dict[Any, int] = {}  # when a cluster barrier completed
        self.asking: dict[int, tuple[int, int, int, int]] = {}  # place, pc, since, last, by warp

    # -- code --------------------------------------------------------------------------------

    def enter(self, cohort: Cohort, run: Run) -> None:
        """A cohort executes a run of code."""
        here, size = cohort.places, run.size
        if here is not self.here:
            self.settle()
            self.here, self.lanes = here, cohort.warps * 32
        self.pending += size
        self.end = self.pc = run.start + size
        if len(self.runs) < MOST_RUNS:
            self.runs.append((run.start, size, here))

    def settle(self) -> None:
        """Brings the clock up to date."""
        if self.pending:
            self.clock[self.here] += self.pending
            self.pending = 0

    def stop_at(self, pc: int) -> None:
        """The run ended before `pc`, where lanes are missing."""
        self.pending -= self.end - pc
        if len(self.runs) < MOST_RUNS:
            start, _, here = self.runs[-1]
            self.runs[-1] = start, pc - start, here

    def watches(self, ins: Instruction) -> bool:
        """Whether the instruction starts, groups or awaits asynchronous work."""
        return ins.opcode in ("cp", "mbarrier", "wgmma") or "async" in ins.mods

    def mark(self, ins: Instruction, step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The instruction, telling the recorder where it stands."""
        pc = self.gang.program.pc_of(ins)

        def marked(mask: Array | None) -> None:
            self.pc = pc
            step(mask)

        return marked

    def now(self, warps: Any) -> Any:
        """The step at which the present instruction begins on warps that execute it."""
        return self.clock[warps] + (self.pending + self.pc - self.end)

    def now_of(self, operation: Operation) -> Any:
        """The present step of the warps of an operation, whether they execute or not."""
        if operation.warps is self.here:
            return self.now(self.here)
        if isinstance(operation.warps, int):
            warp = operation.warps
            return self.now(warp) if self.executes(warp) else self.clock[warp]
        late = np.zeros(len(self.everybody), np.int64)
        late[self.here] = self.pending + self.pc - self.end
        return (self.clock + late)[operation.warps]

    def executes(self, warp: int) -> bool:
        """Whether a warp executes the present instruction."""
        here = self.here
        return here.start <= warp < here.stop if isinstance(here, slice) else warp in here

    def warps_of(self, lanes: Array) -> Any:
        """The warps of some of the lanes that execute."""
        if len(lanes) == self.lanes:
            return self.here
        return np.flatnonzero(np.bincount(lanes >> 5))

    # -- asynchronous work -------------------------------------------------------------------

    def issue(
        self, kind: Kind, warps: Any, group: Any, size: Any, place: int = -1, lanes: int = 0
    ) -> Operation:
        """New work in flight."""
        made = Operation(kind, self.pc, warps, self.now(warps), group, size, lanes, place=place)
        self.operations.append(made)
        return made

    def issue_copy(self, lanes: Array, size: int) -> Operation:
        """cp.async by some lanes."""
        warps = self.warps_of(lanes)
        if warps is not self.here:
            bytes_ = np.bincount(lanes >> 5)[warps] * size
            return self.issue(CP_ASYNC, warps, self.group[warps], bytes_, lanes=len(lanes))
        found = self.sizes.get((size, self.lanes))
        if found is None:
            found = self.sizes[size, self.lanes] = np.full(self.lanes // 32, 32 * size)
        if self.known_group[0] is not warps:
            self.known_group = warps, self.group[warps].copy()
        return self.issue(CP_ASYNC, warps, self.known_group[1], found, lanes=self.lanes)

    def issue_bulk(
        self, lane: int, group: int, size: int, barriers: tuple[tuple[int, int], ...]
    ) -> tuple[Operation, ...]:
        """A bulk copy by one lane; one operation per mbarrier that it completes."""
        warp = lane >> 5
        if not barriers:
            return (self.issue(BULK_STORE, warp, group, size),)
        return tuple(self.issue(BULK_COPY, warp, -1, count, place) for place, count in barriers)

    def issue_product(self, leader: int, group: int) -> Operation:
        """wgmma of the warpgroup that begins at a warp."""
        made = self.issue(WGMMA, leader, group, 0)
        self.products.setdefault(leader, []).append(made)
        return made

    def complete(self, operation: Operation, lanes: Array | None = None) -> None:
        """The work acts (of the given lanes; None: all of it)."""
        if operation.warps is self.here and operation.is_plain(lanes) and self.moment is None:
            # No earlier than one step after the issue: see `keep`.
            at_wait = self.pc == self.waiting_pc
            operation.ended = self.waiting if at_wait else self.now(self.here)
            return
        at = self.moment
        if at is None:
            at = self.now_of(operation) + (self.pc == self.waiting_pc)
        if isinstance(operation.warps, int):
            operation.ended = at = max(int(at), operation.issued + 1)
        else:
            at = np.maximum(at, operation.issued + 1)
            operation.ended = operation.put(operation.ended, at, lanes)
        if operation.place >= 0:
            operation.group = self.phases.current(operation.place)
            self.phases.arrive(operation.place, int(np.max(at)))

    def cover(self, operation: Operation, lanes: Array | None = None) -> None:
        """The wait that executes covers the work."""
        if operation.warps is self.here and operation.is_all(lanes):
            operation.covered = self.waiting
        else:
            until = self.now_of(operation) + 1
            operation.covered = operation.put(operation.covered, until, lanes)

    def commit(self, lanes: Array | None) -> None:
        """cp.async.commit_group."""
        self.group[self.here if lanes is None else self.warps_of(lanes)] += 1
        self.known_group = None, self.group

    def hand_over(self, lanes: Array, places: Array) -> None:
        """cp.async.mbarrier.arrive: the copies so far complete on mbarriers, not in a group."""
        self.arrive(lanes, places)
        warps, place = np.unique(lanes >> 5), int(places[0])
        for copy in self.operations[-LATEST:]:
            if copy.kind is CP_ASYNC and copy.place < 0 and self._is_open(copy, warps):
                copy.place, copy.group = place, self.phases.current(place)

    def _is_open(self, copy: Operation, warps: Array) -> bool:
        own = self.everybody[copy.warps]
        return bool(np.isin(own, warps).any() and (copy.group == self.group[own]).any())

    def wait(self, kind: Kind, warps: Any) -> None:
        """A wait that has what it waits for as soon as it asks."""
        since = self.now(warps)
        self.waiting, self.waiting_pc = since + 1, self.pc
        self.waits.append((kind, self.pc, len(self.runs), warps, since, self.waiting, -1))

    def wait_copies(self, lanes: Array | None) -> None:
        """cp.async.wait_group and wait_all."""
        self.wait(COPY_WAIT, self.here if lanes is None else self.warps_of(lanes))

    def wait_stores(self, lanes: list[int]) -> None:
        """cp.async.bulk.wait_group."""
        self.wait(STORE_WAIT, self.warps_of(np.array(lanes)))

    def wait_products(self, leader: int, limit: int) -> None:
        """wgmma.wait_group: the groups below `limit` are covered."""
        self.wait(WGMMA_WAIT, slice(leader, leader + 4))
        open_, until = self.products.get(leader, []), self.waiting[0]
        for product in open_:
            if product.group < limit:
                product.covered = until
        self.products[leader] = [product for product in open_ if product.covered is None]

    # -- barriers ----------------------------------------------------------------------------

    def meet(self, pc: int) -> None:
        """All warps of the gang are at a barrier of their blocks."""
        self.settle()
        since = self.clock - 1
        last = self.clock.reshape(-1, self.block_warps)
        last[:] = np.maximum.reduce(last, axis=1, keepdims=True)
        waited = BARRIER, pc, len(self.runs), self.here, since, self.clock.copy(), -1
        self.waits.append(waited)

    def release(self, pc: int, lanes: Array, moment: int) -> None:
        """Lanes (a mask of the gang) wait at a barrier no longer than until `moment`."""
        self.settle()
        warps = np.flatnonzero(lanes.reshape(-1, 32).any(axis=1))
        since = self.clock[warps] - 1
        until = np.maximum(since + 1, moment)
        self.clock[warps] = until
        self.waits.append((BARRIER, pc, len(self.runs), warps, since, until, -1))

    def latest(self, lanes: Array) -> int:
        """The last clock of some lanes (a mask of the gang)."""
        self.settle()
        return int(self.clock[lanes.reshape(-1, 32).any(axis=1)].max(initial=0))

    # -- mbarriers ---------------------------------------------------------------------------

    def arrive(self, lanes: Array, places: Array) -> None:
        """Lanes of the gang arrive at mbarriers."""
        moments = self.now(lanes >> 5) + 1
        for place, moment in zip(places.tolist(), moments.tolist(), strict=True):
            self.phases.arrive(place, moment)

    def begin_poll(self, place: int, lane: int) -> None:
        """A lane asks for a phase; what acts now has acted when it began to ask."""
        warp = lane >> 5
        self.moment = self._since(warp, place, int(self.now(warp))) + 1

    def end_poll(self, place: int, lanes: Array, answer: bool) -> None:
        """The answer to the lanes that asked."""
        self.moment = None
        warps = self.warps_of(lanes)
        now = self.now(warps)
        since = now
        if self.asking or not answer:
            numbers = self.everybody[warps].tolist()
            both = list(zip(numbers, now.tolist(), strict=True))
            begun = [self._since(warp, place, step) for warp, step in both]
            if not answer:
                for (warp, step), first in zip(both, begun, strict=True):
                    self.asking[warp] = place, self.pc, first, step
                return
            since = np.array(begun)
            for warp in numbers:
                self.asking.pop(warp, None)
        until = since + 1
        completed, phase = self.phases.last(place)
        first = int(until.min())
        if first < completed or since is not now:
            until = np.maximum(until, completed)
            self.clock[warps] += until - 1 - now
            first = int(until.min())
        self.phases.see(phase, first)
        self.waits.append((MBARRIER, self.pc, len(self.runs), warps, since, until, phase))

    def _since(self, warp: int, place: int, now: int) -> int:
        """Since when a warp asks for an mbarrier at the present instruction."""
        if warp not in self.asking:
            return now
        asked, pc, since, last = self.asking[warp]
        goes_on = asked == place and pc == self.pc and now - last <= SPIN_STEPS
        return since if goes_on else now

    def give_up(self) -> int:
        """The run ends with a fault: warps that still ask wait to the end of the chart, which is
        returned.
        """
        self.settle()
        asking = {
            warp: (pc, since)
            for warp, (_, pc, since, last) in self.asking.items()
            if self.clock[warp] - last <= SPIN_STEPS
        }
        for warp, (_, since) in asking.items():
            self.clock[warp] = since + 1
        end = int(self.clock.max() * 9 // 8) + 8
        for warp, (pc, since) in asking.items():
            first, last = np.array([since]), np.array([end])
            self.waits.append((MBARRIER, pc, len(self.runs), warp, first, last, -1))
            self.clock[warp] = end
        return end
