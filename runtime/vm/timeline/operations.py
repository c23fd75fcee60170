"""Asynchronous work as the recorder sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.timeline.kinds import Kind


@dataclass(slots=True)
class Operation:
    """Asynchronous work of one warp (a number) or several (a slice or an array of warps): when each
    issued it, when it acted (`ended`) and when a wait covered it (None, -1: not yet). What belongs
    to several warps are arrays; they are never changed in place.
    """

    kind: Kind
    pc: int
    warps: Any
    issued: Any
    group: Any
    bytes: Any
    lanes: int = 0
    ended: Any = None
    covered: Any = None
    place: int = -1  # the mbarrier on which it completes

    def is_all(self, lanes: Array | None) -> bool:
        """Whether lanes of the operation are all of it."""
        return lanes is None or len(lanes) == self.lanes

    def is_plain(self, lanes: Array | None) -> bool:
        """Whether lanes are all of it, and it completes on no mbarrier."""
        return self.place < 0 and self.is_all(lanes)

    def put(self, before: Any, values: Any, lanes: Array | None) -> Any:
        """A column with new values for the warps of some lanes."""
        if self.is_all(lanes):
            return values
        assert lanes is not None
        column = np.full(len(self.issued), -1) if before is None else np.array(before)
        warps = self.warps
        if isinstance(warps, slice):
            warps = np.arange(warps.start, warps.stop)
        chosen = np.isin(warps, lanes >> 5)
        column[chosen] = np.broadcast_to(values, column.shape)[chosen]
        return column
