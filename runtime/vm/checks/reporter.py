"""Who made the two accesses of a race, where, and which edge is missing: the detector's reports."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tilewright.runtime.vm.checks import shadow
from tilewright.runtime.vm.checks.clocks import (
    BULK,
    COPIES,
    KINDS,
    LANES,
    MATRIX,
    ORDER,
    STORES,
    Clocks,
)
from tilewright.runtime.vm.checks.races import Access, Race
from tilewright.runtime.vm.checks.shadow import Region
from tilewright.runtime.vm.memory import GLOBAL, Array
from tilewright.runtime.vm.program import Program

LIMIT = 200  # races kept per launch; one per pair of instructions


@dataclass(frozen=True)
class Accessors:
    """Who makes an access, byte range by byte range: warp and lane of each element."""

    warps: Array
    lanes: Array

    @cached_property
    def places(self) -> Array:
        """Agent and lane as records hold them, for the lanes' own accesses in a first gang."""
        found: Array = self.warps << shadow.AGENT | self.lanes
        return found

    def spread(self, per: int) -> Accessors:
        """The same when each access covers `per` cells."""
        if per == 1:
            return self
        return Accessors(np.repeat(self.warps, per), np.repeat(self.lanes, per))


class Log:
    """What happened at which time, for reports: shared by all gangs of a launch."""

    def __init__(self) -> None:
        self.pcs: list[int] = [0]
        self.whats: list[str] = [""]
        self.gangs: list[tuple[int, int, int]] = []  # agent base, first block, warps of a gang
        self.races: dict[tuple[int, int, str], Race] = {}


class Reporter:
    """What the reports of one gang need: its log, its clocks, its shared memory."""

    def __init__(self, gang: Any, log: Log) -> None:
        self.gang, self.log = gang, log
        program: Program = gang.program
        self.program = program
        self.per_block = gang.block_lanes // 32
        proxies = any(i.opcode == "wgmma" or "bulk" in i.mods for i in program.instructions)
        self.clocks = Clocks(gang.count, self.per_block, proxies=proxies)
        self.columns = self.clocks.warps if gang.is_cluster else self.per_block
        self.shared = Region("shared", 0, gang.segment * gang.count, self.columns)
        self.base = 0
        self.together: dict[tuple[int, int], list[int]] = {}  # lanes by time and agent

    def _report(
        self, region: Region, cell: int, record: int, who: Accessors, bad: int, pc: int, what: str,
        was_write: bool, missing: str = "",
    ) -> None:  # fmt: skip
        time = record >> shadow.TIME & shadow.TIME_MASK
        first = self.log.pcs[time]
        key = (first, pc, "w" if was_write else "r")
        if key in self.log.races or len(self.log.races) >= LIMIT:
            return
        agent = record >> shadow.AGENT & shadow.AGENTS
        lane = record & 63
        warp, later_lane = int(who.warps[bad]), int(who.lanes[bad])
        earlier_place, owner, kind = self._locate(agent)
        earlier = Access(
            self.log.whats[time], self.program.place(first), earlier_place, owner,
            None if lane == shadow.SEVERAL else lane,
        )  # fmt: skip
        later = Access(
            what, self.program.place(pc), self._block(warp), warp % self.per_block, later_lane
        )
        address = region.base + cell * region.grain
        address = address % self.gang.segment if region.columns else address + GLOBAL
        missing = missing or self._missing((agent, lane), time, kind, warp)
        self.log.races[key] = Race(
            "shared" if region.columns else "global", address, earlier, later, missing
        )

    def _block(self, warp: int) -> tuple[int, int, int]:
        place: tuple[int, int, int] = self.gang.block_index(warp // self.per_block)
        return place

    def _locate(self, agent: int) -> tuple[tuple[int, int, int], int, int]:
        """Block, warp and kind of an agent of this or an earlier gang."""
        base, first_block, warps = next(g for g in reversed(self.log.gangs) if g[0] <= agent)
        kind, warp = divmod(agent - base, warps)
        if kind >= KINDS:
            return self.gang.block_index(0), 0, KINDS
        before = self.gang.first_block
        self.gang.first_block = first_block
        place = self.gang.block_index(warp // self.per_block)
        self.gang.first_block = before
        return place, warp % self.per_block, kind

    def _missing(self, first: tuple[int, int], time: int, kind: int, warp: int) -> str:
        """The edge that would order the two accesses."""
        inside = first[0] - self.base
        clocks = self.clocks
        if inside < 0:
            return (
                "a release by the first block and an acquire by the second (blocks are not ordered)"
            )
        if kind == KINDS:
            return "a wait on the mbarrier phase that the copy completes"
        owner = inside % clocks.warps
        if kind == MATRIX and clocks.known[ORDER][warp, inside] < time:
            return "wgmma.wait_group by the warpgroup, before what orders the second access"
        wait = {
            COPIES: "cp.async.wait_group", BULK: "cp.async.bulk.wait_group",
            STORES: "cp.async.bulk.wait_group", MATRIX: "wgmma.wait_group",
        }.get(kind)  # fmt: skip
        name = f"warp {owner % self.per_block}"
        if wait and clocks.own[kind, owner * 32 + first[1] % 32] < time:
            return f"{wait} by {name} that covers it" + (
                ""
                if owner == warp
                else f", then a barrier of {name} and warp {warp % self.per_block}"
            )
        if owner == warp:
            return f"bar.warp.sync (__syncwarp) between lanes of {name}"
        singles = clocks.columns[LANES, owner * 32 : owner * 32 + 32]
        if (clocks.known[ORDER][warp, singles] > time).any():
            return f"bar.warp.sync (__syncwarp) before one lane of {name} arrives for all of them"
        if owner // self.per_block == warp // self.per_block:
            return (
                f"a barrier (__syncthreads) that both {name} and warp {warp % self.per_block} pass"
            )
        return "a release by the first block and an acquire by the second (or a cluster barrier)"
