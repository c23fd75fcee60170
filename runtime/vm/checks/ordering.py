"""Release and acquire through strong accesses (atomic, volatile, relaxed, acquire, release)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tilewright.runtime.vm.checks.clocks import Clocks
from tilewright.runtime.vm.checks.detector import Accessors
from tilewright.runtime.vm.checks.ledger import Ledger
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Instruction

STRONG = {"volatile", "relaxed", "acquire", "release", "acq_rel", "mmio"}
Order = Callable[[str, Array, Accessors], None]


def bind_order(ins: Instruction, clocks: Clocks, ledger: Ledger, kind: str) -> Order | None:
    """Release and acquire through strong accesses; None for plain ones."""
    mods = set(ins.mods)
    if kind != "atomic" and not STRONG & mods:
        return None
    writes = ins.opcode in ("st", "red", "atom")
    reads = ins.opcode in ("ld", "atom")
    releases = bool({"release", "acq_rel"} & mods)
    acquires = bool({"acquire", "acq_rel"} & mods)

    def order(space: str, offsets: Array, who: Accessors) -> None:
        if not releases and not clocks.fenced and not clocks.released and not ledger.earlier:
            return
        places = dict.fromkeys(zip(who.warps.tolist(), offsets.tolist(), strict=True))  # in order
        for warp, offset in places:
            key = (space, offset)
            if reads and key in ledger.earlier:
                clocks.past[warp] = True
            found = clocks.released.get(key)
            if found is not None and reads:
                _acquire(clocks, warp, found, acquires)
            if writes and (releases or warp in clocks.fenced):
                ledger.released.add(key)
                clocks.release(key, clocks.snapshot(warp) if releases else clocks.fenced[warp])

    return order


def _acquire(clocks: Clocks, warp: int, clock: Array, now: bool) -> None:
    if now:
        clocks.acquire(warp, clock)
    else:
        before = clocks.acquiring.get(warp)
        clocks.acquiring[warp] = clock.copy() if before is None else np.maximum(before, clock)
