"""The checks of mbarriers, bulk copies and wgmma: agents that phases and group waits join."""

from __future__ import annotations

from typing import Any

import numpy as np

from tilewright.runtime.vm.checks.accesses import AccessChecks
from tilewright.runtime.vm.checks.clocks import BULK, COPIES, KINDS, MATRIX, STORES
from tilewright.runtime.vm.checks.detector import Accessors
from tilewright.runtime.vm.checks.races import Access, Race
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Instruction


class BulkChecks(AccessChecks):
    """What Hopper adds."""

    def mbarrier_init(self, ins: Instruction, lanes: Array, offsets: Array) -> None:
        """mbarrier.init: whoever uses the barrier must come after it."""
        pc = self.gang.program.pc_of(ins)
        time = self.detector.tick(pc, "mbarrier.init")
        for lane, place in zip(lanes.tolist(), offsets.tolist(), strict=True):
            self.gang.mbarriers.order(place).initial = (lane // 32, time, pc)

    def mbarrier_used(self, ins: Instruction, lanes: Array, places: Array) -> None:
        """An arrival or wait must be ordered behind the barrier's init."""
        clocks = self.clocks
        for user, place in _pairs(lanes, places):
            warp, time, first = self.gang.mbarriers.order(place).initial
            if user != warp and time > clocks.known[user, warp]:
                missing = "a barrier between mbarrier.init and the first use"
                self._init_race(ins, place, (warp * 32, user * 32), first, missing)
                return

    def _init_race(
        self, ins: Instruction, place: int, lanes: tuple[int, int], first: int, missing: str
    ) -> None:
        program, pc = self.gang.program, self.gang.program.pc_of(ins)
        block, warp, lane = self.gang.who(lanes[0])
        earlier = Access("mbarrier.init", program.place(first), block, warp, lane)
        block, warp, lane = self.gang.who(lanes[1])
        later = Access("use of the mbarrier", program.place(pc), block, warp, lane)
        race = Race("shared", place % self.gang.segment, earlier, later, missing)
        self.ledger.log.races.setdefault((first, pc, "w"), race)

    def _init_hidden(
        self, ins: Instruction, place: int, lanes: tuple[int, int], first: int, *, ordered: bool
    ) -> None:
        """A copy signals a barrier whose init the async proxy need not see. Where the init comes
        before for everybody else, it is a warning: compilers in the field leave the fence out.
        """
        missing = "fence.proxy.async or fence.mbarrier_init after mbarrier.init, then a barrier"
        if not ordered:
            self._init_race(ins, place, lanes, first, missing)
            return
        pc = self.gang.program.pc_of(ins)
        message = f"bulk copy that signals an mbarrier, without {missing}"
        self.ledger.notice("missing proxy fence", message, self.gang.program, pc)

    def left_behind(self, pc: int) -> None:
        """A block ended before its bulk copy out of shared memory was waited for."""
        message = "the block ends without a wait for its bulk copy out of shared memory"
        self.ledger.notice("missing wait", message, self.gang.program, pc)

    def mbarrier_arrive(self, lanes: Array, places: Array) -> None:
        """Lanes of the gang arrive with release semantics."""
        clocks = self.clocks
        for warp, place in _pairs(lanes, places):
            order = self.gang.mbarriers.order(place)
            clock = clocks.snapshot(warp)
            order.arriving = _join(order.arriving, clock)
            if clocks.visible is not None:
                order.fenced_arriving = _join(order.fenced_arriving, clocks.visible[warp].copy())

    def mbarrier_pass(self, lanes: Array, places: Array) -> None:
        """Lanes saw a completed phase: they are behind everything that arrived in it."""
        clocks = self.clocks
        for warp, place in _pairs(lanes, places):
            order = self.gang.mbarriers.order(place)
            if order.completed is not None:
                clocks.acquire(warp, order.completed)
            if order.fenced_completed is not None and clocks.visible is not None:
                np.maximum(clocks.visible[warp], order.fenced_completed, out=clocks.visible[warp])

    def copies_arrive(self, lane: int, place: int) -> None:
        """A lane's cp.async copies arrive on an mbarrier."""
        clocks = self.clocks
        clock = np.zeros(clocks.agents, np.int64)
        clock[clocks.agent(COPIES, lane // 32)] = clocks.time
        order = self.gang.mbarriers.order(place)
        order.arriving = _join(order.arriving, clock)

    def transfer_done(self, place: int, time: int) -> None:
        """A bulk copy completes its bytes on an mbarrier."""
        clocks, order = self.clocks, self.gang.mbarriers.order(place)
        clock = np.zeros(clocks.agents, np.int64)
        clock[clocks.mbarrier_agent(order.slot)] = time
        order.arriving = _join(order.arriving, clock)

    def bulk(
        self, ins: Instruction, frame: Frame, lane: int, source: Any, targets: list[Any],
        barriers: list[int], reduction: str | None,
    ) -> int:  # fmt: skip
        """Checks a bulk copy at its issue; returns its time."""
        pc = self.gang.program.pc_of(ins)
        warp = (frame.low + lane) // 32
        traffic = self.ledger.traffic
        for side in (source, *targets):
            offsets = side.offsets[side.inside]
            if side.space == "global" and len(offsets):
                line = traffic.line(ins.line, "global", "bulk")
                line.requests += 1
                line.bytes += side.unit * len(offsets)
                line.sectors += len(np.unique(offsets // 32))
                traffic.footprint.mark("read" if side is source else "write", offsets)
                line.ideal_sectors += -(-side.unit * len(offsets) // 32)
        for place in barriers:
            owner, time, first = self.gang.mbarriers.order(place).initial
            visible = self.clocks.visible
            if visible is not None and time > visible[warp, owner]:
                ordered = bool(warp == owner or time <= self.clocks.known[warp, owner])
                ends = (owner * 32, frame.low + lane)
                self._init_hidden(ins, place, ends, first, ordered=ordered)
        self._bulk_side(source, "read", warp, lane, pc, BULK if not barriers else barriers[0])
        for index, target in enumerate(targets):
            agent = STORES if not barriers else barriers[index]
            self._bulk_side(target, "write", warp, lane, pc, agent, reduction is not None)
        return self.clocks.time

    def _bulk_side(
        self, side: Any, kind: str, warp: int, lane: int, pc: int, agent: int, strong: bool = False
    ) -> None:
        offsets = side.offsets[side.inside]
        if not len(offsets):
            return
        if agent >= KINDS:  # an mbarrier's place
            slot = self.gang.mbarriers.order(agent).slot
            agent_: Any = np.array([self.clocks.mbarrier_agent(slot)])
        else:
            agent_ = agent
        who = Accessors(np.full(len(offsets), warp), np.full(len(offsets), lane % 32))
        text = f"bulk copy {kind}"
        access = "write" if kind == "write" else "read"
        self.access(side.space, offsets, who, side.unit, access, pc, text, strong, agent_, True)

    def bulk_waited(self, lane: int, time: int, reads_only: bool) -> None:
        """A lane waited for a bulk group."""
        warps, times = np.array([lane // 32]), np.array([time])
        self.clocks.wait(BULK, warps, times)
        if not reads_only:
            self.clocks.wait(STORES, warps, times)

    def matrix_read(self, pc: int, offsets: Array, warp: int, text: str) -> int:
        """wgmma reads 16-byte rows of shared memory."""
        who = Accessors(np.full(len(offsets), warp), np.zeros(len(offsets), np.int64))
        self.access("shared", offsets, who, 16, "read", pc, text, False, MATRIX, True)
        return self.clocks.time

    def matrix_waited(self, warps: Array, leader: int, time: int) -> None:
        """The warps of a warpgroup waited for its matrix work."""
        column = self.clocks.agent(MATRIX, leader)
        self.clocks.known[warps, column] = np.maximum(self.clocks.known[warps, column], time)


def _pairs(lanes: Array, places: Array) -> list[tuple[int, int]]:
    """The different (warp, mbarrier) pairs of some lanes, in order."""
    if not len(lanes):
        return []
    if (places == places[0]).all():
        return [(warp, int(places[0])) for warp in np.unique(lanes // 32).tolist()]
    return list(dict.fromkeys(zip((lanes // 32).tolist(), places.tolist(), strict=True)))


def _join(before: Array | None, clock: Array) -> Array:
    return clock if before is None else np.maximum(before, clock)
