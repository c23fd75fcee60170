"""All checks of a gang behind one object: bounds, traffic, races, uninitialised memory."""

from __future__ import annotations

import numpy as np

from tilewright.runtime.vm.checks.bulk import BulkChecks
from tilewright.runtime.vm.checks.copies import CopyChecks
from tilewright.runtime.vm.checks.ledger import Ledger
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Instruction

__all__ = ["Checks", "Ledger"]


class Checks(CopyChecks, BulkChecks):
    """Accesses, asynchronous work, and here the edges: barriers and fences."""

    def barrier(self, arriving: Array, waiting: Array) -> None:
        """A block (or cluster) barrier completed."""
        if arriving.all() and waiting.all():
            self.clocks.barrier_everywhere()
            return
        arrived = np.unique(self.lane_warp[arriving])
        self.clocks.barrier(arrived, np.unique(self.lane_warp[waiting]))

    def cluster_barrier(self, participants: Array) -> None:
        """A cluster's barrier completed: its lanes are joined at once, whenever they wait."""
        warps = np.unique(self.lane_warp[participants])
        self.clocks.barrier(warps, warps)

    def warp_barrier(self, frame: Frame, active: Array | None, members: Array) -> None:
        """bar.warp.sync."""
        lanes = np.arange(frame.n) if active is None else np.flatnonzero(active)
        self.clocks.warp_barrier(np.unique(lanes // 32) + frame.low // 32)

    def fence(self, ins: Instruction, frame: Frame, mask: Array | None) -> None:
        """membar, fence: for acquire and release patterns through relaxed accesses; proxy
        fences.
        """
        lanes = np.arange(frame.n) if mask is None else np.flatnonzero(mask)
        if "proxy" in ins.mods or "mbarrier_init" in ins.mods:
            self.clocks.proxy_fence(np.unique(lanes // 32) + frame.low // 32)
            return
        self.clocks.fence(np.unique(lanes // 32) + frame.low // 32)
