"""All checks of a gang behind one object: bounds, traffic counters, races, uninitialised memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tilewright.runtime.vm.checks.bounds import Bounds
from tilewright.runtime.vm.checks.clocks import BULK, COPIES, KINDS, MATRIX, STORES, Clocks
from tilewright.runtime.vm.checks.detector import Accessors, Detector, Log
from tilewright.runtime.vm.checks.races import Access, Notice, Race
from tilewright.runtime.vm.checks.registers import Suspects, find_suspects, written
from tilewright.runtime.vm.checks.shadow import Region
from tilewright.runtime.vm.checks.traffic import Traffic
from tilewright.runtime.vm.copies import Copy
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.memory import GLOBAL, Array
from tilewright.runtime.vm.program import Program
from tilewright.runtime.vm.records import Instruction

_STRONG = {"volatile", "relaxed", "acquire", "release", "acq_rel", "mmio"}
_VERBS = {"read": "read", "write": "write", "atomic": "atomic"}


class Checks:
    """What is checked and counted; `shared_state` outlives gangs (one per launch)."""

    def __init__(self, gang: Any, ledger: Ledger) -> None:
        self.gang, self.ledger = gang, ledger
        self.detector = Detector(gang, ledger.log)
        self.flags: dict[str, Array] = {}  # by watched register: which lanes have written it
        self.lane_warp: Array = np.arange(gang.n) // 32
        self.lane_lane: Array = np.arange(gang.n) % 32

    @property
    def clocks(self) -> Clocks:
        """The clocks of the gang's warps."""
        return self.detector.clocks

    def start(self, first_block: int) -> None:
        """The gang begins a new set of blocks."""
        ledger = self.ledger
        clocks = self.clocks
        ledger.earlier |= ledger.released
        ledger.log.gangs.append((ledger.next_agent, first_block, clocks.warps))
        for flags in self.flags.values():
            flags[:] = False
        self.detector.start(ledger.next_agent, len(ledger.log.pcs))
        ledger.next_agent += clocks.agents

    # -- registers ---------------------------------------------------------------------------

    def watches(self, ins: Instruction) -> bool:
        """Whether an instruction touches a register that may be read before it is written."""
        suspects = self.ledger.suspects(self.gang.program)
        pc = self.gang.program.pc_of(ins)
        return pc in suspects.reads or not suspects.watched.isdisjoint(written(ins))

    def bind_registers(self, ins: Instruction, frame: Frame) -> tuple[Any, Any]:
        """What to do before and after an instruction that touches watched registers."""
        suspects = self.ledger.suspects(self.gang.program)
        program = self.gang.program
        pc = program.pc_of(ins)
        lanes = slice(frame.low, frame.high)
        sources = [self._flags(name)[lanes] for name in suspects.reads.get(pc, ())]
        targets = [self._flags(n)[lanes] for n in written(ins) if n in suspects.watched]
        copies = ins.opcode == "mov" and bool(sources)
        names = ", ".join(name.split("#")[0] for name in suspects.reads.get(pc, ()))

        def before(mask: Array | None) -> None:
            for flags in () if copies else sources:
                if not (flags.all() if mask is None else flags[mask].all()):
                    message = f"reads a register that nothing has written: {names}"
                    self.ledger.notice("uninitialised", message, program, pc)

        def after(mask: Array | None) -> None:
            for flags in targets:
                value = sources[0] if copies else True
                np.copyto(flags, value, where=True if mask is None else mask)

        return before, after

    def _flags(self, name: str) -> Array:
        found = self.flags.get(name)
        if found is None:
            found = self.flags[name] = np.zeros(self.gang.n, np.bool_)
        return found

    # -- accesses ----------------------------------------------------------------------------

    def bind_access(
        self, ins: Instruction, frame: Frame, kind: str, size: int, what: str = ""
    ) -> Callable[[str, Array, Array | None], Any]:
        """`check(space, offsets, mask)` of a synchronous access; see `Detector.access` for the
        result.
        """
        bounds = Bounds(ins, frame, kind, size)
        traffic, pc = self.ledger.traffic, self.gang.program.pc_of(ins)
        strong = kind == "atomic" or bool(_STRONG & set(ins.mods))
        everybody = self._accessors(frame, None)
        text = what or f"{_VERBS[kind]} of {size} bytes"
        lines = {s: traffic.line(ins.line, s, kind) for s in ("global", "shared", "local")}
        order = self._bind_order(ins, frame, kind)

        def check(space: str, offsets: Array, mask: Array | None) -> Any:
            active = offsets if mask is None else offsets[mask]
            bounds.check(space, offsets, active, mask)
            lanes = None if mask is None else np.flatnonzero(mask)
            traffic.count(lines[space], active, lanes, size)
            if space == "local":
                return None
            who = everybody if mask is None else self._accessors(frame, mask)
            if order is not None:
                order(space, active, who)
            return self._access(space, active, who, size, kind, pc, text, strong)

        return check

    def _access(
        self, space: str, active: Array, who: Accessors, size: int, kind: str, pc: int, text: str,
        strong: bool, agent: Any = 0, proxy: bool = False,
    ) -> Any:  # fmt: skip
        detector = self.detector
        access = "read" if kind == "read" else "write"
        if space == "shared":
            if kind in ("read", "atomic"):
                self._check_initialized(active, size, pc)
            return detector.access(
                detector.shared, active, who, size, kind=access, pc=pc, what=text, strong=strong,
                agent=agent, proxy=proxy,
            )  # fmt: skip
        found = None
        for region, chosen in self.ledger.regions(self.gang, active, size):
            part = who if chosen is None else Accessors(who.warps[chosen], who.lanes[chosen])
            found = detector.access(
                region, active if chosen is None else active[chosen], part, size,
                kind=access, pc=pc, what=text, strong=strong, agent=agent, proxy=proxy,
            )  # fmt: skip
            if chosen is not None:
                found = None
        return found

    def _accessors(self, frame: Frame, mask: Array | None) -> Accessors:
        warps, lanes = (x[frame.low : frame.high] for x in (self.lane_warp, self.lane_lane))
        return Accessors(warps, lanes) if mask is None else Accessors(warps[mask], lanes[mask])

    def _check_initialized(self, active: Array, size: int, pc: int) -> None:
        region = self.detector.shared
        cells = active // region.grain
        per = size // region.grain
        if per > 1:
            cells = cells[:, None] + np.arange(per)
        if not region.writes[cells].all():
            self.ledger.notice(
                "uninitialised",
                "reads shared memory that nothing has written",
                self.gang.program,
                pc,
            )

    def conflict(self, ins: Instruction, lanes: tuple[int, int], offset: int, space: str) -> None:
        """Two lanes (of the gang) wrote different values to one place in one step."""
        pc, program = self.gang.program.pc_of(ins), self.gang.program
        address = offset + GLOBAL if space == "global" else offset % self.gang.segment
        if lanes[0] // 32 == lanes[1] // 32:
            message = f"lanes write different values to {space} {address:#x} in one step"
            self.ledger.notice("conflicting write", message, program, pc)
            return
        sides = []
        for lane in lanes:
            block, warp, within = self.gang.who(lane)
            sides.append(Access("write", program.place(pc), block, warp, within))
        missing = "an order: nothing lets one write come before the other"
        race = Race(space, address, sides[0], sides[1], missing)
        self.ledger.log.races.setdefault((pc, pc, "w"), race)

    # -- asynchronous copies -----------------------------------------------------------------

    def bind_copy(
        self, ins: Instruction, frame: Frame, size: int
    ) -> Callable[[Copy, Array | None], None]:
        """`check(copy, mask)` of a cp.async."""
        reads, writes = Bounds(ins, frame, "read", size), Bounds(ins, frame, "write", size)
        traffic, pc = self.ledger.traffic, self.gang.program.pc_of(ins)
        source = traffic.line(ins.line, "global", "cp.async")
        target = traffic.line(ins.line, "shared", "cp.async")

        def check(copy: Copy, mask: Array | None) -> None:
            full = np.zeros(frame.n, np.int64)
            chosen: Any = slice(None) if mask is None else mask
            full[chosen] = copy.target
            writes.check("shared", full, copy.target, mask)
            traffic.count(target, copy.target, copy.lanes - frame.low, size)
            warps, lanes = self.lane_warp[copy.lanes], self.lane_lane[copy.lanes]
            who = Accessors(warps, lanes)
            self._check_source(reads, copy, mask, who, pc, source)
            self._access(
                "shared", copy.target, who, size, "write", pc, "cp.async write", False, COPIES
            )
            copy.agent = self.clocks.time

        return check

    def _check_source(
        self, bounds: Bounds, copy: Copy, mask: Array | None, who: Accessors, pc: int, line: Any
    ) -> None:
        """The bytes that are read: lanes that read none may hold any address."""
        frame = bounds.frame
        offsets, lanes = copy.source, copy.lanes - frame.low
        if copy.valid is not None:
            reading = copy.valid > 0
            if not reading.any():
                return
            offsets, lanes = offsets[reading], lanes[reading]
            who = Accessors(who.warps[reading], who.lanes[reading])
            if (copy.valid[reading] < copy.size).any():
                self._check_partial(bounds, offsets, lanes, who, (copy.valid[reading], pc))
                return
        full, chosen = np.zeros(frame.n, np.int64), np.zeros(frame.n, np.bool_)
        full[lanes], chosen[lanes] = offsets, True
        bounds.check("global", full, offsets, chosen)
        self.ledger.traffic.count(line, offsets, lanes, copy.size)
        self._access("global", offsets, who, copy.size, "read", pc, "cp.async read", False, COPIES)

    def _check_partial(
        self, bounds: Bounds, starts: Array, lanes: Array, who: Accessors, at: tuple[Array, int]
    ) -> None:
        """Lanes that read fewer bytes than they write: in units that divide every count."""
        counts, pc = at
        unit = int(np.gcd.reduce(counts) & -np.gcd.reduce(counts))
        arena, frame = self.gang.launch.arena, bounds.frame
        single = Bounds(bounds.ins, frame, "read", unit)
        for start, count, lane in zip(starts, counts, lanes, strict=True):
            if arena.holds(int(start), int(start + count)) is None:
                mask = np.arange(frame.n) == lane
                single.fail("out of bounds", "global", np.full(frame.n, start + count - unit), mask)
        inside = np.arange(0, 16, unit) < counts[:, None]
        places = (starts[:, None] + np.arange(0, 16, unit))[inside]
        owners = np.repeat(np.arange(len(starts)), counts // unit)
        spread = Accessors(who.warps[owners], who.lanes[owners])
        self._access("global", places, spread, unit, "read", pc, "cp.async read", False, COPIES)

    def copy_waited(self, copy: Copy) -> None:
        """The issuing lanes waited for a copy."""
        if copy.agent is not None:
            warps = np.unique(self.lane_warp[copy.lanes])
            self.clocks.wait(COPIES, warps, np.full(len(warps), copy.agent))

    # -- edges -------------------------------------------------------------------------------

    def barrier(self, arriving: Array, waiting: Array) -> None:
        """A block (or cluster) barrier completed."""
        if arriving.all() and waiting.all():
            self.clocks.barrier_everywhere()
            return
        arrived = np.unique(self.lane_warp[arriving])
        self.clocks.barrier(arrived, np.unique(self.lane_warp[waiting]))

    def cluster_barrier(self, participants: Array) -> None:
        """A cluster's barrier completed: its lanes are joined at once, whenever they wait."""
        warps = np.unique(self.lane_warp[participants])
        self.clocks.barrier(warps, warps)

    def warp_barrier(self, frame: Frame, active: Array | None, members: Array) -> None:
        """bar.warp.sync."""
        lanes = np.arange(frame.n) if active is None else np.flatnonzero(active)
        self.clocks.warp_barrier(np.unique(lanes // 32) + frame.low // 32)

    def fence(self, ins: Instruction, frame: Frame, mask: Array | None) -> None:
        """membar, fence: for acquire and release patterns through relaxed accesses; proxy
        fences.
        """
        lanes = np.arange(frame.n) if mask is None else np.flatnonzero(mask)
        if "proxy" in ins.mods or "mbarrier_init" in ins.mods:
            self.clocks.proxy_fence(np.unique(lanes // 32) + frame.low // 32)
            return
        self.clocks.fence(np.unique(lanes // 32) + frame.low // 32)

    # -- mbarriers and bulk copies -----------------------------------------------------------

    def mbarrier_init(self, ins: Instruction, lanes: Array, offsets: Array) -> None:
        """mbarrier.init: whoever uses the barrier must come after it."""
        pc = self.gang.program.pc_of(ins)
        time = self.detector.tick(pc, "mbarrier.init")
        for lane, place in zip(lanes.tolist(), offsets.tolist(), strict=True):
            self.gang.mbarriers.order(place).initial = (lane // 32, time, pc)

    def mbarrier_used(self, ins: Instruction, lanes: Array, places: Array) -> None:
        """An arrival or wait must be ordered behind the barrier's init."""
        clocks = self.clocks
        for user, place in _pairs(lanes, places):
            warp, time, first = self.gang.mbarriers.order(place).initial
            if user != warp and time > clocks.known[user, warp]:
                missing = "a barrier between mbarrier.init and the first use"
                self._init_race(ins, place, (warp * 32, user * 32), first, missing)
                return

    def _init_race(
        self, ins: Instruction, place: int, lanes: tuple[int, int], first: int, missing: str
    ) -> None:
        program, pc = self.gang.program, self.gang.program.pc_of(ins)
        block, warp, lane = self.gang.who(lanes[0])
        earlier = Access("mbarrier.init", program.place(first), block, warp, lane)
        block, warp, lane = self.gang.who(lanes[1])
        later = Access("use of the mbarrier", program.place(pc), block, warp, lane)
        race = Race("shared", place % self.gang.segment, earlier, later, missing)
        self.ledger.log.races.setdefault((first, pc, "w"), race)

    def left_behind(self, pc: int) -> None:
        """A block ended before its bulk copy out of shared memory was waited for."""
        message = "the block ends without a wait for its bulk copy out of shared memory"
        self.ledger.notice("missing wait", message, self.gang.program, pc)

    def mbarrier_arrive(self, lanes: Array, places: Array) -> None:
        """Lanes of the gang arrive with release semantics."""
        clocks = self.clocks
        for warp, place in _pairs(lanes, places):
            order = self.gang.mbarriers.order(place)
            clock = clocks.snapshot(warp)
            order.arriving = _join(order.arriving, clock)
            if clocks.visible is not None:
                order.fenced_arriving = _join(order.fenced_arriving, clocks.visible[warp].copy())

    def mbarrier_pass(self, lanes: Array, places: Array) -> None:
        """Lanes saw a completed phase: they are behind everything that arrived in it."""
        clocks = self.clocks
        for warp, place in _pairs(lanes, places):
            order = self.gang.mbarriers.order(place)
            if order.completed is not None:
                clocks.acquire(warp, order.completed)
            if order.fenced_completed is not None and clocks.visible is not None:
                np.maximum(clocks.visible[warp], order.fenced_completed, out=clocks.visible[warp])

    def copies_arrive(self, lane: int, place: int) -> None:
        """A lane's cp.async copies arrive on an mbarrier."""
        clocks = self.clocks
        clock = np.zeros(clocks.agents, np.int64)
        clock[clocks.agent(COPIES, lane // 32)] = clocks.time
        order = self.gang.mbarriers.order(place)
        order.arriving = _join(order.arriving, clock)

    def transfer_done(self, place: int, time: int) -> None:
        """A bulk copy completes its bytes on an mbarrier."""
        clocks, order = self.clocks, self.gang.mbarriers.order(place)
        clock = np.zeros(clocks.agents, np.int64)
        clock[clocks.mbarrier_agent(order.slot)] = time
        order.arriving = _join(order.arriving, clock)

    def bulk(
        self, ins: Instruction, frame: Frame, lane: int, source: Any, targets: list[Any],
        barriers: list[int], reduction: str | None,
    ) -> int:  # fmt: skip
        """Checks a bulk copy at its issue; returns its time."""
        pc = self.gang.program.pc_of(ins)
        warp = (frame.low + lane) // 32
        traffic = self.ledger.traffic
        for side in (source, *targets):
            offsets = side.offsets[side.inside]
            if side.space == "global" and len(offsets):
                line = traffic.line(ins.line, "global", "bulk")
                line.requests += 1
                line.bytes += side.unit * len(offsets)
                line.sectors += len(np.unique(offsets // 32))
                line.ideal_sectors += -(-side.unit * len(offsets) // 32)
        for place in barriers:
            owner, time, first = self.gang.mbarriers.order(place).initial
            visible = self.clocks.visible
            if visible is not None and time > visible[warp, owner]:
                missing = (
                    "fence.proxy.async or fence.mbarrier_init after mbarrier.init, then a barrier"
                )
                self._init_race(ins, place, (owner * 32, frame.low + lane), first, missing)
        self._bulk_side(source, "read", warp, lane, pc, BULK if not barriers else barriers[0])
        for index, target in enumerate(targets):
            agent = STORES if not barriers else barriers[index]
            self._bulk_side(target, "write", warp, lane, pc, agent, reduction is not None)
        return self.clocks.time

    def _bulk_side(
        self, side: Any, kind: str, warp: int, lane: int, pc: int, agent: int, strong: bool = False
    ) -> None:
        offsets = side.offsets[side.inside]
        if not len(offsets):
            return
        if agent >= KINDS:  # an mbarrier's place
            slot = self.gang.mbarriers.order(agent).slot
            agent_: Any = np.array([self.clocks.mbarrier_agent(slot)])
        else:
            agent_ = agent
        who = Accessors(np.full(len(offsets), warp), np.full(len(offsets), lane % 32))
        text = f"bulk copy {kind}"
        access = "write" if kind == "write" else "read"
        self._access(side.space, offsets, who, side.unit, access, pc, text, strong, agent_, True)

    def bulk_waited(self, lane: int, time: int, reads_only: bool) -> None:
        """A lane waited for a bulk group."""
        warps, times = np.array([lane // 32]), np.array([time])
        self.clocks.wait(BULK, warps, times)
        if not reads_only:
            self.clocks.wait(STORES, warps, times)

    def matrix_read(self, pc: int, offsets: Array, warp: int, text: str) -> int:
        """wgmma reads 16-byte rows of shared memory."""
        who = Accessors(np.full(len(offsets), warp), np.zeros(len(offsets), np.int64))
        self._access("shared", offsets, who, 16, "read", pc, text, False, MATRIX, True)
        return self.clocks.time

    def matrix_waited(self, warps: Array, leader: int, time: int) -> None:
        """The warps of a warpgroup waited for its matrix work."""
        column = self.clocks.agent(MATRIX, leader)
        self.clocks.known[warps, column] = np.maximum(self.clocks.known[warps, column], time)

    def _bind_order(self, ins: Instruction, frame: Frame, kind: str) -> Any:
        """Release and acquire through strong accesses; None for plain ones."""
        mods = set(ins.mods)
        if kind != "atomic" and not _STRONG & mods:
            return None
        writes = ins.opcode in ("st", "red", "atom")
        reads = ins.opcode in ("ld", "atom")
        releases = bool({"release", "acq_rel"} & mods)
        acquires = bool({"acquire", "acq_rel"} & mods)
        clocks = self.clocks

        def order(space: str, offsets: Array, who: Accessors) -> None:
            if (
                not releases
                and not clocks.fenced
                and not clocks.released
                and not self.ledger.earlier
            ):
                return
            places = dict.fromkeys(
                zip(who.warps.tolist(), offsets.tolist(), strict=True)
            )  # in order
            for warp, offset in places:
                key = (space, offset)
                if reads and key in self.ledger.earlier:
                    clocks.past[warp] = True
                found = clocks.released.get(key)
                if found is not None and reads:
                    self._acquire(warp, found, acquires)
                if writes and (releases or warp in clocks.fenced):
                    self.ledger.released.add(key)
                    clocks.release(key, clocks.snapshot(warp) if releases else clocks.fenced[warp])

        return order

    def _acquire(self, warp: int, clock: Array, now: bool) -> None:
        clocks = self.clocks
        if now:
            clocks.acquire(warp, clock)
        else:
            before = clocks.acquiring.get(warp)
            clocks.acquiring[warp] = clock.copy() if before is None else np.maximum(before, clock)


def _pairs(lanes: Array, places: Array) -> list[tuple[int, int]]:
    """The different (warp, mbarrier) pairs of some lanes, in order."""
    if not len(lanes):
        return []
    if (places == places[0]).all():
        return [(warp, int(places[0])) for warp in np.unique(lanes // 32).tolist()]
    return list(dict.fromkeys(zip((lanes // 32).tolist(), places.tolist(), strict=True)))


def _join(before: Array | None, clock: Array) -> Array:
    return clock if before is None else np.maximum(before, clock)


class Ledger:
    """What all gangs of a launch write to: the log, the counters, shadows of global memory,
    notices.
    """

    def __init__(self) -> None:
        self.log = Log()
        self.traffic = Traffic()
        self.next_agent = 1
        self.released: set[tuple[str, int]] = set()  # places that this and earlier gangs released
        self.earlier: set[tuple[str, int]] = set()  # those of earlier gangs
        self.shadows: dict[int, Region] = {}
        self.found: Suspects | None = None
        self.notices: dict[tuple[str, int], Notice] = {}

    def suspects(self, program: Program) -> Suspects:
        """The registers of the launch's program that need watching."""
        if self.found is None:
            self.found = find_suspects(program)
        return self.found

    def regions(self, gang: Any, offsets: Array, size: int) -> list[tuple[Region, Array | None]]:
        """The shadow regions of global offsets (nearly always one)."""
        arena = gang.launch.arena
        low, high = int(np.minimum.reduce(offsets)), int(np.maximum.reduce(offsets))
        found = arena.holds(low, high + size)
        if found is not None:
            return [(self._region(found.address - GLOBAL, found.name, found.size), None)]
        index = np.searchsorted(np.array(arena.starts), offsets, side="right") - 1
        result: list[tuple[Region, Array | None]] = []
        for number in np.unique(index):
            allocation = arena.allocations[int(number)]
            region = self._region(allocation.address - GLOBAL, allocation.name, allocation.size)
            result.append((region, index == number))
        return result

    def _region(self, base: int, name: str, size: int) -> Region:
        region = self.shadows.get(base)
        if region is None:
            region = self.shadows[base] = Region(name, base, size, 0)
        return region

    def notice(self, kind: str, message: str, program: Any, pc: int) -> None:
        """A warning, once per instruction."""
        if (kind, pc) not in self.notices:
            self.notices[kind, pc] = Notice(kind, message, program.place(pc))
