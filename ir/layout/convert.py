"""How a register tile gets from one layout to another: the cheapest of four plans.

`nothing`: every lane already holds what it needs. `registers`: within each lane, the same renaming
for all. `lanes`: warp shuffles with a table per step. `shared`: through shared memory with a
computed swizzle. A plan is data: code generators read its fields, `apply` is its meaning.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tilewright.ir.layout.layout import Layout
from tilewright.ir.layout.places import Ints
from tilewright.ir.layout.shared import Exchange, choose_exchange
from tilewright.ir.layout.shuffles import SHUFFLE_COST, Shuffle, plan_shuffles, shuffle_cost
from tilewright.ir.layout.value import LayoutError

AXES = ("warp", "lane", "reg")
SHARED_LATENCY = 32
"""What two barriers and the latency of shared memory cost, in wavefronts."""

Values = npt.NDArray[np.generic]


@dataclass(frozen=True)
class ConvertPlan:
    """One way from `source` to `target`. Only the fields of its `kind` are filled.

    `registers[r]` is the source register of target register r (-1: unused). A shuffle moves `unit`
    neighbouring registers at once. `cost` counts instructions of a warp; a shuffle is worth four.
    """

    kind: str
    source: Layout
    target: Layout
    cost: int
    registers: tuple[int, ...] = ()
    unit: int = 1
    shuffles: tuple[Shuffle, ...] = ()
    exchange: Exchange | None = None

    def apply(self, data: Values) -> Values:
        """The target's registers (warp, lane, reg) from the source's, moved as the plan says.

        Registers that hold no element are zero.
        """
        sizes = [self.target.size(axis) for axis in AXES]
        result = np.zeros(sizes, dtype=data.dtype)
        if self.kind == "nothing":
            held = self.target.elements_at(*AXES) >= 0
            result[held] = data[: sizes[0], : sizes[1], : sizes[2]][held]
        elif self.kind == "registers":
            for register, origin in enumerate(self.registers):
                if origin >= 0:
                    result[:, :, register] = data[: sizes[0], : sizes[1], origin]
        elif self.kind == "lanes":
            _apply_shuffles(self, data, result)
        else:
            _apply_exchange(self, data, result)
        return result


def convert(source: Layout, target: Layout) -> ConvertPlan:
    """The cheapest plan by which a tile laid out as `source` becomes one laid out as `target`.

    A plan always exists for layouts of one shape over registers, lanes and warps.
    """
    if source.shape != target.shape:
        raise LayoutError(f"convert keeps the shape: {source.shape} is not {target.shape}")
    for layout in (source, target):
        if set(layout.axes) - set(AXES):
            raise LayoutError(f"convert is between registers: {layout}")
        if not layout.is_injective():
            raise LayoutError(f"several elements share a place: {layout}")
    return _convert(source, target.with_bits(source.bits))


@functools.cache
def _convert(source: Layout, target: Layout) -> ConvertPlan:
    origin = _find_origins(source, target)
    if origin is not None and _stays(origin):
        return _plan_within_lanes(source, target, origin)
    through = _plan_exchange(source, target)
    if origin is None:
        return through
    unit = _common_unit(origin, source.bits)
    steps = plan_shuffles(origin[:, ::unit] // (1, unit), source.size("lane"))
    cost = sum(map(shuffle_cost, steps)) * max(1, unit * source.bits // 32)
    if cost >= through.cost:
        return through
    return ConvertPlan("lanes", source, target, cost, unit=unit, shuffles=tuple(steps))


def _find_origins(source: Layout, target: Layout) -> Ints | None:
    """For each (lane, register) of the target, the source's (lane, register) in the same warp.

    -1 where the target holds nothing; None where data crosses warps or warps differ. Own lanes are
    preferred, then the nearest by xor.
    """
    held, wanted = source.elements_at(*AXES), target.elements_at(*AXES)
    if wanted.shape[0] > held.shape[0]:
        return None
    tables = []
    for warp in range(wanted.shape[0]):
        table = _origins_in_warp(held[warp], wanted[warp], source.elements)
        if table is None:
            return None
        tables.append(table)
        if (tables[0] != table).any():
            return None
    return tables[0]


def _origins_in_warp(held: Ints, wanted: Ints, elements: int) -> Ints | None:
    lanes = np.arange(wanted.shape[0])
    best = np.full((*wanted.shape, 2), -1, dtype=np.int64)
    distance = np.full(wanted.shape, np.iinfo(np.int64).max)
    for order in _copies_of(held, elements):
        found = order[np.maximum(wanted, 0)]
        lane, register = np.divmod(found, held.shape[1])
        away = np.where((found >= 0) & (wanted >= 0), lane ^ lanes[:, None], distance)
        nearer = away < distance
        best[nearer] = np.stack([lane, register], axis=-1)[nearer]
        distance = np.minimum(distance, away)
    return None if ((best[..., 0] < 0) & (wanted >= 0)).any() else best


def _copies_of(held: Ints, elements: int) -> list[Ints]:
    """Tables from element to flat place in the warp, one per copy of the element, -1 for none."""
    places = np.flatnonzero(held.reshape(-1) >= 0)
    numbers = held.reshape(-1)[places]
    order = np.argsort(numbers, kind="stable")
    numbers, places = numbers[order], places[order]
    first = np.searchsorted(numbers, numbers)
    rank = np.arange(len(numbers)) - first
    tables = []
    for copy in range(int(rank.max(initial=-1)) + 1):
        table = np.full(elements, -1, dtype=np.int64)
        table[numbers[rank == copy]] = places[rank == copy]
        tables.append(table)
    return tables


def _stays(origin: Ints) -> bool:
    """Whether every lane takes its own registers, and all lanes the same ones."""
    used = origin[..., 0] >= 0
    own = origin[..., 0] == np.arange(origin.shape[0])[:, None]
    most = origin[..., 1].max(axis=0)
    return bool((own | ~used).all() and ((origin[..., 1] == most) | ~used).all())


def _plan_within_lanes(source: Layout, target: Layout, origin: Ints) -> ConvertPlan:
    registers = tuple(int(register) for register in origin[..., 1].max(axis=0))
    if all(register in (-1, index) for index, register in enumerate(registers)):
        return ConvertPlan("nothing", source, target, 0)
    # A move of registers is usually free: the compiler renames them.
    return ConvertPlan("registers", source, target, 1, registers=registers)


def _common_unit(origin: Ints, bits: int) -> int:
    """Registers that travel together, aligned on both sides: up to 32 bits of them."""
    unit = 1
    while unit * 2 * bits <= 32 and _travels_together(origin, unit * 2):
        unit *= 2
    return unit


def _travels_together(origin: Ints, unit: int) -> bool:
    if origin.shape[1] % unit:
        return False
    groups = origin.reshape(len(origin), -1, unit, 2)
    lanes, registers = groups[..., 0], groups[..., 1]
    steps = np.where(lanes[..., :1] >= 0, np.arange(unit), 0)
    aligned = (registers[..., 0] % unit == 0) | (lanes[..., 0] < 0)
    together = (lanes == lanes[..., :1]).all() and (registers == registers[..., :1] + steps).all()
    return bool(together and aligned.all())


def _plan_exchange(source: Layout, target: Layout) -> ConvertPlan:
    bits = (
        source.bits
        if source.bits in (8, 16, 32, 64)
        else max(8, 1 << (source.bits - 1).bit_length())
    )
    exchange = choose_exchange(source.with_bits(bits), target.with_bits(bits), bits)
    words = (source.size("reg") + target.size("reg")) * bits // 32
    conflicts = exchange.conflicts // source.size("warp")
    cost = SHUFFLE_COST * (SHARED_LATENCY + words + conflicts)
    return ConvertPlan("shared", source, target, cost, exchange=exchange)


def _apply_shuffles(plan: ConvertPlan, data: Values, result: Values) -> None:
    unit = plan.unit
    words = data.reshape(*data.shape[:2], -1, unit)
    target = result.reshape(*result.shape[:2], -1, unit)
    for step in plan.shuffles:
        lanes = np.arange(len(step.receive))
        received = np.array(step.receive)
        origin = np.array(step.source_lane)
        senders = np.minimum(lanes, words.shape[1] - 1)
        sent = words[: len(result), senders, np.array(step.send)]
        active = received >= 0
        target[:, lanes[active], received[active]] = sent[:, origin[active]]


def _apply_exchange(plan: ConvertPlan, data: Values, result: Values) -> None:
    assert plan.exchange is not None
    memory = plan.exchange.memory
    buffer = np.zeros(memory.size("addr"), dtype=data.dtype)
    addresses = memory.place_arrays().get("addr", np.zeros(memory.shape, dtype=np.int64))
    held, wanted = plan.source.primary(), plan.target.elements_at(*AXES)
    buffer[addresses.reshape(-1)[held[held >= 0]]] = data[: len(held)][held >= 0]
    result[wanted >= 0] = buffer[addresses.reshape(-1)[wanted[wanted >= 0]]]
