"""The kinds of spans: what a warp does, what it waits for, and what runs beside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of span: its name, colour and meaning; `queue` is the asynchronous work that a wait of
    this kind waits for.
    """

    name: str
    color: str
    meaning: str
    queue: str = ""

    @property
    def is_dark(self) -> bool:
        """Whether text on it should be white."""
        red, green, blue = (int(self.color[i : i + 2], 16) for i in (1, 3, 5))
        return 0.3 * red + 0.59 * green + 0.11 * blue < 140


WORK = Kind("work", "#b4c1d1", "instructions of the warp")
MMA = Kind("mma", "#7a5bb0", "mma.sync on the warp")
BARRIER = Kind("barrier", "#e8a33d", "bar.sync, barrier.cluster")
MBARRIER = Kind("mbarrier", "#d6562b", "mbarrier.try_wait, test_wait", "bulk copy")
COPY_WAIT = Kind("copy wait", "#f2d34f", "cp.async.wait_group, wait_all", "cp.async")
STORE_WAIT = Kind("store wait", "#c98ab4", "cp.async.bulk.wait_group", "bulk store")
WGMMA_WAIT = Kind("wgmma wait", "#a3195b", "wgmma.wait_group", "wgmma")
CP_ASYNC = Kind("cp.async", "#2a9d76", "cp.async, one bar per group")
BULK_COPY = Kind("bulk copy", "#1f78b4", "TMA and bulk copies, one bar per mbarrier phase")
BULK_STORE = Kind("bulk store", "#6fb7e0", "TMA and bulk stores, one bar per bulk group")
WGMMA = Kind("wgmma", "#7a5bb0", "wgmma in flight, one bar per group")

WAITS = (BARRIER, MBARRIER, COPY_WAIT, STORE_WAIT, WGMMA_WAIT)
WARP_KINDS = (WORK, MMA, *WAITS)
ASYNCHRONOUS = (CP_ASYNC, BULK_COPY, BULK_STORE, WGMMA)
KINDS = (*WARP_KINDS, *ASYNCHRONOUS)
BY_NAME = {kind.name: kind for kind in KINDS}
NUMBER = {kind.name: number for number, kind in enumerate(KINDS)}
