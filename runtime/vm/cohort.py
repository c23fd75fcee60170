"""Cohorts: sets of lanes at one program counter, and the straight runs of code that they
execute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tilewright.runtime.vm.bind import bind_full, bind_masked
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.gang import Gang
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.program import is_control

MAX_FRAMES = 24
Stack = tuple[tuple[int, int], ...]
"""Return address and the call's own program counter, outermost first."""


class Cohort:
    """Lanes that execute together."""

    __slots__ = ("frame", "lanes", "mask", "pc", "places", "spins", "stack", "turn", "warps")

    def __init__(self, gang: Gang, lanes: Array, pc: int, stack: Stack = (), turn: int = 0) -> None:
        self.pc, self.stack, self.turn, self.spins = pc, stack, turn, 0
        self.set_lanes(gang, lanes)

    def set_lanes(self, gang: Gang, lanes: Array) -> None:
        """Chooses the frame: the cohort's own range of whole warps where it is one, else the whole
        gang masked.
        """
        self.lanes = lanes
        places = np.flatnonzero(lanes)
        low, high = int(places[0]) // 32 * 32, (int(places[-1]) // 32 + 1) * 32
        dense = high - low == len(places)
        if not ((low, high) in gang.frames or (dense and len(gang.frames) < MAX_FRAMES)):
            low, high, dense = 0, gang.n, len(places) == gang.n
        self.frame = gang.frame(low, high)
        self.mask = None if dense else lanes[low:high]
        self.places = self.frame.places if dense else np.unique(places >> 5)
        self.warps = self.frame.warps if dense else len(self.places)

    @property
    def key(self) -> tuple[int, int, int]:
        """Which cohort goes first: earlier turn, deeper call, lower program counter (so that paths
        meet again).
        """
        return self.turn, -len(self.stack), self.pc


@dataclass
class Run:
    """Straight code from `start` up to, not with, `end`, bound to one frame, and how often warps
    issued it.
    """

    start: int
    end: int
    frame: Frame
    full: list[Callable[[], Any]] | None = None
    masked: list[Callable[[Any], Any]] | None = None
    terminate: Callable[[Cohort], bool] = field(default=lambda cohort: False)
    size: int = 0
    count: int = 0

    def bind_full(self) -> list[Callable[[], Any]]:
        """The closures that act on every lane of the frame."""
        code = self.frame.gang.program.instructions
        self.full = [bind_full(code[pc], self.frame) for pc in range(self.start, self.end)]
        return self.full

    def bind_masked(self) -> list[Callable[[Any], Any]]:
        """The closures that take a mask."""
        code = self.frame.gang.program.instructions
        self.masked = [bind_masked(code[pc], self.frame) for pc in range(self.start, self.end)]
        return self.masked


def find_end(gang: Gang, start: int) -> int:
    """The end of the straight run that begins at `start`."""
    program = gang.program
    end = start
    while not is_control(program.instructions[end]):
        end += 1
        if end in program.leaders:
            break
    return end
