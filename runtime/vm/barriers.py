"""Block barriers (`bar`, `barrier.cta`) and the cluster barrier.

Warps arrive; a barrier completes when its count of threads has come, without a count when every
lane of the block that has not exited has. The common case, all lanes of the gang at once, passes
without any state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tilewright.runtime.vm.cohort import Cohort, Stack
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.timeline.recorder import Recorder

if TYPE_CHECKING:
    from tilewright.runtime.vm.gang import Gang
    from tilewright.runtime.vm.scheduler import Scheduler

Terminate = Callable[[Cohort], bool]


@dataclass
class Waiting:
    """Lanes blocked at a barrier, and where they go on."""

    lanes: Array
    pc: int
    stack: Stack
    turn: int
    finish: Callable[[Array, Array], None] | None = None
    spins: int = 0  # a loop may spin around a barrier


class BarrierState:
    """One barrier of one block (or of one cluster) between its first arrival and its completion."""

    def __init__(self, key: tuple[str, int, int], expected: int | None, members: Array) -> None:
        self.key, self.expected, self.members = key, expected, members
        self.arrived: Array = np.zeros(len(members), np.int64)
        self.truth: Array = np.zeros(len(members), np.bool_)
        self.waits: list[Waiting] = []
        self.clock: Array | None = None  # what came with arrivals that do not wait
        self.moment = 0  # the virtual step of the last arrival

    def arrive(self, scheduler: Scheduler, lanes: Array, pc: int) -> None:
        """Adds lanes; more arrivals than the barrier expects are a fault."""
        self.arrived += lanes
        self.note(scheduler, lanes)
        if self.expected is not None and self.threads() > self.expected:
            raise scheduler.fault(
                "barrier", f"{self.threads()} threads arrive at barrier {self.key[2]}, "
                f"which expects {self.expected}",
                pc, lanes,
            )  # fmt: skip

    def note(self, scheduler: Scheduler, lanes: Array) -> None:
        """For the timeline: lanes arrive or exit now."""
        recorder = scheduler.gang.recorder
        if recorder is not None:
            self.moment = max(self.moment, recorder.latest(lanes & self.members))

    def threads(self) -> int:
        """Arrived threads: warps count whole, as the hardware counts them."""
        return int(self.arrived.reshape(-1, 32).max(axis=1).sum()) * 32

    def check(self, scheduler: Scheduler) -> bool:
        """Completes the barrier where everybody has come."""
        if self.expected is None:
            missing = self.members & scheduler.alive & (self.arrived == 0)
            done = not missing.any()
        else:
            begun: Array = np.repeat(self.arrived.reshape(-1, 32).max(axis=1) > 0, 32)
            late = begun & self.members & scheduler.alive & (self.arrived == 0)
            done = self.threads() >= self.expected and not late.any()
        if done:
            self.complete(scheduler)
        return done

    def complete(self, scheduler: Scheduler) -> None:
        """Releases everybody."""
        scheduler.barriers.pop(self.key, None)
        scheduler.progress += 1
        if self.key[0] == "cluster":
            np.logical_and(
                scheduler.gang.cluster_pending, ~self.members, scheduler.gang.cluster_pending
            )
        participants = self.arrived > 0
        waiting = np.zeros(len(self.members), np.bool_)
        for wait in self.waits:
            waiting |= wait.lanes
        checks = scheduler.gang.checks
        if checks is not None and self.key[0] == "cluster":
            scheduler.gang.cluster_clocks[self.key[1]] = self.clock
            checks.barrier_pass(self.clock, waiting)
        elif checks is not None:
            checks.barrier(waiting, self.clock)
        recorder = scheduler.gang.recorder
        if recorder is not None:
            recorder.completed[self.key] = self.moment
        for wait in self.waits:
            if recorder is not None:
                recorder.release(wait.pc - 1, wait.lanes, self.moment)
            if wait.finish is not None:
                wait.finish(wait.lanes, self.truth & participants)
            scheduler.add(wait.lanes, wait.pc, wait.stack, wait.turn, wait.spins)

    def describe(self, scheduler: Scheduler) -> tuple[str, str, str]:
        """Which warps wait here, of which block, and for how many."""
        gang = scheduler.gang
        lanes = np.logical_or.reduce([wait.lanes for wait in self.waits])
        block = f"block {gang.block_index(self.key[1])}"
        arrived = np.count_nonzero(self.arrived)
        expected = self.expected or int((self.members & scheduler.alive).sum())
        missing = self.members & scheduler.alive & (self.arrived == 0)
        what = (
            f"wait at barrier {self.key[2]} where {arrived} of {expected} threads have arrived; "
            f"absent: warps {_warps(gang, missing)}"
        )
        where = block if self.key[0] == "cta" else f"cluster {self.key[1]}"
        return f"warps {_warps(gang, lanes)}", where, what


def _warps(gang: Gang, lanes: Array) -> list[int]:
    return sorted({gang.who(lane)[1] for lane in np.flatnonzero(lanes).tolist()})


def bind_barrier(scheduler: Scheduler, frame: Frame, pc: int) -> Terminate:
    """The closure of a barrier instruction."""
    ins = scheduler.gang.program.instructions[pc]
    mods = [mod for mod in ins.mods if mod not in ("cta", "aligned")]
    if mods[0] == "cluster":
        return _bind_cluster(scheduler, pc, mods[1])
    if mods[0] == "red":
        return _bind_reduction(scheduler, frame, pc, mods)
    if mods[0] not in ("sync", "arrive"):
        raise Fault(
            "unsupported", f"instruction {ins.name}", place=scheduler.gang.program.place(pc)
        )
    identity = frame.read(ins.operands[0], "u32")
    count = frame.read(ins.operands[1], "u32") if len(ins.operands) > 1 else None
    waits = mods[0] == "sync"

    def slow(cohort: Cohort) -> bool:
        _arrive(scheduler, cohort, pc, (identity, count), waits)
        return False if waits else _go_on(cohort, pc + 1)

    return _with_shortcut(scheduler, frame, pc, slow) if waits else slow


def _go_on(cohort: Cohort, pc: int) -> bool:
    cohort.pc = pc
    return True


def _with_shortcut(scheduler: Scheduler, frame: Frame, pc: int, slow: Terminate) -> Terminate:
    """All lanes of the gang at once: nothing to wait for."""
    gang = scheduler.gang
    if frame.n != gang.n:
        return slow
    ins = gang.program.instructions[pc]
    counts = frame.read(ins.operands[1], "u32") if len(ins.operands) > 1 else None
    names = frame.read(ins.operands[0], "u32")
    everybody = np.ones(gang.n, np.bool_)

    def terminate(cohort: Cohort) -> bool:
        if cohort.mask is not None or scheduler.barriers:
            return slow(cohort)
        if names[0] > 15 or (names != names[0]).any():
            return slow(cohort)
        if counts is not None and (counts != gang.block_lanes).any():
            return slow(cohort)
        if gang.checks is not None:
            gang.checks.barrier(everybody, None)
        if gang.recorder is not None:
            gang.recorder.meet(pc)
        scheduler.progress += 1
        cohort.pc = pc + 1
        return True

    return terminate


def _arrive(
    scheduler: Scheduler, cohort: Cohort, pc: int, operands: tuple[Array, Array | None],
    waits: bool, finish: Any = None, truth: Array | None = None,
) -> None:  # fmt: skip
    """Arrival of a cohort, block by block and barrier by barrier."""
    gang, frame = scheduler.gang, cohort.frame
    identity, count = operands
    touched = []
    lanes = np.flatnonzero(cohort.lanes)
    blocks, names = gang.lane_block[lanes], identity[lanes - frame.low]
    for block, name in {(int(b), int(i)) for b, i in zip(blocks[::1], names, strict=True)}:
        if name > 15:
            raise scheduler.fault("barrier", f"there is no barrier {name}", pc, cohort.lanes)
        chosen = lanes[(blocks == block) & (names == name)]
        expected = int(count[chosen[0] - frame.low]) if count is not None else None
        if expected is not None and (expected % 32 or expected == 0):
            raise scheduler.fault(
                "barrier", f"the count {expected} is no multiple of 32", pc, cohort.lanes
            )
        state = _state(scheduler, ("cta", block, name), expected, gang.lane_block == block)
        if state.expected != expected:
            raise scheduler.fault(
                "barrier",
                f"barrier {name} is used with counts {state.expected} and {expected}",
                pc,
                cohort.lanes,
            )
        part = np.zeros(gang.n, np.bool_)
        part[chosen] = True
        state.arrive(scheduler, part, pc)
        if truth is not None:
            state.truth[chosen] = truth[chosen - frame.low]
        if waits:
            wait = Waiting(part, pc + 1, cohort.stack, cohort.turn, finish, cohort.spins)
            state.waits.append(wait)
        elif gang.checks is not None:
            state.clock = gang.checks.barrier_arrive(state.clock, part)
        touched.append(state)
    for state in touched:
        state.check(scheduler)


def _state(
    scheduler: Scheduler, key: tuple[str, int, int], expected: int | None, members: Array
) -> BarrierState:
    state = scheduler.barriers.get(key)
    if state is None:
        state = scheduler.barriers[key] = BarrierState(key, expected, members)
    found: BarrierState = state
    return found


def _bind_reduction(scheduler: Scheduler, frame: Frame, pc: int, mods: list[str]) -> Terminate:
    """`bar.red.{popc,and,or}`: the reduction of a predicate over everybody who arrives."""
    ins = scheduler.gang.program.instructions[pc]
    target, identity, *middle, predicate = ins.operands
    row, inverted = frame.predicate(predicate)
    names = frame.read(identity, "u32")
    count = frame.read(middle[0], "u32") if middle else None
    result = scheduler.gang.frame(0, scheduler.gang.n).read(
        target, "pred" if mods[1] != "popc" else "u32"
    )
    reduce: Any = {"and": np.all, "or": np.any, "popc": np.count_nonzero}[mods[1]]

    def terminate(cohort: Cohort) -> bool:
        truth = ~row if inverted else row.copy()
        arrived: list[Any] = []

        def finish(lanes: Array, values: Array) -> None:
            result[lanes] = reduce(values[_participants(scheduler, lanes, arrived)])

        _arrive(scheduler, cohort, pc, (names, count), True, finish, truth)
        return False

    return terminate


def _participants(scheduler: Scheduler, lanes: Array, arrived: list[Any]) -> Array:
    """The live lanes of the blocks that `lanes` belong to."""
    blocks = np.unique(scheduler.gang.lane_block[lanes])
    found: Array = np.isin(scheduler.gang.lane_block, blocks) & scheduler.alive
    return found


def _bind_cluster(scheduler: Scheduler, pc: int, what: str) -> Terminate:
    """`barrier.cluster.arrive` and `.wait`: the phases of a cluster, kept by lane."""
    gang = scheduler.gang
    cluster_of = gang.lane_block // gang.cluster_blocks
    relaxed = "relaxed" in gang.program.instructions[pc].mods

    def arrive(cohort: Cohort) -> bool:
        for cluster in np.unique(cluster_of[cohort.lanes]):
            lanes = cohort.lanes & (cluster_of == cluster)
            state = _state(scheduler, ("cluster", int(cluster), 0), None, cluster_of == cluster)
            if (lanes & gang.cluster_arrived).any():
                raise scheduler.fault(
                    "barrier", "second arrival at the cluster barrier without a wait", pc, lanes
                )
            state.arrive(scheduler, lanes, pc)
            if gang.checks is not None and not relaxed:
                state.clock = gang.checks.barrier_arrive(state.clock, lanes)
            for flags in (gang.cluster_pending, gang.cluster_arrived):
                np.logical_or(flags, lanes, flags)
            state.check(scheduler)
        return _go_on(cohort, pc + 1)

    def wait(cohort: Cohort) -> bool:
        early = cohort.lanes & ~gang.cluster_arrived
        if early.any():
            raise scheduler.fault(
                "barrier", "a wait at the cluster barrier without an arrival", pc, early
            )
        np.logical_and(gang.cluster_arrived, ~cohort.lanes, gang.cluster_arrived)
        pending = cohort.lanes & gang.cluster_pending
        for cluster in np.unique(cluster_of[pending]):
            state = scheduler.barriers[("cluster", int(cluster), 0)]
            lanes = pending & (cluster_of == cluster)
            state.waits.append(Waiting(lanes, pc + 1, cohort.stack, cohort.turn))
        if gang.recorder is not None:
            _pass_cluster(gang.recorder, pc, cohort.lanes & ~pending, cluster_of)
        past = cohort.lanes & ~pending
        if gang.checks is not None:
            for cluster in np.unique(cluster_of[past]).tolist():
                clock = gang.cluster_clocks.get(cluster)
                gang.checks.barrier_pass(clock, past & (cluster_of == cluster))
        scheduler.add(past, pc + 1, cohort.stack, cohort.turn)
        return False

    return arrive if what == "arrive" else wait


def _pass_cluster(recorder: Recorder, pc: int, lanes: Array, cluster_of: Array) -> None:
    """For the timeline: lanes wait for a cluster barrier that is complete already."""
    for cluster in np.unique(cluster_of[lanes]).tolist():
        moment = recorder.completed.get(("cluster", cluster, 0), 0)
        recorder.release(pc, lanes & (cluster_of == cluster), moment)
