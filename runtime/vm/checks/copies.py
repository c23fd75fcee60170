"""The checks of `cp.async`: bounds at issue, and the agent that only its wait joins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tilewright.runtime.vm.checks.accesses import AccessChecks
from tilewright.runtime.vm.checks.bounds import Bounds
from tilewright.runtime.vm.checks.clocks import COPIES
from tilewright.runtime.vm.checks.detector import WEAK
from tilewright.runtime.vm.checks.reporter import Accessors
from tilewright.runtime.vm.copies import Copy
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Instruction


class CopyChecks(AccessChecks):
    """Asynchronous copies by lanes."""

    def bind_copy(
        self, ins: Instruction, frame: Frame, size: int
    ) -> Callable[[Copy, Array | None], None]:
        """`check(copy, mask)` of a cp.async."""
        reads, writes = Bounds(ins, frame, "read", size), Bounds(ins, frame, "write", size)
        traffic, pc = self.ledger.traffic, self.gang.program.pc_of(ins)
        source = traffic.line(ins.line, "global", "cp.async")
        target = traffic.line(ins.line, "shared", "cp.async")

        def check(copy: Copy, mask: Array | None) -> None:
            full = np.zeros(frame.n, np.int64)
            chosen: Any = slice(None) if mask is None else mask
            full[chosen] = copy.target
            writes.check("shared", full, copy.target, mask)
            traffic.count(target, copy.target, copy.lanes - frame.low, size)
            warps, lanes = self.lane_warp[copy.lanes], self.lane_lane[copy.lanes]
            who = Accessors(warps, lanes)
            self._check_source(reads, copy, mask, who, pc, source)
            self.access(
                "shared", copy.target, who, size, "write", pc, "cp.async write", WEAK, COPIES
            )
            copy.agent = self.clocks.time
            self.clocks.issue(COPIES, copy.lanes)

        return check

    def _check_source(
        self, bounds: Bounds, copy: Copy, mask: Array | None, who: Accessors, pc: int, line: Any
    ) -> None:
        """The bytes that are read: lanes that read none may hold any address."""
        frame = bounds.frame
        offsets, lanes = copy.source, copy.lanes - frame.low
        if copy.valid is not None:
            reading = copy.valid > 0
            if not reading.any():
                return
            offsets, lanes = offsets[reading], lanes[reading]
            who = Accessors(who.warps[reading], who.lanes[reading])
            if (copy.valid[reading] < copy.size).any():
                self._check_partial(bounds, offsets, lanes, who, (copy.valid[reading], pc), line)
                return
        full, chosen = np.zeros(frame.n, np.int64), np.zeros(frame.n, np.bool_)
        full[lanes], chosen[lanes] = offsets, True
        bounds.check("global", full, offsets, chosen)
        self.ledger.traffic.count(line, offsets, lanes, copy.size)
        self.access("global", offsets, who, copy.size, "read", pc, "cp.async read", WEAK, COPIES)

    def _check_partial(
        self, bounds: Bounds, starts: Array, lanes: Array, who: Accessors, at: tuple[Array, int],
        line: Any,
    ) -> None:  # fmt: skip
        """Lanes that read fewer bytes than they write: in units that divide every count."""
        counts, pc = at
        unit = int(np.gcd.reduce(counts) & -np.gcd.reduce(counts))
        arena, frame = self.gang.launch.arena, bounds.frame
        single = Bounds(bounds.ins, frame, "read", unit)
        for start, count, lane in zip(starts, counts, lanes, strict=True):
            if arena.holds(int(start), int(start + count)) is None:
                mask = np.arange(frame.n) == lane
                single.fail("out of bounds", "global", np.full(frame.n, start + count - unit), mask)
        inside = np.arange(0, 16, unit) < counts[:, None]
        places = (starts[:, None] + np.arange(0, 16, unit))[inside]
        owners = np.repeat(np.arange(len(starts)), counts // unit)
        spread = Accessors(who.warps[owners], who.lanes[owners])
        self.ledger.traffic.count(line, places, lanes[owners], unit)
        self.access("global", places, spread, unit, "read", pc, "cp.async read", WEAK, COPIES)

    def copies_kept(self, lanes: Array | None, kept: list[Copy]) -> None:
        """After a wait of some lanes: all before the first copy that each has left is finished."""
        first = np.full(self.gang.n, np.iinfo(np.int64).max)
        for copy in kept:
            if copy.agent is not None:
                first[copy.lanes] = np.minimum(first[copy.lanes], copy.agent)
        left = first < np.iinfo(np.int64).max
        waiting = np.flatnonzero(left) if lanes is None else lanes[left[lanes]]
        self.clocks.wait(COPIES, waiting, first[waiting] - 1)

    def copy_waited(self, copy: Copy) -> None:
        """The issuing lanes waited for a copy."""
        if copy.agent is not None:
            self.clocks.wait(COPIES, copy.lanes, copy.agent)
