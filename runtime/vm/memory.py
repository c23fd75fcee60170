"""Address spaces: the global arena with one allocation per argument, shared segments, per-lane
local memory.

Virtual addresses. Global memory starts at `GLOBAL`; every allocation is followed by a red zone, so
that an index which runs off an array never lands in the next one. Generic addresses of shared and
local memory have windows of their own (`SHARED`, `LOCAL`), far below. All bytes of one space lie in
one NumPy array, seen through views of 1 to 16 bytes, so that an access of all lanes is one gather
or scatter.
"""

from __future__ import annotations

import copy
import mmap
import os
from bisect import bisect_right
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

GLOBAL = 0x7000_0000_0000
SHARED = 1 << 40
LOCAL = 2 << 40
RED_ZONE = 4096
SHARED_START = 1024  # unused first bytes, as on sm_90, so that 0 is never a valid address
RANK_BIT = 24  # shared addresses of a cluster: block rank above, offset below

Array = np.ndarray[Any, Any]
UNITS: dict[int, Any] = {
    1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64, 16: np.complex128,
}  # fmt: skip
"""Storage type per access size; complex128 is only ever copied, as 16 opaque bytes."""


def any_of(flags: Array) -> bool:
    """Whether any of some booleans is true: a fraction of the cost of `flags.any()`."""
    return bool(flags.argmax()) or bool(flags.item(0))


class Space:
    """Bytes with views of every access size."""

    def __init__(self, size: int, file: IO[bytes] | None = None) -> None:
        """Zeros; with a file, what the file holds, shared with everybody who maps it."""
        padded = max((size + 63) // 64 * 64, 64)
        if file is None:
            self.data: Array = np.zeros(padded // 16, np.complex128).view(np.uint8)
        else:
            os.ftruncate(file.fileno(), padded)
            self.data = np.frombuffer(mmap.mmap(file.fileno(), padded), np.uint8)
        self.views: dict[int, Array] = {n: self.data.view(t) for n, t in UNITS.items()}


@dataclass(frozen=True, slots=True)
class Allocation:
    """A live range of global memory: an argument or a variable."""

    name: str
    address: int
    size: int
    writable: bool = True


class Arena:
    """Global memory: reserve everything, then `build` the bytes."""

    def __init__(self) -> None:
        self.allocations: list[Allocation] = []
        self.next = RED_ZONE
        self.space = Space(0)
        self.starts: list[int] = []
        self.file: IO[bytes] | None = None  # where the bytes lie, if processes share them

    def reserve(
        self, name: str, size: int, *, align: int = 256, writable: bool = True
    ) -> Allocation:
        """A new allocation with red zones on both sides; its address has the alignment `align`."""
        start = (self.next + align - 1) // align * align
        allocation = Allocation(name, GLOBAL + start, size, writable)
        self.allocations.append(allocation)
        self.next = start + size + RED_ZONE
        return allocation

    def build(self) -> None:
        """Makes the bytes of everything reserved."""
        self.space = Space(self.next + RED_ZONE, self.file)
        self.starts = [a.address - GLOBAL for a in self.allocations]

    def without_bytes(self) -> Arena:
        """The allocations, to be sent to a process that attaches the same file."""
        found = copy.copy(self)
        found.space, found.file = Space(0), None
        return found

    def attach(self, file: IO[bytes]) -> None:
        """Takes the bytes of another process."""
        self.space, self.file = Space(self.next + RED_ZONE, file), file

    def close(self) -> None:
        """Other processes no longer attach; the bytes stay."""
        if self.file is not None:
            self.file.close()

    def bytes_of(self, allocation: Allocation) -> Array:
        """The bytes of one allocation, writable in place."""
        start = allocation.address - GLOBAL
        return self.space.data[start : start + allocation.size]

    def find(self, address: int) -> Allocation | None:
        """The allocation whose bytes or trailing red zone hold `address` (for messages)."""
        index = bisect_right(self.starts, address - GLOBAL) - 1
        return self.allocations[index] if index >= 0 else None

    def describe(self, address: int) -> str:
        """Which byte of which allocation `address` is; nothing where it is none."""
        found = self.find(address)
        return f"byte {address - found.address} of `{found.name}`" if found else ""

    def holds(self, low: int, high: int) -> Allocation | None:
        """The one allocation that holds the offsets `low` up to, not with, `high`, if there is
        one.
        """
        index = bisect_right(self.starts, low) - 1
        if index < 0:
            return None
        allocation = self.allocations[index]
        return allocation if high <= self.starts[index] + allocation.size else None
