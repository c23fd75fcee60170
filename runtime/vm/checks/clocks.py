"""Happens-before: what each warp knows of every agent.

Time is one counter that every checked access of the gang advances. `known[w, a]` is the time up to
which warp `w` is ordered behind the accesses of agent `a`. The agents of a gang are, for each warp,
its lanes, its `cp.async` copies, its bulk-group copies (their reads and their writes) and its wgmma
reads, and then one per mbarrier (copies that complete there). Copies of one agent complete in
order, so one number per pair suffices. `own[kind][w]` is what a warp's lanes know of their own
lane's asynchronous work: a wait orders only the waiting lane, the next barrier publishes it.
"""

from __future__ import annotations

import numpy as np

from tilewright.runtime.vm.memory import Array

LANES, COPIES, BULK, STORES, MATRIX = range(5)
KINDS = 5
MBARRIERS = 256


class Clocks:
    """The knowledge matrix of a gang."""

    def __init__(self, blocks: int, warps: int, *, proxies: bool = False) -> None:
        self.blocks, self.per_block = blocks, warps
        self.warps = blocks * warps
        self.agents = KINDS * self.warps + MBARRIERS
        self.known: Array = np.zeros((self.warps, self.agents), np.int64)
        # What generic-proxy accesses are fenced for the async proxy, as far as each warp knows.
        self.visible: Array | None = np.zeros_like(self.known) if proxies else None
        self.own: Array = np.zeros((KINDS, self.warps), np.int64)
        self.past: Array = np.zeros(self.warps, np.bool_)  # acquired from an earlier gang
        self.floors: Array = np.zeros(blocks, np.int64)
        self.floor = 0
        self.time = 1
        self._reset_released()

    def _reset_released(self) -> None:
        self.fenced: dict[int, Array] = {}
        self.acquiring: dict[int, Array] = {}
        self.released: dict[tuple[str, int], Array] = {}

    def start(self) -> None:
        """A new gang: nobody knows anybody's accesses so far."""
        self.known[:] = 0
        if self.visible is not None:
            self.visible[:] = 0
        self.own[:] = 0
        self.past[:] = False
        self.floors[:] = 0
        self.floor = 0
        self._reset_released()

    def agent(self, kind: int, warp: int) -> int:
        """The number of a warp's agent."""
        return kind * self.warps + warp

    def _publish(self, warps: Array) -> None:
        """Everything that the warps' lanes did or waited for so far becomes what the warps pass
        on.
        """
        for kind in range(KINDS):
            columns = kind * self.warps + warps
            if kind == LANES:
                self.known[warps, columns] = self.time
            else:
                self.known[warps, columns] = np.maximum(
                    self.known[warps, columns], self.own[kind, warps]
                )
        self.time += 1

    def barrier(self, arriving: Array, waiting: Array) -> None:
        """All warps in `waiting` learn what all warps in `arriving` know."""
        self._publish(arriving)
        joined = self.known[arriving].max(axis=0)
        self.known[waiting] = np.maximum(self.known[waiting], joined)
        if self.visible is not None:
            shown = self.visible[arriving].max(axis=0)
            self.visible[waiting] = np.maximum(self.visible[waiting], shown)
        self._raise_floor(arriving, waiting)

    def barrier_everywhere(self) -> None:
        """Every block's warps meet at their block's barrier."""
        everybody = np.arange(self.warps)
        self._publish(everybody)
        cube = self.known.reshape(self.blocks, self.per_block, self.agents)
        cube[:] = cube.max(axis=1)[:, None, :]
        if self.visible is not None:
            cube = self.visible.reshape(self.blocks, self.per_block, self.agents)
            cube[:] = cube.max(axis=1)[:, None, :]
        self.floors[:] = self.time - 1
        self.floor = self.time - 1

    def _raise_floor(self, arriving: Array, waiting: Array) -> None:
        """Where a whole block met, everything before is ordered for all of it (except work in
        flight).
        """
        blocks = waiting // self.per_block
        if (
            len(waiting) == self.per_block
            and np.array_equal(arriving, waiting)
            and (blocks == blocks[0]).all()
        ):
            self.floors[arriving[0] // self.per_block] = self.time - 1
            self.floor = int(self.floors.min())

    def warp_barrier(self, warps: Array) -> None:
        """`bar.warp.sync`: the lanes of each warp learn from each other."""
        self._publish(warps)

    def proxy_fence(self, warps: Array) -> None:
        """fence.proxy.async: what the warps know becomes visible to the async proxy."""
        self._publish(warps)
        if self.visible is not None:
            self.visible[warps] = np.maximum(self.visible[warps], self.known[warps])

    def mbarrier_agent(self, slot: int) -> int:
        """The agent of the copies that complete on an mbarrier (slots beyond the last share
        one).
        """
        return KINDS * self.warps + min(slot, MBARRIERS - 1)

    def wait(self, kind: int, warps: Array, times: Array) -> None:
        """Lanes of the warps waited for their own asynchronous work up to the given times."""
        np.maximum.at(self.own[kind], warps, times)

    # -- acquire and release -----------------------------------------------------------------

    def snapshot(self, warp: int) -> Array:
        """What a warp would pass on now."""
        row = self.known[warp].copy()
        row[warp] = self.time
        for kind in range(1, KINDS):
            column = kind * self.warps + warp
            row[column] = max(row[column], self.own[kind, warp])
        found: Array = row
        return found

    def fence(self, warps: Array) -> None:
        """A fence: later relaxed writes release what is known now; earlier relaxed reads
        acquire.
        """
        for warp in warps.tolist():
            if warp in self.acquiring:
                np.maximum(self.known[warp], self.acquiring.pop(warp), out=self.known[warp])
            self.fenced[warp] = self.snapshot(warp)
        self.time += 1

    def release(self, key: tuple[str, int], clock: Array) -> None:
        """A releasing write at an address."""
        before = self.released.get(key)
        self.released[key] = clock if before is None else np.maximum(before, clock)

    def acquire(self, warp: int, clock: Array) -> None:
        """An acquiring read."""
        np.maximum(self.known[warp], clock, out=self.known[warp])
