"""Runs a gang to its end: picks cohorts, executes straight runs, splits, merges, blocks and finds
deadlocks.

The cohort with the lowest program counter goes first, which makes divergent paths meet again at the
join. A cohort that jumps back many times while others could run gives way (`turn`), so spinning
lanes never starve those that they wait for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.vm.cohort import Cohort, Run, Stack, find_end
from tilewright.runtime.vm.control import bind_terminator
from tilewright.runtime.vm.faults import Fault, print_ranges
from tilewright.runtime.vm.gang import Gang
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.waiting import Wait

SPIN_LIMIT = 16
LOOP_LIMIT = 20_000
IDLE_LIMIT = 8  # turns per ready cohort in which all only polled and nothing changed: a hang


class Scheduler:
    """The cohorts of one gang."""

    def __init__(self, gang: Gang) -> None:
        self.gang = gang
        self.alive: Array = gang.alive
        self.ready: list[Cohort] = []
        self.parked: list[Cohort] = []
        self.barriers: dict[Any, Any] = {}
        self.steps = 0
        self.progress = 0  # counts events that may release a spinning cohort
        self.idle, self.seen = 0, 0  # idle turns, and the events seen at the last one
        self.parked_at = -1  # the progress seen when everything was parked last
        self.limit = SPIN_LIMIT if gang.launch.spins else LOOP_LIMIT

    def run(self, first_block: int) -> None:
        """Executes the gang's blocks, the first of which is `first_block` of the grid."""
        gang = self.gang
        gang.start(first_block)
        self.alive[:] = gang.exists
        self.barriers.clear()
        self.ready = [
            Cohort(gang, gang.exists.copy(), gang.program.starts[gang.program.entry.name])
        ]
        self.parked = []
        while self.ready:
            cohort = self.pick()
            try:
                self.execute(cohort)
            except (ValueError, TypeError, IndexError, OverflowError) as error:
                raise self.explain(cohort, error) from error
            self.watch(cohort)
            if not self.ready and self.parked:
                self.unpark()
        if self.alive.any():
            self.report_deadlock()
        gang.transfers.flush()
        self.keep_recording()

    def watch(self, cohort: Cohort) -> None:
        """Finds hangs: turns in which cohorts only poll memory that nobody changes any more."""
        gang = self.gang
        if not gang.mbarriers.failed:
            gang.mbarriers.idle = 0
        now = self.progress + gang.events
        polled = gang.polled or gang.mbarriers.failed
        self.idle = self.idle + 1 if polled and now == self.seen else 0
        self.seen, gang.polled, gang.mbarriers.failed = now, False, False
        if self.idle > IDLE_LIMIT * (len(self.ready) + 4):
            if not gang.transfers.pending:
                self.report_hang(cohort)
            gang.transfers.finish_all()

    # -- cohorts -----------------------------------------------------------------------------

    def pick(self) -> Cohort:
        """The next cohort, merged with all others at its place."""
        ready = self.ready
        if len(ready) == 1:
            return ready.pop()
        first = min(ready, key=lambda cohort: cohort.key)
        same = [c for c in ready if c.pc == first.pc and c.stack == first.stack]
        self.ready = [c for c in ready if not (c.pc == first.pc and c.stack == first.stack)]
        if len(same) > 1:
            lanes = np.logical_or.reduce([c.lanes for c in same])
            first.set_lanes(self.gang, lanes)
            first.turn = max(c.turn for c in same)
            first.spins = max(c.spins for c in same)
        return first

    def add(self, lanes: Array, pc: int, stack: Stack, turn: int, spins: int = 0) -> None:
        """Makes lanes ready at a program counter."""
        if lanes.any():
            self.ready.append(Cohort(self.gang, lanes, pc, stack, turn))
            self.ready[-1].spins = spins

    def execute(self, cohort: Cohort) -> None:
        """Runs a cohort until it ends, blocks, splits, or should give way."""
        code = cohort.frame.blocks
        recorder = self.gang.recorder
        while True:
            run = code.get(cohort.pc)
            if run is None:
                run = self.bind(cohort)
            run.count += cohort.warps
            self.steps += run.size
            if recorder is not None:
                recorder.enter(cohort, run)
            if cohort.mask is None:
                for step in run.full or run.bind_full():
                    step()
            elif not self.execute_masked(cohort, run):
                return
            if not run.terminate(cohort):
                return
            if cohort.frame.blocks is not code:
                code = cohort.frame.blocks
            if cohort.spins > self.limit:
                cohort.turn, cohort.spins = cohort.turn + 1, 0
                self.ready.append(cohort)
                return
            if self.ready and self.gives_way(cohort):
                self.ready.append(cohort)
                return

    def execute_masked(self, cohort: Cohort, run: Run) -> bool:
        """Runs the code under the cohort's mask; False where missing lanes stopped it."""
        mask = cohort.mask
        at = run.start
        try:
            for step in run.masked or run.bind_masked():
                step(mask)
                at += 1
        except Wait as wait:
            if self.gang.recorder is not None:
                self.gang.recorder.stop_at(at)
            self.regroup(cohort, at, wait.ready)
            return False
        return True

    def regroup(self, cohort: Cohort, pc: int, ready: Array) -> None:
        """Lanes in `ready` go on at `pc`; the others wait there for the missing lanes of their
        warps.
        """
        full = np.zeros(self.gang.n, np.bool_)
        full[cohort.frame.low : cohort.frame.high] = ready
        self.add(full, pc, cohort.stack, cohort.turn)
        late = cohort.lanes & ~full
        if not late.any():
            return
        here = [c for c in self.parked if c.pc == pc and c.stack == cohort.stack]
        if here:
            self.parked = [c for c in self.parked if c not in here]
            late = np.logical_or.reduce([late, *(c.lanes for c in here)])
            self.add(late, pc, cohort.stack, cohort.turn)
        else:
            self.parked.append(Cohort(self.gang, late, pc, cohort.stack, cohort.turn))

    def unpark(self) -> None:
        """Nothing else can run: lanes parked at equal barriers of one warp meet; else they diverged
        for good.
        """
        merged: dict[tuple[int, Stack], Array] = {}
        for cohort in self.parked:
            place = (cohort.pc, cohort.stack)
            lanes = cohort.lanes & self.alive
            merged[place] = merged[place] | lanes if place in merged else lanes
        if self.progress == self.parked_at:
            self.report_divergence()
        self.parked_at = self.progress
        self.parked = []
        for (pc, stack), lanes in merged.items():
            self.add(lanes, pc, stack, 0)

    def gives_way(self, cohort: Cohort) -> bool:
        """Whether another ready cohort goes before this one, or meets it here."""
        key = cohort.key
        return any(other.key <= key or other.pc == cohort.pc for other in self.ready)

    def bind(self, cohort: Cohort) -> Run:
        """The run that starts at the cohort's program counter, bound to its frame."""
        gang, start = self.gang, cohort.pc
        end = find_end(gang, start)
        run = Run(start, end, cohort.frame)
        if end > start and end in gang.program.leaders:
            run.terminate, run.size = _fall_through(end), end - start
        else:
            run.terminate, run.size = bind_terminator(self, cohort.frame, end), end - start + 1
        cohort.frame.blocks[start] = run
        return run

    # -- ends --------------------------------------------------------------------------------

    def keep_recording(self) -> None:
        """What the recorder saw goes to the launch; after a fault, the open waits too."""
        recorder = self.gang.recorder
        if recorder is None or not recorder.runs:
            return
        if self.alive.any():
            end = recorder.give_up()
            for wait in [wait for state in self.barriers.values() for wait in state.waits]:
                recorder.release(wait.pc - 1, wait.lanes, end)
        self.gang.launch.ledger.keep(recorder)

    def finish(self, lanes: Array) -> None:
        """Lanes exit."""
        np.logical_and(self.alive, ~lanes, self.alive)
        self.progress += 1
        for state in list(self.barriers.values()):
            state.note(self, lanes)
            state.check(self)
        if self.parked:
            parked, self.parked = self.parked, []
            for cohort in parked:
                self.add(cohort.lanes & self.alive, cohort.pc, cohort.stack, cohort.turn)

    def fault(
        self, kind: str, message: str, pc: int, lanes: Array, address: int | None = None
    ) -> Fault:
        """A fault at an instruction by (the first warp of) some lanes."""
        places = np.flatnonzero(lanes)
        block, warp, _ = self.gang.who(places[0])
        same = places[places // 32 == places[0] // 32] % 32
        return Fault(
            kind, message, place=self.gang.program.place(pc), block=block, warp=warp,
            lanes=tuple(int(x) for x in same), address=address,
        )  # fmt: skip

    def explain(self, cohort: Cohort, error: Exception) -> Fault:
        """The fault of the instruction whose NumPy call failed: operands of widths that it does not
        have. Which one it was, a second attempt tells.
        """
        run = cohort.frame.blocks[cohort.pc]
        masks = () if cohort.mask is None else (cohort.mask,)
        steps = (run.masked or ()) if masks else (run.full or ())
        failed = run.start + max(run.size - 1, 0)
        for pc, step in enumerate(steps, run.start):
            try:
                step(*masks)
            except type(error):
                failed = pc
                break
        name = self.gang.program.instructions[failed].name
        return self.fault(
            "unsupported",
            f"{name} does not fit the widths of its operands ({error})",
            failed,
            cohort.lanes,
        )

    def report_divergence(self) -> None:
        cohort = self.parked[0]
        raise self.fault(
            "divergence",
            "a warp-collective instruction waits for lanes of its mask that never arrive",
            cohort.pc, cohort.lanes,
        )  # fmt: skip

    def report_hang(self, cohort: Cohort) -> None:
        raise self.fault(
            "deadlock",
            f"the lanes spin without end: {self.describe_spins(cohort)}; {self.describe_waits()}",
            cohort.pc,
            cohort.lanes,
        )

    def describe_spins(self, cohort: Cohort) -> str:
        """Where the warps of the cohort's first block are, by the lines of their loops."""
        gang = self.gang
        block = int(np.flatnonzero(cohort.lanes)[0]) // gang.block_lanes
        lines: dict[int, set[int]] = {}
        for other in [*self.ready, *self.parked]:
            lanes = np.flatnonzero(other.lanes & self.alive & (gang.lane_block == block))
            if len(lanes):
                warps = lines.setdefault(gang.program.instructions[other.pc].line, set())
                warps.update((lanes % gang.block_lanes // 32).tolist())
        return ", ".join(
            f"warp{'s' * (len(warps) > 1)} {print_ranges(sorted(warps))} at PTX line {line}"
            for line, warps in sorted(lines.items())
        )

    def report_deadlock(self) -> None:
        waits = [wait for state in self.barriers.values() for wait in state.waits]
        pc = waits[0].pc - 1 if waits else 0
        lanes = waits[0].lanes if waits else self.alive
        raise self.fault("deadlock", self.describe_waits(), pc, lanes)

    def describe_waits(self) -> str:
        """Which warps wait for what."""
        found: dict[str, list[str]] = {}
        for state in sorted(self.barriers.values(), key=lambda state: state.key[1]):
            if state.waits:
                who, where, what = state.describe(self)
                found.setdefault(f"{who} of {{}} {what}", []).append(where)
        parts = [
            text.format(where[0] + (f" (and of {len(where) - 1} more)" if where[1:] else ""))
            for text, where in found.items()
        ]
        parts.extend(self.gang.mbarriers.describe_waits())
        return "; ".join(parts) or "nobody waits at a barrier"


def _fall_through(end: int) -> Any:
    def terminate(cohort: Cohort) -> bool:
        cohort.pc = end
        return True

    return terminate
