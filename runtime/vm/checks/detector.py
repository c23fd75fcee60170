"""The race detector: every checked access against the shadow, ordered by the clocks.

An access is a race if the shadow holds an access of another lane to the same byte, one of the two
is a write, not both are strong (atomic, volatile, relaxed, …), and no chain of barriers, waits, or
release and acquire orders the first before the second.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tilewright.runtime.vm.checks import shadow
from tilewright.runtime.vm.checks.clocks import (
    COPIES,
    KINDS,
    LANES,
    ORDER,
    SHOWN,
)
from tilewright.runtime.vm.checks.readers import record_readers
from tilewright.runtime.vm.checks.reporter import Accessors, Reporter
from tilewright.runtime.vm.checks.shadow import Region
from tilewright.runtime.vm.memory import Array, any_of

_AGENT_AND_LANE = shadow.AGENTS << shadow.AGENT | 63
ATOMICS = -1  # the key of strong writes among the reads of shared memory
WEAK, WIDE, NARROW = range(3)
"""How strong an access is: ordinary; atomic or relaxed; the same within its block only."""


class Detector(Reporter):
    """The detector of one gang."""

    def start(self, base: int, time: int) -> None:
        """A new set of blocks, whose agents are numbered from `base`."""
        self.base = base
        self.clocks.start()
        self.clocks.time = time
        self.shared.clear()
        self.together.clear()

    # -- one access --------------------------------------------------------------------------

    def access(
        self, region: Region, offsets: Array, who: Accessors, size: int, *,
        kind: str, pc: int, what: str, strong: int = WEAK, agent: Any = LANES,
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
        cells = (offsets - region.base if region.base else offsets) >> region.shift
        if per > 1:
            cells = (cells[:, None] + np.arange(per)).ravel()
        who = who.spread(per)
        if per > 1 and not isinstance(agent, int) and len(agent) > 1:
            agent = np.repeat(agent, per)
        time = self.tick(pc, what)
        if kind == "read":
            self._check_writes(region, cells, who, strong, (pc, what, proxy))
            self._check_atomics(region, cells, who, strong, (pc, what))
            self._record_read(region, cells, who, time, strong, agent)
            return None
        self._check_writes(region, cells, who, strong, (pc, what, proxy))
        self._check_reads(region, cells, who, strong, (pc, what))
        twice = self._record_write(region, cells, who, time, strong, agent)
        if twice is None:
            return None
        lost: Array = twice if per == 1 else np.logical_or.reduce(twice.reshape(-1, per), axis=1)
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
        self, region: Region, cells: Array, who: Accessors, strong: int, at: tuple[int, str, bool]
    ) -> None:
        if region.writes is None:
            return
        records = region.writes[cells]
        newest = int(np.maximum.reduce(records))
        if newest == 0:
            return
        proxy = at[2] and self.clocks.proxies
        if (
            region.columns
            and not proxy
            and newest < shadow.FLIGHT
            and newest >> shadow.TIME <= self.clocks.floor
        ):
            return
        hidden = region.plain if strong else None
        if not proxy and hidden is None and self._is_own(records, who):
            return
        self._judge(region, cells, records, who, strong, at)
        if hidden is not None:
            self._judge(region, cells, hidden[cells], who, WEAK, at)

    def _is_own(self, records: Array, who: Accessors) -> bool:
        """Whether every lane was itself the last to write, in program order."""
        differing = records - (self.base << shadow.AGENT)
        np.bitwise_xor(differing, who.places, differing)
        np.bitwise_and(differing, _AGENT_AND_LANE, differing)
        return not differing.any()

    def _judge(
        self, region: Region, cells: Array, records: Array, who: Accessors, strong: int,
        at: tuple[int, str, bool],
    ) -> None:  # fmt: skip
        """Reports the first write that is not ordered before its access."""
        ordered = self.ordered(records, who)
        if strong and not ordered.all():
            ordered |= self._is_atomic(records, who, strong)
        if not ordered.all():
            wrong = np.flatnonzero(~ordered)
            agents = (records[wrong] >> shadow.AGENT & shadow.AGENTS) - self.base
            foreign = agents % self.clocks.warps != who.warps[wrong]
            bad = int(wrong[int(foreign.argmax())])  # of another warp where there is one
            self._report(region, int(cells[bad]), int(records[bad]), who, bad, at[0], at[1], True)
        elif at[2] and self.clocks.proxies:
            self._check_proxy(region, cells, records, who, at)

    def _is_atomic(self, records: Array, who: Accessors, strong: int) -> Array:
        """Which records are strong towards accesses of a strength: both, and in each other's
        scope.
        """
        found: Array = records & shadow.ATOMIC != 0
        narrow = (records & shadow.NARROW != 0) | (strong == NARROW)
        if narrow.any():
            agent = (records >> shadow.AGENT & shadow.AGENTS) - self.base
            owner = agent % self.clocks.warps // self.per_block
            near = (agent >= 0) & (owner == who.warps // self.per_block)
            found &= ~narrow | near
        return found

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
        agent = (records >> shadow.AGENT & shadow.AGENTS) - self.base
        generic = (agent >= 0) & (agent // clocks.warps <= COPIES) & region_is_shared(region)
        generic &= records != 0
        if not generic.any():
            return
        time = records >> shadow.TIME & shadow.TIME_MASK
        inside = np.maximum(agent, 0)
        hidden = generic & ~clocks.knows(
            who.warps, who.lanes, inside, records & 63, time, plane=SHOWN
        )
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
        """Which recorded accesses happen before an access now."""
        clocks, warps = self.clocks, who.warps
        time = records >> shadow.TIME & shadow.TIME_MASK
        agent = (records >> shadow.AGENT & shadow.AGENTS) - self.base
        if int(agent.min()) < 0:
            ended = agent < 0
            agent = np.where(ended, clocks.past, agent)
        owners = records & 63
        result = clocks.knows(warps, who.lanes, agent, owners, time)
        if result.all():
            return result
        kind, owner = np.divmod(agent, clocks.warps)
        kind = np.minimum(kind, KINDS - 1)
        waited = time <= clocks.own[kind, warps * 32 + who.lanes]
        mine = (owner == warps) & (owners == who.lanes) & (agent < KINDS * clocks.warps)
        result |= mine & ((kind == LANES) | waited)
        if self.together and not result.all():
            self._ask_together(result, records, who)
        return result

    def _ask_together(self, result: Array, records: Array, who: Accessors) -> None:
        """Writes of one value by several lanes at once are there as soon as one of them is."""
        clocks = self.clocks
        for index in np.flatnonzero(~result & (records & 63 == shadow.SEVERAL)).tolist():
            record = int(records[index])
            time, agent = record >> shadow.TIME & shadow.TIME_MASK, record >> shadow.AGENT
            agent &= shadow.AGENTS
            lanes = self.together.get((time, agent), ())
            warp, lane = int(who.warps[index]), int(who.lanes[index])
            if agent - self.base == warp and lane in lanes:
                result[index] = True
            elif lanes:
                size = np.ones(len(lanes), np.int64)
                result[index] = clocks.knows(
                    size * warp, size * lane, size * (agent - self.base), np.array(lanes),
                    size * time,
                ).any()  # fmt: skip

    def _check_reads(
        self, region: Region, cells: Array, who: Accessors, strong: int, at: tuple[int, str]
    ) -> None:
        """A write against the reads, and the strong writes, of other warps."""
        if not region.columns:
            for planes, was_write in ((region.readers, False), (region.atomics, True)):
                self._check_planes(region, (cells, planes), who, strong, (*at, was_write))
        elif region.last_read is not None:
            newest = int(np.maximum.reduce(region.last_read[cells]))
            if newest > self.clocks.floor:
                for kind in region.reads:
                    self._check_matrix(region, kind, cells, who, strong, at)

    def _check_atomics(
        self, region: Region, cells: Array, who: Accessors, strong: int, at: tuple[int, str]
    ) -> None:
        """A read against the strong writes of other warps (the last one alone is in `writes`)."""
        if not region.columns:
            self._check_planes(region, (cells, region.atomics), who, strong, (*at, True))
        elif ATOMICS in region.reads:
            self._check_matrix(region, ATOMICS, cells, who, strong, at)

    def _check_matrix(
        self, region: Region, kind: int, cells: Array, who: Accessors, strong: int,
        at: tuple[int, str],
    ) -> None:  # fmt: skip
        clocks = self.clocks
        first = np.zeros_like(who.warps)
        if self.columns != clocks.warps:
            first = who.warps // self.per_block * self.per_block
        columns = first + np.arange(self.columns)[:, None]
        records = region.reads[kind][:, cells]
        times, agents = records >> shadow.READ_TIME, max(kind, LANES) * clocks.warps
        ordered = times <= clocks.known[ORDER][who.warps, agents + columns]
        if strong:
            ordered |= records & shadow.STRONG != 0
        if ordered.all():
            return
        rows, places = np.nonzero(~ordered)
        left, warps, lanes = records[rows, places], who.warps[places], who.lanes[places]
        owners = columns[rows, places]
        masks, times = left & shadow.MEMBERS, left >> shadow.READ_TIME
        known = clocks.knows_readers(warps, lanes, (max(kind, LANES), owners), masks, times)
        if not known.all():
            worst = int(np.flatnonzero(~known)[0])
            mask = int(masks[worst])
            lane = mask.bit_length() - 1 if mask & (mask - 1) == 0 else shadow.SEVERAL
            agent = self.base + agents + int(owners[worst])
            record = int(times[worst]) << shadow.TIME | agent << shadow.AGENT | lane
            bad = int(places[worst])
            was_write = kind == ATOMICS
            self._report(region, int(cells[bad]), record, who, bad, at[0], at[1], was_write)

    def _check_planes(
        self, region: Region, planes: tuple[Array, list[Array]], who: Accessors, strong: int,
        at: tuple[int, str, bool],
    ) -> None:  # fmt: skip
        cells = planes[0]
        for plane in planes[1]:
            records = plane[cells]
            if not records.any():
                return
            ordered = self.ordered(records, who)
            if strong and not ordered.all():
                ordered |= self._is_atomic(records, who, strong)
            if not ordered.all():
                bad = int(np.flatnonzero(~ordered)[0])
                self._report(region, int(cells[bad]), int(records[bad]), who, bad, *at)
                return

    # -- recording ---------------------------------------------------------------------------

    def _records(self, who: Accessors, time: int, strong: int, agent: Any) -> Any:
        flags = time << shadow.TIME | (shadow.ATOMIC if strong else 0)
        if strong == NARROW:
            flags |= shadow.NARROW
        if isinstance(agent, int):
            return who.places + (self.base + agent * self.clocks.warps << shadow.AGENT | flags)
        return (self.base + agent) << shadow.AGENT | who.lanes | flags

    def _record_read(
        self, region: Region, cells: Array, who: Accessors, time: int, strong: int, agent: Any,
        *, atomic: bool = False,
    ) -> None:  # fmt: skip
        if not region.columns:
            records = self._records(who, time, strong, agent)
            planes = region.atomics if atomic else region.readers
            known = partial(self._known_to, who)
            record_readers(region, planes, (cells, records), known, self.base)
            return
        kind = ATOMICS if atomic else agent if isinstance(agent, int) else LANES
        matrix = region.read_matrix(kind)
        column = who.warps if self.columns == self.clocks.warps else who.warps % self.per_block
        places = column * region.cells + cells
        flat = matrix.reshape(-1)
        bits = np.left_shift(1, who.lanes)
        record = bits + (time << shadow.READ_TIME | (shadow.STRONG if strong else 0))
        old = flat[places]
        flat[places] = record
        found = flat[places]
        lost = found != record
        if lost.any():
            np.bitwise_or.at(flat, places[lost], bits[lost])
        self._keep_readers(flat, places, (old, bits), who, strong)
        region.last_reads()[cells] = time if kind <= LANES else shadow.FLIGHT

    def _keep_readers(
        self, flat: Array, places: Array, at: tuple[Array, Array], who: Accessors, strong: int
    ) -> None:
        """Earlier reads of other lanes of the warp stay, unless the warp has met since."""
        old, bits = at
        others = old & shadow.MEMBERS & ~bits
        since = self.clocks.known[ORDER][who.warps, who.warps]
        recent = (old >> shadow.READ_TIME) > since
        kept = recent & (others != 0)
        if kept.any():
            np.bitwise_or.at(flat, places[kept], others[kept])
        if strong:
            plain = recent & (old & shadow.STRONG == 0)
            flat[places[plain]] &= ~np.int64(shadow.STRONG)

    def _known_to(self, who: Accessors, records: Array, elements: Array) -> Array:
        return self.ordered(records, Accessors(who.warps[elements], who.lanes[elements]))

    def _record_write(
        self, region: Region, cells: Array, who: Accessors, time: int, strong: int, agent: Any
    ) -> Array | None:
        record = self._records(who, time, strong, agent)
        if not isinstance(agent, int) or agent != LANES:
            record |= shadow.FLIGHT
        writes = region.written()
        if strong:
            old = writes[cells]
            plain = (old != 0) & (old & shadow.ATOMIC == 0)
            if plain.any():
                region.hidden()[cells[plain]] = old[plain]
        elif region.plain is not None:
            region.plain[cells] = 0
        writes[cells] = record
        if strong:
            self._record_read(region, cells, who, time, strong, agent, atomic=True)
            return None
        twice: Array = writes[cells] != record
        if not any_of(twice):
            return None
        self._note_together(writes, cells[twice], record, (cells, who, time))
        return twice

    def _note_together(
        self, writes: Array, lost: Array, records: Array, at: tuple[Array, Accessors, int]
    ) -> None:
        """Cells that several lanes of one warp wrote in one step: any of them stands for all."""
        cells, who, time = at
        for cell in np.unique(lost).tolist():
            same = cells == cell
            warps = who.warps[same]
            if (warps == warps[0]).all():
                record = int(records[same][0])
                writes[cell] = record & ~63 | shadow.SEVERAL
                key = time, record >> shadow.AGENT & shadow.AGENTS
                lanes = who.lanes[same].tolist()
                before = self.together.get(key, lanes)
                self.together[key] = [lane for lane in lanes if lane in before]


def region_is_shared(region: Region) -> bool:
    """Shared memory keeps its readers by warp."""
    return region.columns > 0
