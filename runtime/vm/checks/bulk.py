"""The checks of mbarriers, bulk copies and wgmma: agents that phases and group waits join."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tilewright.runtime.vm.checks.accesses import AccessChecks
from tilewright.runtime.vm.checks.bounds import Bounds
from tilewright.runtime.vm.checks.clocks import (
    BULK,
    COPIES,
    KINDS,
    MATRIX,
    ORDER,
    SHOWN,
    STORES,
    join,
)
from tilewright.runtime.vm.checks.detector import WEAK, WIDE
from tilewright.runtime.vm.checks.races import Access, Race
from tilewright.runtime.vm.checks.reporter import Accessors
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
            self.gang.mbarriers.order(place).initial = (lane, time, pc)

    def mbarrier_used(self, ins: Instruction, lanes: Array, places: Array) -> None:
        """An arrival or wait must be ordered behind the barrier's init."""
        missing = "a barrier between mbarrier.init and the first use"
        for place in np.unique(places).tolist() if len(places) > 1 else places.tolist():
            owner, time, first = self.gang.mbarriers.order(place).initial
            if time <= self.clocks.floor:
                continue
            users = lanes[places == place]
            foreign = users[users != owner]
            unaware = foreign[~self._aware(foreign, owner, time)]
            if len(unaware):
                self._init_race(ins, place, (owner, int(unaware[0])), first, missing)
                return

    def _aware(self, lanes: Array, owner: int, time: int, plane: int = ORDER) -> Array:
        """Which lanes know what lane `owner` did at a time."""
        same = np.ones_like(lanes)
        return self.clocks.knows(
            lanes // 32, lanes % 32, same * (owner // 32), same * (owner % 32), same * time, plane
        )

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
        for warp, place, members in self.ordering.groups(lanes // 32, lanes % 32, places):
            order = self.gang.mbarriers.order(place)
            order.arriving = join(order.arriving, clocks.pass_on(clocks.moment(warp), members))

    def mbarrier_pass(self, lanes: Array, places: Array) -> None:
        """Lanes saw a completed phase: they are behind everything that arrived in it."""
        if not len(lanes):
            return
        for warp, place, members in self.ordering.groups(lanes // 32, lanes % 32, places):
            order = self.gang.mbarriers.order(place)
            if order.completed is not None:
                self.ordering.learn(warp, members, order.completed)

    def copies_arrive(self, lanes: list[tuple[int, int]], place: int) -> None:
        """Lanes' cp.async copies up to a time arrive on an mbarrier."""
        clocks = self.clocks
        order = self.gang.mbarriers.order(place)
        at, times = np.array(lanes).T
        where = np.full(len(at), place)
        for warp, _, members in self.ordering.groups(at // 32, at % 32, where):
            mine = at // 32 == warp
            if members is None and (times[mine] == times[mine][0]).all():
                columns = [clocks.agent(COPIES, warp)]
            else:
                columns = [clocks.column(COPIES, lane) for lane in at[mine].tolist()]
            clock = np.zeros((len(clocks.known), clocks.known.shape[2]), np.int64)
            clock[ORDER, columns] = times[mine][: len(columns)]
            order.arriving = join(order.arriving, clock)

    def transfer_done(self, place: int, time: int) -> None:
        """A bulk copy completes its bytes on an mbarrier."""
        clocks, order = self.clocks, self.gang.mbarriers.order(place)
        clock = np.zeros((len(clocks.known), clocks.agents), np.int64)
        clock[ORDER, clocks.mbarrier_agent(order.slot)] = time
        order.arriving = join(order.arriving, clock)

    def remote_store(
        self, ins: Instruction, frame: Frame, size: int, strong: int
    ) -> Callable[[Array, Array, Array | None], int]:
        """`check(offsets, barriers, mask)` of st.async and red.async; gives the time of the
        stores, which only the waits on their mbarriers order.
        """
        bounds = Bounds(ins, frame, "write", size)
        pc, text = self.gang.program.pc_of(ins), f"asynchronous write of {size} bytes"
        line = self.ledger.traffic.line(ins.line, "shared", "write")

        def check(offsets: Array, barriers: Array, mask: Array | None) -> int:
            lanes = np.arange(frame.n) if mask is None else np.flatnonzero(mask)
            bounds.check("shared", offsets, offsets[lanes], mask)
            self.ledger.traffic.count(line, offsets[lanes], lanes, size)
            self.mbarrier_used(ins, lanes + frame.low, barriers[lanes])
            orders = [self.gang.mbarriers.order(int(place)) for place in barriers[lanes]]
            agents = np.array([self.clocks.mbarrier_agent(order.slot) for order in orders])
            who = self._accessors(frame, mask)
            self.access("shared", offsets[lanes], who, size, "write", pc, text, strong, agents)
            return self.clocks.time

        return check

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
        issuer = np.array([frame.low + lane])
        for place in barriers:
            owner, time, first = self.gang.mbarriers.order(place).initial
            if self.clocks.proxies and not self._aware(issuer, owner, time, SHOWN).all():
                ordered = bool(self._aware(issuer, owner, time).all())
                self._init_hidden(ins, place, (owner, frame.low + lane), first, ordered=ordered)
        self._bulk_side(source, "read", warp, lane, pc, BULK if not barriers else barriers[0])
        for index, target in enumerate(targets):
            agent = STORES if not barriers else barriers[index]
            self._bulk_side(
                target, "write", warp, lane, pc, agent, WIDE if reduction is not None else WEAK
            )
        if not barriers:
            for kind in (BULK, STORES):
                self.clocks.issue(kind, issuer)
        return self.clocks.time

    def _bulk_side(
        self, side: Any, kind: str, warp: int, lane: int, pc: int, agent: int, strong: int = WEAK
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
        self.clocks.wait(BULK, np.array([lane]), time)
        if not reads_only:
            self.clocks.wait(STORES, np.array([lane]), time)

    def matrix_read(self, pc: int, offsets: Array, warp: int, text: str) -> int:
        """wgmma reads 16-byte rows of shared memory."""
        who = Accessors(np.full(len(offsets), warp), np.zeros(len(offsets), np.int64))
        self.access("shared", offsets, who, 16, "read", pc, text, WEAK, MATRIX, True)
        return self.clocks.time

    def missing_matrix_fence(self, ins: Instruction) -> None:
        """A product whose registers were written without a wgmma.fence since."""
        program = self.gang.program
        message = "no wgmma.fence between the writes of its registers and this product"
        self.ledger.notice("missing fence", message, program, program.pc_of(ins))

    def matrix_waited(self, warps: Array, leader: int, time: int) -> None:
        """The warps of a warpgroup waited for its matrix work."""
        column = self.clocks.agent(MATRIX, leader)
        known = self.clocks.known[ORDER]
        known[warps, column] = np.maximum(known[warps, column], time)
