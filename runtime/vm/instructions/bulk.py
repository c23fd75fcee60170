"""cp.async.bulk and cp.async.bulk.tensor (TMA), their reductions, prefetches and groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tilewright.runtime.vm.addresses import bind_parts
from tilewright.runtime.vm.boxes import Box, find_box, gather
from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.frame import Frame
from tilewright.runtime.vm.instructions.atomics import combiner
from tilewright.runtime.vm.instructions.mbarrier import active_lanes
from tilewright.runtime.vm.memory import GLOBAL, SHARED_START, UNITS, Array
from tilewright.runtime.vm.records import BITS, Address, Immediate, Instruction, Operand
from tilewright.runtime.vm.tensor_map import SIZE, Descriptor, decode
from tilewright.runtime.vm.transfers import Transfer

_REDUCTIONS = ("add", "min", "max", "inc", "dec", "and", "or", "xor")


@dataclass(frozen=True, slots=True)
class Side:
    """Where bytes come from or go to: a space and unit offsets in it, `inside` those that count."""

    space: str
    unit: int
    offsets: Array
    inside: Array


def bind_bulk(ins: Instruction, frame: Frame) -> Any:
    """Any `cp.async.bulk…` or `cp.reduce.async.bulk…`."""
    gang = frame.gang
    if "commit_group" in ins.mods:
        return lambda mask: gang.transfers.commit(_lanes(frame, mask))
    if "wait_group" in ins.mods:
        count = ins.operands[0]
        assert isinstance(count, Immediate)
        allowed, reads = int(count.value), "read" in ins.mods
        return lambda mask: gang.transfers.wait(_lanes(frame, mask), allowed, reads_only=reads)
    if "prefetch" in ins.mods:
        return lambda mask: None
    if any(m.startswith("im2col") for m in ins.mods):
        raise Fault("unsupported", f"im2col mode: {ins.name}")
    return _bind_copy(ins, frame)


def _lanes(frame: Frame, mask: Array | None) -> list[int]:
    return [lane + frame.low for lane in active_lanes(frame, mask)]


def _bind_copy(ins: Instruction, frame: Frame) -> Any:
    spaces = [m.split("::")[0] for m in ins.mods if m.split("::")[0] in ("global", "shared")]
    is_tensor, to_shared = "tensor" in ins.mods, spaces[0] == "shared"
    by_barrier = any(m.startswith("mbarrier") for m in ins.mods)
    operands = list(ins.operands)
    target, source = operands[:2]
    rest = operands[2:]
    size = None if is_tensor else frame.read(rest.pop(0), "u32")
    barrier = _bind_shared(ins, frame, rest.pop(0)) if by_barrier else None
    multicast = frame.read(rest.pop(0), "u16") if "multicast::cluster" in ins.mods else None
    issue = _Issue(ins, frame, spaces[0], spaces[1])
    find_global = _bind_global(ins, frame, source if to_shared else target, is_tensor)
    shared_operand = target if to_shared else source
    find_shared = _bind_shared(ins, frame, shared_operand)
    from_shared = None
    if spaces == ["shared", "shared"]:
        from_shared = _bind_shared(ins, frame, source)

    def step(mask: Array | None) -> None:
        start = find_shared(mask)
        places = barrier(mask) if barrier is not None else None
        other = from_shared(mask) if from_shared is not None else None
        for lane in active_lanes(frame, mask):
            count = int(size[lane]) if size is not None else 0
            if other is not None:
                remote = _linear("shared", int(other[lane]), count)
                sides = _linear("shared", int(start[lane]), count), remote
            else:
                sides = find_global(lane, int(start[lane]), count, mask)
                sides = sides if to_shared else sides[::-1]
            at = None if places is None else int(places[lane])
            ranks = None if multicast is None else int(multicast[lane])
            issue.start(lane, sides, at, ranks)

    return step


def _bind_shared(
    ins: Instruction, frame: Frame, operand: Operand
) -> Callable[[Array | None], Array]:
    assert isinstance(operand, Address)
    parts = bind_parts(frame, operand, "shared")
    return lambda mask: parts(mask)[0].offsets.copy()


def _linear(space: str, start: int, size: int) -> Side:
    offsets = start + np.arange(0, size, 16)
    return Side(space, 16, offsets, np.ones(len(offsets), np.bool_))


def _bind_global(ins: Instruction, frame: Frame, operand: Operand, is_tensor: bool) -> Any:
    """`sides(lane, shared start, bytes, mask)`: the shared and the global side of one lane's
    copy.
    """
    assert isinstance(operand, Address)
    gang = frame.gang
    if not is_tensor:
        if any(m.split("::")[0] == "global" for m in ins.mods):
            parts = bind_parts(frame, operand, "global")

            def linear(lane: int, start: int, size: int, mask: Array | None) -> tuple[Side, Side]:
                if size % 16:
                    raise gang.fault("misaligned", f"a bulk copy of {size} bytes", ins, frame, mask)
                offset = int(parts(mask)[0].offsets[lane])
                return _linear("shared", start, size), _linear("global", offset, size)

            return linear
        return None
    base = Address(operand.base, operand.offset)
    parts = bind_parts(frame, base, "generic")
    coordinates = [frame.read(o, "s32") for o in _coordinates(operand)]

    def tile(lane: int, start: int, size: int, mask: Array | None) -> tuple[Side, Side]:
        found = next(p for p in parts(mask) if p.mask is None or p.mask[lane])
        memory = gang.shared if found.space == "shared" else gang.launch.arena.space
        offset = int(found.offsets[lane])
        map_ = decode(memory.data[offset : offset + SIZE].tobytes())
        corner = tuple(int(c[lane]) for c in coordinates)
        if len(corner) != map_.rank:
            message = f"{len(corner)} coordinates for a tensor map of rank {map_.rank}"
            raise gang.fault("tensor map", message, ins, frame, mask)
        return _tile_sides(map_, find_box(map_, corner), start)

    return tile


def _coordinates(operand: Address) -> tuple[Operand, ...]:
    from_vector = operand.extra[0]
    return from_vector.items if hasattr(from_vector, "items") else operand.extra


@dataclass(frozen=True, slots=True)
class _Tile(Side):
    """The global side of a tensor copy, with what fills the outside."""

    fill: int | None
    box: Box
    element: str


_FILLS = {2: 0x7FFF7FFF7FFF7FFF, 4: 0x7FFFFFFF7FFFFFFF, 8: 0x7FFFFFFFFFFFFFFF}
"""The NaN outside of a tensor, by bytes per element, as 64 bits."""


def _tile_sides(map_: Descriptor, box: Box, start: int) -> tuple[Side, Side]:
    if start % 128:
        raise Fault(
            "misaligned", "the box of a tensor copy in shared memory needs 128-byte alignment"
        )
    if map_.address % 16:
        raise Fault("misaligned", "the tensor of a tensor map needs 16-byte alignment")
    fill = _FILLS.get(map_.item) if map_.fill else None
    everything = np.ones(len(box.addresses), np.bool_)
    shared = Side("shared", box.unit, box.places(start, map_.swizzle), everything)
    return shared, _Tile(
        "global", box.unit, box.addresses - GLOBAL, box.inside, fill, box, map_.element
    )


class _Issue:
    """Starts transfers of one instruction."""

    def __init__(self, ins: Instruction, frame: Frame, target: str, source: str) -> None:
        self.ins, self.frame, self.gang = ins, frame, frame.gang
        self.target, self.source = target, source
        reduction = (
            next((m for m in ins.mods if m in _REDUCTIONS), None) if "reduce" in ins.mods else None
        )
        self.kind = next((m for m in ins.mods if m in BITS), "b8") if reduction else "b8"
        self.reduction = reduction

    def start(
        self, lane: int, sides: tuple[Side, Side], barrier: int | None, ranks: int | None
    ) -> None:
        """Checks and issues one lane's copy (with `ranks`: to several blocks of the cluster)."""
        target, source = sides
        self._check(lane, target, "write")
        self._check(lane, source, "read")
        targets, barriers = [target], [] if barrier is None else [barrier]
        if ranks is not None:
            targets, barriers = self._spread(lane, target, barrier or 0, ranks)
        size = target.unit * len(target.offsets)

        def write(data: Array) -> None:
            for side in targets:
                self._write(side, source, data)

        transfer = Transfer(
            lambda: self._read(source), write,
            tuple((place, size) for place in barriers), self.frame.low + lane, size=size,
        )  # fmt: skip
        checks = self.gang.checks
        if checks is not None:
            line = checks.bulk(
                self.ins, self.frame, lane, source, targets, barriers, self.reduction
            )
            transfer.time = line
            transfer.pc = self.gang.program.pc_of(self.ins)
        self.gang.transfers.issue(transfer)

    def _spread(
        self, lane: int, target: Side, barrier: int, ranks: int
    ) -> tuple[list[Side], list[int]]:
        """Multicast: the same place in every block of the mask."""
        gang = self.gang
        at = self.frame.low + lane
        own = int(gang.cluster_base[at]) + int(gang.rank[at]) * gang.segment
        targets, barriers = [], []
        for rank in range(gang.cluster_blocks):
            if ranks >> rank & 1:
                move = int(gang.cluster_base[at]) + rank * gang.segment - own
                targets.append(
                    Side(target.space, target.unit, target.offsets + move, target.inside)
                )
                barriers.append(barrier + move)
        return targets, barriers

    def _read(self, side: Side) -> Array:
        if isinstance(side, _Tile):
            return gather(side.box, self.gang.launch.arena.space.views, GLOBAL, side.fill)
        views = (self.gang.shared if side.space == "shared" else self.gang.launch.arena.space).views
        found: Array = views[side.unit][side.offsets >> (side.unit.bit_length() - 1)]
        return found

    def _write(self, target: Side, source: Side, data: Array) -> None:
        views = (
            self.gang.shared if target.space == "shared" else self.gang.launch.arena.space
        ).views
        shift = target.unit.bit_length() - 1
        places, kept = target.offsets[target.inside] >> shift, data[target.inside]
        if self.reduction is None:
            views[target.unit][places] = kept
            return
        kind = target.element if isinstance(target, _Tile) else self.kind
        dtype = UNITS[BITS[kind] // 8]
        old = np.ascontiguousarray(views[target.unit][places])
        typed = _typed(kind)
        new = combiner(self.reduction, kind)(
            old.view(dtype).view(typed), [np.ascontiguousarray(kept).view(dtype).view(typed)]
        )
        views[target.unit][places] = np.ascontiguousarray(new).view(old.dtype)

    def _check(self, lane: int, side: Side, verb: str) -> None:
        """Bounds and alignment of one side."""
        offsets = side.offsets[side.inside]
        if not len(offsets):
            return
        gang = self.gang
        mask = np.arange(self.frame.n) == lane
        low, high = int(offsets.min()), int(offsets.max()) + side.unit
        if side.unit == 16 and low % 16:
            raise gang.fault(
                "misaligned", f"bulk {verb} in {side.space} memory", self.ins, self.frame, mask, low
            )
        if side.space == "global":
            if gang.launch.arena.holds(low, high) is None:
                raise gang.fault(
                    "out of bounds",
                    f"bulk {verb} of global memory",
                    self.ins,
                    self.frame,
                    mask,
                    low + GLOBAL,
                )
            return
        inside, span = low % gang.segment, high - low
        start = int(gang.cluster_base[self.frame.low + lane])
        foreign = low < start or high > start + gang.cluster_blocks * gang.segment
        if foreign or inside < SHARED_START or inside + span > gang.shared_end:
            message = (
                f"bulk {verb} of {span} bytes in shared memory, which ends at {gang.shared_end:#x}"
            )
            raise gang.fault("out of bounds", message, self.ins, self.frame, mask, inside)


def _typed(kind: str) -> Any:
    from_kind = {"u": "u", "s": "i", "b": "u", "f": "f"}
    if kind.startswith(("bf16", "f16")):
        return np.uint16
    return np.dtype(f"{from_kind[kind[0]]}{BITS[kind] // 8}")
