"""The one exception of the virtual machine, and the places that it names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tilewright.runtime.vm.report import Report


@dataclass(frozen=True, slots=True)
class Place:
    """Where something happened: the PTX line with its text, and the source line that `.loc`
    gave.
    """

    line: int
    text: str
    source: str | None = None

    def __str__(self) -> str:
        where = f"PTX line {self.line}: {self.text}"
        return f"{where} ({self.source})" if self.source else where


class Fault(Exception):
    """A kernel did what hardware would refuse or leave undefined, or used what the machine lacks.

    `kind` is a short stable name (`out of bounds`, `misaligned`, `deadlock`, …); `place` the
    instruction; `block` the block's coordinates; `warp` the warp within it; `lanes` the lanes
    within the warp; `address` the first offending address. `report` is what the run had found until
    then (None before it began).
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        place: Place | None = None,
        block: tuple[int, int, int] | None = None,
        warp: int | None = None,
        lanes: tuple[int, ...] = (),
        address: int | None = None,
    ) -> None:
        self.kind, self.message, self.place = kind, message, place
        self.block, self.warp, self.lanes, self.address = block, warp, lanes, address
        self.report: Report | None = None
        super().__init__(self._text())

    def __reduce__(self) -> tuple[Any, ...]:
        """Faults travel between processes, without their report."""
        rest = (self.place, self.block, self.warp, self.lanes, self.address)
        return _remake, (self.kind, self.message, *rest)

    @property
    def line(self) -> int | None:
        """The line in the PTX text."""
        return self.place.line if self.place else None

    @property
    def source(self) -> str | None:
        """`file:line` of the source, where the PTX has `.loc`."""
        return self.place.source if self.place else None

    def _text(self) -> str:
        parts = [f"{self.kind}: {self.message}"]
        if self.place:
            parts.append(f"  at {self.place}")
        who = []
        if self.block is not None:
            who.append(f"block {self.block}")
        if self.warp is not None:
            who.append(f"warp {self.warp}")
        if self.lanes:
            who.append(f"lanes {print_ranges(self.lanes)}")
        if self.address is not None:
            who.append(f"address {self.address:#x}")
        if who:
            parts.append("  in " + ", ".join(who))
        return "\n".join(parts)


def _remake(
    kind: str, message: str, place: Place | None, block: tuple[int, int, int] | None,
    warp: int | None, lanes: tuple[int, ...], address: int | None,
) -> Fault:  # fmt: skip
    return Fault(kind, message, place=place, block=block, warp=warp, lanes=lanes, address=address)


def print_ranges(lanes: Iterable[int]) -> str:
    """`(0, 1, 2, 5)` as `0-2, 5`."""
    runs: list[list[int]] = []
    for lane in sorted(lanes):
        if runs and lane == runs[-1][1] + 1:
            runs[-1][1] = lane
        else:
            runs.append([lane, lane])
    return ", ".join(f"{a}-{b}" if a != b else str(a) for a, b in runs)
