"""Memory checks of one access: alignment, bounds of the very allocation, writes to read-only
memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tilewright.runtime.vm.memory import GLOBAL, SHARED_START, Array

if TYPE_CHECKING:
    from tilewright.runtime.vm.checks.traffic import Pattern
    from tilewright.runtime.vm.frame import Frame
    from tilewright.runtime.vm.records import Instruction

_MOST_SEEN = 4096


class Bounds:
    """The bounds of one access instruction in one frame."""

    def __init__(self, ins: Instruction, frame: Frame, kind: str, size: int) -> None:
        self.ins, self.frame, self.kind, self.size = ins, frame, kind, size
        gang = frame.gang
        lanes = slice(frame.low, frame.high)
        self.shared_base = gang.shared_base[lanes]
        self.local_base = gang.local_base[lanes]
        self.single = gang.count == 1
        self.seen: set[tuple[int, int]] = set()  # shared patterns and places found inside

    def passes(self, space: str, pattern: Pattern, base: int) -> bool:
        """Whether a known pattern of accesses is surely inside, without looking at each."""
        if pattern.bits & (min(self.size, 16) - 1):
            return False
        low, high, gang = base + pattern.low, base + pattern.high, self.frame.gang
        if space == "global":
            found = gang.launch.arena.holds(low, high)
            return found is not None and (self.kind == "read" or found.writable)
        if self.single:
            return low >= SHARED_START and high <= gang.shared_end
        return (pattern.serial, base) in self.seen

    def remember(self, pattern: Pattern, base: int) -> None:
        """A pattern in the shared memory of several blocks was found inside."""
        if not self.single and len(self.seen) < _MOST_SEEN:
            self.seen.add((pattern.serial, base))

    def check(self, space: str, offsets: Array, active: Array, mask: Array | None) -> None:
        """Raises a fault for the first warp that breaks a rule; `active` are the masked offsets."""
        low, high = int(np.minimum.reduce(active)), int(np.maximum.reduce(active))
        size = self.size
        if size > 1 and np.bitwise_or.reduce(active) & (min(size, 16) - 1):
            self.fail("misaligned", space, offsets, mask, offsets & (min(size, 16) - 1) != 0)
        gang = self.frame.gang
        if space == "global":
            found = gang.launch.arena.holds(low, high + size)
            if found is None:
                self._check_lanes(offsets, mask)
            elif self.kind != "read" and not found.writable:
                self.fail("read-only", space, offsets, mask, np.ones(len(offsets), np.bool_))
        elif space == "shared":
            self._check_shared(offsets, mask, low, high)
        else:
            inside = offsets - self.local_base
            wrong = (inside < 0) | (inside + size > gang.launch.local_size)
            self._fail_if("out of bounds", space, offsets, mask, wrong)

    def _check_shared(self, offsets: Array, mask: Array | None, low: int, high: int) -> None:
        gang = self.frame.gang
        if self.single and low >= SHARED_START and high + self.size <= gang.shared_end:
            return
        inside = offsets - self.shared_base
        if gang.is_cluster:
            inside = offsets % gang.segment
            start = gang.cluster_base[self.frame.low : self.frame.high]
            foreign = (offsets < start) | (offsets >= start + gang.cluster_blocks * gang.segment)
            self._fail_if("out of bounds", "shared", offsets, mask, foreign)
        wrong = (inside < SHARED_START) | (inside + self.size > gang.shared_end)
        self._fail_if("out of bounds", "shared", offsets, mask, wrong)

    def _check_lanes(self, offsets: Array, mask: Array | None) -> None:
        """Lanes in different allocations: each against its own."""
        arena = self.frame.gang.launch.arena
        starts = np.array(arena.starts)
        ends = starts + np.array([a.size for a in arena.allocations])
        index = np.searchsorted(starts, offsets, side="right") - 1
        wrong = (index < 0) | (offsets + self.size > ends[np.maximum(index, 0)])
        self._fail_if("out of bounds", "global", offsets, mask, wrong)
        if self.kind != "read":
            fixed = np.array([not a.writable for a in arena.allocations])
            self._fail_if("read-only", "global", offsets, mask, fixed[np.maximum(index, 0)])

    def _fail_if(
        self, kind: str, space: str, offsets: Array, mask: Array | None, wrong: Array
    ) -> None:
        if mask is not None:
            wrong = wrong & mask
        if wrong.any():
            self.fail(kind, space, offsets, mask, wrong)

    def fail(
        self, kind: str, space: str, offsets: Array, mask: Array | None, wrong: Array | None = None
    ) -> None:
        """Raises the fault of the first lane in `wrong` (None: of the mask)."""
        if wrong is None:
            wrong = np.ones(len(offsets), np.bool_)
        if mask is not None:
            wrong = wrong & mask
        lane = int(np.flatnonzero(wrong)[0])
        offset = int(offsets[lane])
        gang = self.frame.gang
        if space == "global":
            address, detail = offset + GLOBAL, describe(self, offset)
        elif space == "shared":
            address = offset - int(self.shared_base[lane])
            detail = f"; the block's shared memory is {SHARED_START:#x} to {gang.shared_end:#x}"
        else:
            address = offset - int(self.local_base[lane])
            detail = f"; the lane has {gang.launch.local_size} bytes of local memory"
        verb = {"read": "read", "write": "write", "atomic": "atomic access"}[self.kind]
        message = f"{verb} of {self.size} bytes in {space} memory{detail}"
        raise gang.fault(kind, message, self.ins, self.frame, wrong, address)


def describe(bounds: Bounds, offset: int) -> str:
    """Where a global offset lies relative to the nearest allocation."""
    arena = bounds.frame.gang.launch.arena
    found = arena.find(offset + GLOBAL)
    if found is None:
        return ", below every allocation (a null pointer?)"
    start = offset + GLOBAL - found.address
    if offset > arena.next:
        return ", far from every allocation"
    return f", at byte {start} of `{found.name}`, which has {found.size} bytes"
