"""The end of a block of a cluster: its shared memory goes with it, so whatever other blocks do
there must come before.

A block's exit is ordered behind what its lanes know when the last of them exits. An access or
arrival by another block that is not among it may come too late on hardware, even where this run had
it in time. Copies into the memory of the block that nobody has waited for are in the same case.
"""

from __future__ import annotations

import numpy as np

from tilewright.runtime.vm.checks import shadow
from tilewright.runtime.vm.checks.accesses import AccessChecks
from tilewright.runtime.vm.checks.clocks import KINDS, LANES, ORDER
from tilewright.runtime.vm.checks.races import Access, Race
from tilewright.runtime.vm.memory import Array

MISSING = "a barrier of the cluster (or an mbarrier) between the access and the owner's exit"
Visit = tuple[int, int, int, int]
"""An access from outside: time, kind of agent, warp, mask of lanes (0: any)."""


class ExitChecks(AccessChecks):
    """What blocks of a cluster leave to each other's memory."""

    def arrive_abroad(self, lanes: Array, places: Array, pc: int) -> None:
        """Lanes arrive on mbarriers, some in other blocks' memory."""
        owners = places // self.gang.segment
        foreign = owners != self.gang.lane_block[lanes]
        if foreign.any():
            time = self.detector.tick(pc, "mbarrier arrival")
            for owner, lane in zip(owners[foreign].tolist(), lanes[foreign].tolist(), strict=True):
                self.visits[owner, lane] = time

    def lanes_exit(self, lanes: Array, pc: int) -> None:
        """Lanes have exited: blocks without any left end."""
        gang = self.gang
        ended = np.unique(gang.lane_block[lanes])
        alive = np.unique(gang.lane_block[gang.alive])
        for block in np.setdiff1d(ended, alive).tolist():
            clocks = self.clocks
            warps = np.arange(block * clocks.per_block, (block + 1) * clocks.per_block)
            clock = clocks.snapshot(warps)[ORDER]
            for time, kind, warp, mask in self._find_visits(block):
                if not self._is_known(clock, (time, kind, warp, mask)):
                    self._early_exit(block, (time, kind, warp, mask), pc)

    def _find_visits(self, block: int) -> list[Visit]:
        """The latest accesses from outside, by warp and kind."""
        found = [
            (time, LANES, lane // 32, 1 << lane % 32)
            for (owner, lane), time in self.visits.items()
            if owner == block
        ]
        region, per_block = self.detector.shared, self.clocks.per_block
        cells = slice(
            block * self.gang.segment // region.grain,
            (block + 1) * self.gang.segment // region.grain,
        )
        for kind, matrix in region.reads.items():
            records = matrix[:, cells]
            latest = records[np.arange(len(records)), records.argmax(axis=1)]
            for warp in np.flatnonzero(latest).tolist():
                if warp // per_block != block:
                    record = int(latest[warp])
                    mask = record & shadow.MEMBERS
                    found.append((record >> shadow.READ_TIME, max(kind, LANES), warp, mask))
        if region.writes is not None:
            found += self._find_written(block, region.writes[cells])
        return found

    def _find_written(self, block: int, records: Array) -> list[Visit]:
        clocks = self.clocks
        records = np.unique(records[records != 0])
        found = []
        for record in records.tolist():
            agent = (record >> shadow.AGENT & shadow.AGENTS) - self.detector.base
            kind, warp = divmod(agent, clocks.warps)
            if kind >= KINDS or (warp // clocks.per_block != block and agent >= 0):
                time = record >> shadow.TIME & shadow.TIME_MASK
                found.append((time, kind, warp, 1 << (record & 31) if kind < KINDS else 0))
        return found

    def _is_known(self, clock: Array, visit: Visit) -> bool:
        time, kind, warp, mask = visit
        if clock[kind * self.clocks.warps + warp] >= time:
            return True
        lanes = [lane for lane in range(32) if mask >> lane & 1]
        if kind >= KINDS or not lanes:
            return False
        columns = self.clocks.columns[kind, [warp * 32 + lane for lane in lanes]]
        return bool((clock[columns] >= time).all())

    def _early_exit(self, block: int, visit: Visit, pc: int) -> None:
        log, program = self.ledger.log, self.gang.program
        time, kind, warp, mask = visit
        first = log.pcs[time]
        if kind >= KINDS:
            warp = block * self.clocks.per_block
        lane = mask.bit_length() - 1 if mask & (mask - 1) == 0 and mask else None
        place, within, _ = self.gang.who(warp * 32)
        earlier = Access(log.whats[time], program.place(first), place, within, lane)
        owner, _, _ = self.gang.who(block * self.gang.block_lanes)
        exits = Access("exit of the memory's owner", program.place(pc), owner, 0, None)
        race = Race("shared", block * self.gang.segment, earlier, exits, MISSING)
        log.races.setdefault((first, pc, "x"), race)
