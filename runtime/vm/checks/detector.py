"""The race detector: every checked access against the shadow, ordered by the clocks.

An access is a race if the shadow holds an access of another lane to the same byte, one of the two
is a write, not both are strong (atomic, volatile, relaxed, …), and no chain of barriers, waits, or
release and acquire orders the first before the second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.runtime.vm.checks import shadow
from tilewright.runtime.vm.checks.clocks import (
    BULK,
    COPIES,
    KINDS,
    LANES,
    MATRIX,
    STORES,
    Clocks,
)
from tilewright.runtime.vm.checks.races import Access, Race
from tilewright.runtime.vm.checks.shadow import Region
from tilewright.runtime.vm.memory import GLOBAL, Array
from tilewright.runtime.vm.program import Program

LIMIT = 200  # races kept per launch; one per pair of instructions


@dataclass(frozen=True, slots=True)
class Accessors:
    """Who makes an access, byte range by byte range: warp and lane of each element."""

    warps: Array
    lanes: Array

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


class Detector:
    """The detector of one gang."""

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

    def start(self, base: int, time: int) -> None:
        """A new set of blocks, whose agents are numbered from `base`."""
        self.base = base
        self.clocks.start()
        self.clocks.time = time
        self.shared.clear()

    # -- one access --------------------------------------------------------------------------

    def access(
        self, region: Region, offsets: Array, who: Accessors, size: int, *,
        kind: str, pc: int, what: str, strong: bool = False, agent: Any = LANES,
        proxy: bool = False,
    ) -> Array | None:  # fmt: skip
        """Checks and records an access; returns a mask of elements that another lane of this step
        also wrote.

        `agent` is a kind of agent of the accessing warps, or an array of agents (mbarrier
        completions); `proxy` says that the access is made by the async proxy.
        """
        if size < region.grain:
            region.split(size)
        per = size // region.grain
        cells = (offsets - region.base) // region.grain
        if per > 1:
            cells = (cells[:, None] + np.arange(per)).ravel()
        who = who.spread(per)
        time = self.tick(pc, what)
        if kind == "read":
            self._check_writes(region, cells, who, strong, (pc, what, proxy))
            self._record_read(region, cells, who, time, strong, agent)
            return None
        self._check_writes(region, cells, who, strong, (pc, what, proxy))
        self._check_reads(region, cells, who, strong, (pc, what))
        twice = self._record_write(region, cells, who, time, strong, agent)
        if twice is None:
            return None
        lost: Array = np.logical_or.reduce(twice.reshape(-1, per), axis=1)
        return lost

    def tick(self, pc: int, what: str) -> int:
        """Advances time by one access, which the log remembers."""
        clocks = self.clocks
        clocks.time += 1
        pcs = self.log.pcs
        if len(pcs) <= clocks.time:
            missing = clocks.time + 1 - len(pcs)
            pcs.extend([pc] * missing)
            self.log.whats.extend([what] * missing)
        return clocks.time

    def _check_writes(
        self, region: Region, cells: Array, who: Accessors, strong: bool, at: tuple[int, str, bool]
    ) -> None:
        records = region.writes[cells]
        newest = int(np.maximum.reduce(records))
        if newest == 0:
            return
        proxy = at[2] and self.clocks.visible is not None
        if (
            region.columns
            and not proxy
            and newest < shadow.FLIGHT
            and newest >> shadow.TIME <= self.clocks.floor
        ):
            return
        ordered = self.ordered(records, who)
        if strong:
            ordered |= records & shadow.ATOMIC != 0
        if not ordered.all():
            bad = int(np.flatnonzero(~ordered)[0])
            self._report(region, int(cells[bad]), int(records[bad]), who, bad, at[0], at[1], True)
        elif proxy:
            self._check_proxy(region, cells, records, who, at)

    def _check_proxy(
        self,
        region: Region,
        cells: Array,
        records: Array,
        who: Accessors,
        at: tuple[int, str, bool],
    ) -> None:
        """Ordered writes of the generic proxy must also be fenced for the async proxy."""
        clocks = self.clocks
        assert clocks.visible is not None
        agent = (records >> shadow.AGENT & 0xFFFFFF) - self.base
        generic = (agent >= 0) & (agent // clocks.warps <= COPIES) & region_is_shared(region)
        time = records >> shadow.TIME & shadow.TIME_MASK
        hidden = generic & (time > clocks.visible[who.warps, np.maximum(agent, 0)])
        if hidden.any():
            bad = int(np.flatnonzero(hidden)[0])
            missing = "fence.proxy.async between the write and the async proxy's access"
            if agent[bad] // clocks.warps == COPIES:
                self._notice(at[0], f"{at[1]} of data that cp.async wrote, without {missing}")
                return
            record = int(records[bad])
            self._report(
                region, int(cells[bad]), record, who, bad, at[0], at[1], True, missing=missing
            )

    def _notice(self, pc: int, message: str) -> None:
        self.gang.launch.ledger.notice("missing proxy fence", message, self.program, pc)

    def ordered(self, records: Array, who: Accessors) -> Array:
        """Which recorded writes happen before an access now."""
        clocks, warps = self.clocks, who.warps
        time = records >> shadow.TIME & shadow.TIME_MASK
        agent = (records >> shadow.AGENT & 0xFFFFFF) - self.base
        inside = np.maximum(agent, 0)
        result: Array = time <= clocks.known[warps, inside]
        if agent.min() >= 0 and result.all():
            return result
        owner_kind, owner = np.divmod(inside, clocks.warps)
        mine = (owner == warps) & (records & 63 == who.lanes) & (owner_kind < KINDS) & (agent >= 0)
        kinds = np.minimum(owner_kind, KINDS - 1)
        result &= (agent >= 0) | (time == 0)
        result |= mine & ((owner_kind == LANES) | (time <= clocks.own[kinds, warps]))
        result |= (agent < 0) & clocks.past[warps]
        found: Array = result | (time == 0)
        return found

    def _check_reads(
        self, region: Region, cells: Array, who: Accessors, strong: bool, at: tuple[int, str]
    ) -> None:
        if not region.columns:
            self._check_readers(region, cells, who, strong, at)
            return
        clocks = self.clocks
        newest = int(np.maximum.reduce(region.last_read[cells]))
        if newest == 0 or newest <= clocks.floor:
            return
        first = np.zeros_like(who.warps)
        if self.columns != clocks.warps:
            first = who.warps // self.per_block * self.per_block
        for kind, matrix in region.reads.items():
            records = matrix[:, cells]
            columns = first + np.arange(self.columns)[:, None]
            ordered = (records >> shadow.READ_TIME) <= clocks.known[
                who.warps, kind * clocks.warps + columns
            ]
            if ordered.all():
                continue
            mine = (columns == who.warps) & (records & 63 == who.lanes)
            time = records >> shadow.READ_TIME
            ordered |= mine if kind == LANES else mine & (time <= clocks.own[kind, who.warps])
            if strong:
                ordered |= records & shadow.STRONG != 0
            if not ordered.all():
                column, bad = (int(x[0]) for x in np.nonzero(~ordered))
                record = int(records[column, bad])
                packed = (record >> shadow.READ_TIME) << shadow.TIME | record & 63
                packed |= (
                    self.base + kind * clocks.warps + int(columns[column, bad])
                ) << shadow.AGENT
                self._report(region, int(cells[bad]), packed, who, bad, at[0], at[1], False)
                return

    def _check_readers(
        self, region: Region, cells: Array, who: Accessors, strong: bool, at: tuple[int, str]
    ) -> None:
        for row in region.readers:
            records = row[cells]
            if not records.any():
                continue
            ordered = self.ordered(records, who)
            if strong:
                ordered |= records & shadow.ATOMIC != 0
            if not ordered.all():
                bad = int(np.flatnonzero(~ordered)[0])
                self._report(
                    region, int(cells[bad]), int(records[bad]), who, bad, at[0], at[1], False
                )
                return

    # -- recording ---------------------------------------------------------------------------

    def _agents(self, who: Accessors, agent: Any) -> Any:
        return self.base + (
            agent * self.clocks.warps + who.warps if isinstance(agent, int) else agent
        )

    def _record_read(
        self, region: Region, cells: Array, who: Accessors, time: int, strong: bool, agent: Any
    ) -> None:
        if not region.columns:
            self._record_reader(region, cells, who, time, strong, agent)
            return
        kind = agent if isinstance(agent, int) else LANES
        matrix = region.read_matrix(kind)
        column = who.warps if self.columns == self.clocks.warps else who.warps % self.per_block
        places = column * region.cells + cells
        flat = matrix.reshape(-1)
        stamp = time << shadow.READ_TIME | (shadow.STRONG if strong else 0)
        record = who.lanes + stamp
        old = flat[places]
        flat[places] = record
        since = self.clocks.known[who.warps, who.warps]
        several = ((old >> shadow.READ_TIME) > since) & (old & 63 != who.lanes)
        several |= flat[places] != record
        if several.any():
            flat[places[several]] = stamp | shadow.SEVERAL
        region.last_read[cells] = time if kind == LANES else shadow.FLIGHT

    def _record_reader(
        self, region: Region, cells: Array, who: Accessors, time: int, strong: bool, agent: Any
    ) -> None:
        """Global memory keeps the last readers of two different agents."""
        agents = self._agents(who, agent)
        record = time << shadow.TIME | agents << shadow.AGENT | who.lanes
        if strong:
            record |= shadow.ATOMIC
        old = region.readers[0, cells]
        other = (old != 0) & (old >> shadow.AGENT & 0xFFFFFF != agents)
        if other.any():
            region.readers[1, cells[other]] = old[other]
        region.readers[0, cells] = record

    def _record_write(
        self, region: Region, cells: Array, who: Accessors, time: int, strong: bool, agent: Any
    ) -> Array | None:
        record = time << shadow.TIME | self._agents(who, agent) << shadow.AGENT | who.lanes
        if strong:
            record |= shadow.ATOMIC
        if not isinstance(agent, int) or agent != LANES:
            record |= shadow.FLIGHT
        region.writes[cells] = record
        twice = region.writes[cells] != record
        if strong or not twice.any():
            return None
        found: Array = twice
        return found

    # -- reports -----------------------------------------------------------------------------

    def _report(
        self, region: Region, cell: int, record: int, who: Accessors, bad: int, pc: int, what: str,
        was_write: bool, missing: str = "",
    ) -> None:  # fmt: skip
        time = record >> shadow.TIME & shadow.TIME_MASK
        first = self.log.pcs[time]
        key = (first, pc, "w" if was_write else "r")
        if key in self.log.races or len(self.log.races) >= LIMIT:
            return
        agent = record >> shadow.AGENT & 0xFFFFFF
        lane = record & 63
        warp, later_lane = int(who.warps[bad]), int(who.lanes[bad])
        earlier_place, owner, kind = self._locate(agent)
        earlier = Access(
            self.log.whats[time], self.program.place(first), earlier_place, owner,
            None if lane == SEVERAL else lane,
        )  # fmt: skip
        later = Access(
            what, self.program.place(pc), self._block(warp), warp % self.per_block, later_lane
        )
        address = region.base + cell * region.grain
        address = address % self.gang.segment if region.columns else address + GLOBAL
        missing = missing or self._missing(agent, time, kind, warp)
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

    def _missing(self, agent: int, time: int, kind: int, warp: int) -> str:
        """The edge that would order the two accesses."""
        inside = agent - self.base
        clocks = self.clocks
        if inside < 0:
            return (
                "a release by the first block and an acquire by the second (blocks are not ordered)"
            )
        if kind == KINDS:
            return "a wait on the mbarrier phase that the copy completes"
        owner = inside % clocks.warps
        if kind == MATRIX and clocks.known[warp, inside] < time:
            return "wgmma.wait_group by the warpgroup, before what orders the second access"
        wait = {
            COPIES: "cp.async.wait_group", BULK: "cp.async.bulk.wait_group",
            STORES: "cp.async.bulk.wait_group", MATRIX: "wgmma.wait_group",
        }.get(kind)  # fmt: skip
        name = f"warp {owner % self.per_block}"
        if wait and clocks.own[kind, owner] < time:
            return f"{wait} by {name} that covers it" + (
                ""
                if owner == warp
                else f", then a barrier of {name} and warp {warp % self.per_block}"
            )
        if owner == warp:
            return f"bar.warp.sync (__syncwarp) between lanes of {name}"
        if owner // self.per_block == warp // self.per_block:
            return (
                f"a barrier (__syncthreads) that both {name} and warp {warp % self.per_block} pass"
            )
        return "a release by the first block and an acquire by the second (or a cluster barrier)"


def region_is_shared(region: Region) -> bool:
    """Shared memory keeps its readers by warp."""
    return region.columns > 0


SEVERAL = shadow.SEVERAL
