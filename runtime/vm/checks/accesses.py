"""The checks of synchronous accesses and registers: what every gang has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tilewright.runtime.vm.checks.bounds import Bounds
from tilewright.runtime.vm.checks.clocks import Clocks
from tilewright.runtime.vm.checks.detector import NARROW, WEAK, WIDE, Detector
from tilewright.runtime.vm.checks.ledger import Ledger
from tilewright.runtime.vm.checks.ordering import BLOCK, STRONG, Ordering, bind_order, scope_of
from tilewright.runtime.vm.checks.products import bind_change, bind_use, uses_of
from tilewright.runtime.vm.checks.races import Access, Race
from tilewright.runtime.vm.checks.registers import written
from tilewright.runtime.vm.checks.reporter import Accessors
from tilewright.runtime.vm.checks.shadow import Region
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.garbage import READS
from tilewright.runtime.vm.memory import GLOBAL, Array
from tilewright.runtime.vm.records import Instruction


class AccessChecks:
    """Registers, bounds, traffic and races of one gang; the ledger outlives gangs."""

    def __init__(self, gang: Any, ledger: Ledger) -> None:
        self.gang, self.ledger = gang, ledger
        self.detector = Detector(gang, ledger.log)
        self.ordering = Ordering(gang, self.detector.clocks, ledger)
        self.flags: dict[str, Array] = {}  # by watched register: which lanes have written it
        self.visits: dict[tuple[int, int], int] = {}  # arrivals from outside: block, lane → time
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
        ledger.earlier.update(ledger.released)
        ledger.log.gangs.append((ledger.next_agent, first_block, clocks.warps))
        for flags in self.flags.values():
            flags[:] = False
        self.detector.start(ledger.next_agent, len(ledger.log.pcs))
        self.ordering.start()
        self.visits.clear()
        ledger.next_agent += clocks.agents

    # -- registers ---------------------------------------------------------------------------

    def watches(self, ins: Instruction) -> bool:
        """Whether an instruction touches a register that may be read before it is written, or one
        of products that may be in flight.
        """
        suspects = self.ledger.suspects(self.gang.program)
        if suspects.products and not suspects.products.isdisjoint(uses_of(ins).results):
            return True
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

        uses = suspects.products and not suspects.products.isdisjoint(uses_of(ins).results)
        use = bind_use(ins, frame, self.ledger) if uses else None
        change = bind_change(ins, frame, suspects.products) if uses else None

        def before(mask: Array | None) -> None:
            if use is not None:
                use(mask)
            for flags in () if copies else sources:
                if not (flags.all() if mask is None else flags[mask].all()):
                    message = f"reads a register that nothing has written: {names}"
                    self.ledger.notice("uninitialised", message, program, pc)

        def after(mask: Array | None) -> None:
            for flags in targets:
                value = sources[0] if copies else True
                np.copyto(flags, value, where=True if mask is None else mask)
            if change is not None:
                change(frame, mask)

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
        strong = WEAK
        if kind == "atomic" or STRONG & set(ins.mods):
            strong = NARROW if scope_of(ins) == BLOCK else WIDE
        everybody = self._accessors(frame, None)
        text = what or f"{kind} of {size} bytes"
        lines = {s: traffic.line(ins.line, s, kind) for s in ("global", "shared", "local")}
        order = bind_order(ins, self.ordering, kind)

        def check(space: str, offsets: Array, mask: Array | None) -> Any:
            active = offsets if mask is None else offsets[mask]
            if space == "local":
                bounds.check(space, offsets, active, mask)
                lines[space].bytes += size * len(active)
                return None
            lanes = None if mask is None else np.flatnonzero(mask)
            key, base = traffic.look(space, active, lanes, size)
            pattern = traffic.memory.get(key)
            if pattern is None or not bounds.passes(space, pattern, base):
                bounds.check(space, offsets, active, mask)
                pattern = pattern or traffic.learn(key, active - base, lanes)
                bounds.remember(pattern, base)
            traffic.add(lines[space], pattern, base, size * len(active))
            who = everybody if mask is None else self._accessors(frame, mask)
            if order is not None:
                order(space, active, who)
            return self.access(space, active, who, size, kind, pc, text, strong)

        return check

    def access(
        self, space: str, active: Array, who: Accessors, size: int, kind: str, pc: int, text: str,
        strong: int, agent: Any = 0, proxy: bool = False,
    ) -> Any:  # fmt: skip
        """One access of some lanes to shared or global memory, by one agent."""
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
            places = active if chosen is None else active[chosen]
            if self.ledger.history is not None:
                self._note(region, places, part, size, access, (pc, text))
            found = detector.access(
                region, places, part, size,
                kind=access, pc=pc, what=text, strong=strong, agent=agent, proxy=proxy,
            )  # fmt: skip
            if chosen is not None:
                found = None
        return found

    def _note(
        self, region: Region, offsets: Array, who: Accessors, size: int, kind: str,
        at: tuple[int, str],
    ) -> None:  # fmt: skip
        """For the comparison with the blocks of other processes."""
        assert self.ledger.history is not None
        lanes = who.warps * 32 + (who.lanes & 31)
        self.ledger.history.note(
            region.base, region.size, offsets, lanes, unit=size, kind=kind,
            at=(*at, self.gang.first_block),
        )  # fmt: skip

    def _accessors(self, frame: Frame, mask: Array | None) -> Accessors:
        warps, lanes = (x[frame.low : frame.high] for x in (self.lane_warp, self.lane_lane))
        return Accessors(warps, lanes) if mask is None else Accessors(warps[mask], lanes[mask])

    def _check_initialized(self, active: Array, size: int, pc: int) -> None:
        region = self.detector.shared
        cells = active >> region.shift
        per = size // region.grain
        if per > 1:
            cells = cells[:, None] + np.arange(per)
        if region.writes is None or not region.writes[cells].all():
            self.ledger.notice(
                "uninitialised",
                READS,
                self.gang.program,
                pc,
            )

    def conflict(self, ins: Instruction, lanes: tuple[int, int], offset: int, space: str) -> None:
        """Two lanes (of the gang) wrote different values to one place in one step."""
        pc, program = self.gang.program.pc_of(ins), self.gang.program
        address = offset + GLOBAL if space == "global" else offset % self.gang.segment
        if lanes[0] // 32 == lanes[1] // 32:
            byte = self.gang.launch.arena.describe(address) if space == "global" else ""
            where = byte or f"{space} {address:#x}"
            message = f"lanes write different values to {where} in one step"
            self.ledger.notice("conflicting write", message, program, pc)
            return
        sides = []
        for lane in lanes:
            block, warp, within = self.gang.who(lane)
            sides.append(Access("write", program.place(pc), block, warp, within))
        missing = "an order: nothing lets one write come before the other"
        race = Race(space, address, sides[0], sides[1], missing)
        self.ledger.log.races.setdefault((pc, pc, "w"), race)
