"""Release and acquire through strong accesses (atomic, volatile, relaxed, acquire, release), on
their own or by fences around them, each as far as its scope reaches.

A release leaves at its address what its lanes know, by block and scope; an acquire there takes what
both scopes reach. A fence remembers what its lanes know for their later relaxed writes, and makes
what their earlier relaxed reads met count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tilewright.runtime.vm.checks.clocks import ORDER, Clocks, Moment, join
from tilewright.runtime.vm.checks.ledger import Ledger
from tilewright.runtime.vm.checks.reporter import Accessors
from tilewright.runtime.vm.memory import Array
from tilewright.runtime.vm.records import Instruction

STRONG = {"volatile", "relaxed", "acquire", "release", "acq_rel", "mmio"}
BLOCK, CLUSTER, DEVICE = range(3)
Order = Callable[[str, Array, Accessors], None]


def scope_of(ins: Instruction) -> int:
    """How far a strong access or fence reaches; without a scope, the device."""
    if "cta" in ins.mods:
        return BLOCK
    return CLUSTER if "cluster" in ins.mods else DEVICE


@dataclass
class Fence:
    """What lanes (None: all of the warp) knew at their last fence, and its scope."""

    moment: Moment
    scope: int


@dataclass
class Ordering:
    """The releases, fences and pending acquires of a gang."""

    gang: Any
    clocks: Clocks
    ledger: Ledger
    full: Array = field(default_factory=lambda: np.zeros(0))  # lanes by warp
    released: dict[tuple[str, int], dict[tuple[int, int], Array]] = field(default_factory=dict)
    fenced: dict[int, Fence] = field(default_factory=dict)  # by lane
    acquiring: dict[int, dict[tuple[int, int, int], Array]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.full = self.gang.exists.reshape(-1, 32).sum(axis=1)

    def start(self) -> None:
        """New blocks."""
        self.released.clear()
        self.fenced.clear()
        self.acquiring.clear()

    # -- groups of lanes ---------------------------------------------------------------------

    def groups(
        self, warps: Array, lanes: Array, places: Array
    ) -> Iterator[tuple[int, int, list[int] | None]]:
        """The warps and places of an access, and which lanes (0 to 31; None: all) meet there."""
        if not len(places):
            return
        alone = len(places) == self.full[warps[0]] and (warps == warps[0]).all()
        if alone and (places == places[0]).all():
            yield int(warps[0]), int(places[0]), None
            return
        found: dict[tuple[int, int], list[int]] = {}
        for warp, lane, place in zip(warps.tolist(), lanes.tolist(), places.tolist(), strict=True):
            found.setdefault((warp, place), []).append(lane)
        for (warp, place), members in found.items():
            yield warp, place, None if len(members) == self.full[warp] else members

    def learn(self, warp: int, lanes: list[int] | None, clock: Array) -> None:
        """Lanes of a warp know what a clock tells."""
        if lanes is None:
            self.clocks.learn(np.array([warp]), clock)
            return
        for lane in lanes:
            self.clocks.learn_lane(warp * 32 + lane, clock)

    # -- fences ------------------------------------------------------------------------------

    def fence(self, ins: Instruction, warps: Array, lanes: Array) -> None:
        """membar and fence: later relaxed writes release what is known now; earlier relaxed reads
        acquire.
        """
        scope = scope_of(ins)
        for warp, _, members in self.groups(warps, lanes, np.zeros_like(warps)):
            every = range(32) if members is None else members
            for lane in [warp * 32 + lane for lane in every]:
                for (source, released, read), clock in self.acquiring.pop(lane, {}).items():
                    if self._reaches(source, lane, min(released, read, scope)):
                        self.clocks.learn_lane(lane, clock)
            fence = Fence(self.clocks.moment(warp), scope)
            for lane in every:
                self.fenced[warp * 32 + lane] = fence
        self.clocks.time += 1

    def _reaches(self, block: int, lane: int, scope: int) -> bool:
        own = int(self.gang.lane_block[lane])
        size = self.gang.cluster_blocks
        near = block // size == own // size
        return block == own or scope == DEVICE or (scope == CLUSTER and near)

    # -- accesses ----------------------------------------------------------------------------

    def idle(self) -> bool:
        """Nothing has been fenced or released, so relaxed accesses order nothing."""
        return not (self.fenced or self.released or self.ledger.earlier)

    def acquire(
        self, warp: int, key: tuple[str, int], lanes: list[int] | None, scope: int, now: bool
    ) -> None:
        """A strong read: with acquire semantics at once, else at the next fence."""
        first = warp * 32
        members = range(32) if lanes is None else lanes
        released_before = self.ledger.earlier.get(key)
        if released_before is not None:
            clock = np.zeros_like(self.clocks.known[:, 0])
            clock[ORDER, self.clocks.past] = released_before
            self.learn(warp, lanes, clock)
        for (block, released), clock in self.released.get(key, {}).items():
            if not now:
                for lane in members:
                    met = self.acquiring.setdefault(first + lane, {})
                    met[block, released, scope] = clock
            elif self._reaches(block, first, min(released, scope)):
                self.learn(warp, lanes, clock)

    def release(
        self, warp: int, key: tuple[str, int], lanes: list[int] | None, scope: int, now: bool
    ) -> None:
        """A strong write: what its lanes know, now or at their last fence."""
        clocks, first = self.clocks, warp * 32
        members = list(range(32)) if lanes is None else lanes
        if now:
            self._leave(first, key, scope, clocks.pass_on(clocks.moment(warp), lanes))
            return
        fences = {id(f): f for lane in members if (f := self.fenced.get(first + lane))}
        for fence in fences.values():
            covered = [lane for lane in members if self.fenced.get(first + lane) is fence]
            whole = lanes is None and len(covered) == 32
            clock = clocks.pass_on(fence.moment, None if whole else covered)
            self._leave(first, key, min(scope, fence.scope), clock)

    def _leave(self, lane: int, key: tuple[str, int], scope: int, clock: Array) -> None:
        self.ledger.released[key] = self.clocks.time
        places = self.released.setdefault(key, {})
        where = int(self.gang.lane_block[lane]), scope
        places[where] = join(places.get(where), clock)


def bind_order(ins: Instruction, ordering: Ordering, kind: str) -> Order | None:
    """Release and acquire through strong accesses; None for plain ones."""
    mods = set(ins.mods)
    if kind != "atomic" and not STRONG & mods:
        return None
    writes = ins.opcode in ("st", "red", "atom")
    reads = ins.opcode in ("ld", "atom")
    releases = bool({"release", "acq_rel"} & mods)
    acquires = bool({"acquire", "acq_rel"} & mods)
    scope = scope_of(ins)

    def order(space: str, offsets: Array, who: Accessors) -> None:
        if not releases and ordering.idle():
            return
        for warp, offset, lanes in ordering.groups(who.warps, who.lanes, offsets):
            key = (space, offset)
            if reads:
                ordering.acquire(warp, key, lanes, scope, acquires)
            if writes:
                ordering.release(warp, key, lanes, scope, releases)

    return order
