"""All checks of a gang behind one object: bounds, traffic, races, uninitialised memory."""

from __future__ import annotations

import numpy as np

from tilewright.runtime.vm.checks.bulk import BulkChecks
from tilewright.runtime.vm.checks.clocks import join
from tilewright.runtime.vm.checks.copies import CopyChecks
from tilewright.runtime.vm.checks.exits import ExitChecks
from tilewright.runtime.vm.checks.ledger import Ledger
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Instruction

__all__ = ["Checks", "Ledger"]


class Checks(CopyChecks, BulkChecks, ExitChecks):
    """Accesses, asynchronous work, and here the edges: barriers and fences."""

    def barrier(self, waiting: Array, before: Array | None) -> None:
        """A block's barrier completed for the lanes that wait; `before` is what came from those
        that had arrived without waiting.
        """
        if waiting.all() and before is None:
            self.clocks.barrier_everywhere()
            return
        warps = np.unique(self.lane_warp[waiting])
        self.clocks.barrier(warps, warps, before)

    def barrier_arrive(self, before: Array | None, lanes: Array) -> Array:
        """Lanes arrive at a barrier and go on; joins what they know now to what others left."""
        found = join(before, self.clocks.snapshot(np.unique(self.lane_warp[lanes])))
        self.clocks.time += 1
        return found

    def barrier_pass(self, clock: Array | None, lanes: Array) -> None:
        """Lanes go past a barrier of the cluster, and learn what its arrivals left."""
        if clock is not None:
            places = np.flatnonzero(lanes)
            for warp, _, members in self.ordering.groups(
                places // 32, places % 32, np.zeros_like(places)
            ):
                self.ordering.learn(warp, members, clock)

    def warp_barrier(self, frame: Frame, active: Array | None, members: Array) -> None:
        """bar.warp.sync: the lanes of a mask learn from each other."""
        clocks = self.clocks
        lanes = np.arange(frame.n) if active is None else np.flatnonzero(active)
        masks, warps = members[lanes].astype(np.int64), lanes // 32 + frame.low // 32
        full = (1 << np.minimum(self.ordering.full[warps], 32)) - 1
        whole = np.unique(warps[masks & full == full])
        if len(whole):
            clocks.meet(whole)
        rest = masks & full != full
        for warp, mask in set(zip(warps[rest].tolist(), masks[rest].tolist(), strict=True)):
            clocks.meet_lanes(warp, [lane for lane in range(32) if mask >> lane & 1])
        clocks.time += 1

    def fence(self, ins: Instruction, frame: Frame, mask: Array | None) -> None:
        """membar, fence: for acquire and release patterns through relaxed accesses; proxy
        fences.
        """
        lanes = np.arange(frame.n) if mask is None else np.flatnonzero(mask)
        if "proxy" in ins.mods or "mbarrier_init" in ins.mods:
            for warp, _, members in self.ordering.groups(
                lanes // 32 + frame.low // 32, lanes % 32, np.zeros_like(lanes)
            ):
                self.clocks.show(warp, members)
            return
        self.ordering.fence(ins, lanes // 32 + frame.low // 32, lanes % 32)
