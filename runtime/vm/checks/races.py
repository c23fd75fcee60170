"""Race reports: the two accesses, where they came from, and the edge that is missing between
them.
"""

from __future__ import annotations

from dataclasses import dataclass

from tilewright.runtime.vm.faults import Place


@dataclass(frozen=True, slots=True)
class Access:
    """One side of a race."""

    what: str
    place: Place
    block: tuple[int, int, int]
    warp: int
    lane: int | None

    def __str__(self) -> str:
        lane = "several lanes" if self.lane is None else f"lane {self.lane}"
        return f"{self.what} by block {self.block} warp {self.warp} {lane} at {self.place}"


@dataclass(frozen=True, slots=True)
class Race:
    """Two accesses to one byte, at least one a write, that nothing orders."""

    space: str
    address: int
    earlier: Access
    later: Access
    missing: str
    values_differ: bool = True
    where: str = ""  # the byte of an argument or variable, in words

    @property
    def lines(self) -> tuple[int, int]:
        """The PTX lines of both accesses."""
        return self.earlier.place.line, self.later.place.line

    def __str__(self) -> str:
        where = f", {self.where}" if self.where else ""
        return (
            f"race in {self.space} memory at {self.address:#x}{where}:\n"
            f"  {self.earlier}\n  {self.later}\n  missing: {self.missing}"
        )


@dataclass(frozen=True, slots=True)
class Notice:
    """Something legal for hardware but surely not meant."""

    kind: str
    message: str
    place: Place

    def __str__(self) -> str:
        return f"{self.kind}: {self.message} at {self.place}"
