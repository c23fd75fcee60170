"""What instructions want of the layouts of their tiles, before any is chosen.

`fixed` layouts are those of matrix atoms and of the user's `layout=`; `accesses` say how memory
would like a tile to be spread; `relations` derive the layout of one group from another's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

from tilewright.ir.diagnostics import InternalError
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.buffer import BufferLoad, BufferStore
from tilewright.ir.instructions.matmul import Mma
from tilewright.ir.instructions.memory import Load, Store
from tilewright.ir.instructions.reduce import Reduce
from tilewright.ir.instructions.shape import Broadcast, Reshape, View
from tilewright.ir.kernel import Kernel
from tilewright.ir.layout import Layout
from tilewright.ir.targets.fragments import product_layouts
from tilewright.ir.targets.record import Target
from tilewright.ir.values import TileType, Value, element_type, shape_of, tensor_type
from tilewright.passes.access_widths import WIDEST_BITS, find_width, whole_bytes
from tilewright.passes.facts import Facts
from tilewright.passes.layout_choices import Wish
from tilewright.passes.layout_groups import Groups, tile_of, walk_weighted
from tilewright.passes.layout_relations import (
    broadcast_operand,
    line,
    normal,
    reduced,
    repacked,
    reshaped,
)

Derive = Callable[[Layout], Layout | None]


@dataclass(frozen=True)
class Relation:
    """Once `source` has a layout, `target` would like `derive` of it."""

    source: Value
    target: Value
    derive: Derive


@dataclass
class Anchors:
    """All wishes, each for a value in that value's own order of dimensions."""

    fixed: list[tuple[Value, Layout, int]] = field(default_factory=list)
    accesses: list[tuple[Value, Wish, int]] = field(default_factory=list)
    reduced: list[tuple[Value, int]] = field(default_factory=list)
    relations: list[Relation] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)


def find_anchors(kernel: Kernel, groups: Groups, facts: Facts, target: Target) -> Anchors:
    """The wishes of every instruction of `kernel`."""
    del groups
    anchors = Anchors()
    for item, weight in walk_weighted(kernel.body):
        for value in (*item.results, *(a for body in item.nested for a in body.args)):
            kind = tile_of(value)
            if kind is not None:
                anchors.values.append(value)
                if kind.layout is not None:
                    anchors.fixed.append((value, normal(kind.layout), 1 << 40))
        _add_wishes(item, weight, anchors, facts, target)
    return anchors


def _add_wishes(
    item: Instruction, weight: int, anchors: Anchors, facts: Facts, target: Target
) -> None:
    match item:
        case Load():
            _add_access(item.results[0], item, weight, anchors, facts)
        case Store():
            _add_access(item.value, item, weight, anchors, facts)
        case BufferLoad():
            _add_buffer_access(item.results[0], weight, anchors)
        case BufferStore():
            _add_buffer_access(item.value, weight, anchors)
        case Mma():
            _add_product(item, weight, anchors, target)
        case View():
            _add_view(item, anchors)
        case Reduce():
            anchors.reduced.append((item.operand, item.axis))
            axis = item.axis
            _relate(anchors, item.operand, item.results[0], lambda x: reduced(x, [axis]))
        case Broadcast():
            have, want = shape_of(item.operand), item.shape
            single = [n if n != w else 0 for n, w in zip(have, want, strict=True)]
            _relate(anchors, item.results[0], item.operand, lambda x: broadcast_operand(x, single))
        case Reshape():
            have, want = shape_of(item.operand), item.shape
            _relate(anchors, item.operand, item.results[0], lambda x: reshaped(x, have, want))
            _relate(anchors, item.results[0], item.operand, lambda x: reshaped(x, want, have))


def _relate(anchors: Anchors, source: Value, target: Value, derive: Derive) -> None:
    anchors.relations.append(Relation(source, target, derive))


def _add_access(
    value: Value, item: Load | Store, weight: int, anchors: Anchors, facts: Facts
) -> None:
    anchors.accesses.append((value, access_wish(item, facts), weight * _bytes(value)))
    for dim, offset in enumerate(item.offsets):
        if isinstance(offset.type, TileType):
            anchors.relations.append(Relation(value, offset, _line_along(dim)))


def _line_along(dim: int) -> Derive:
    return lambda layout: line(layout, dim)


def access_wish(item: Load | Store, facts: Facts) -> Wish:
    """The spread with which a load or store of a tensor is coalesced."""
    shape = item.shape if isinstance(item, Load) else shape_of(item.value)
    kind = tensor_type(item.tensor)
    fast = kind.fast_axis
    order = (*(d for d in range(len(shape)) if d != fast), *((fast,) if shape else ()))
    least = 1
    if isinstance(item, Store) and kind.dtype.bits < 8:
        least = whole_bytes(kind.dtype.bits)
    width = find_width(item.tensor, item.offsets, facts)
    return Wish(shape, order, max(width, least), least)


def _add_buffer_access(value: Value, weight: int, anchors: Anchors) -> None:
    shape = shape_of(value)
    vector = max(1, WIDEST_BITS // max(8, element_type(value).bits))
    wish = Wish(shape, tuple(range(len(shape))), vector)
    anchors.accesses.append((value, wish, weight * _bytes(value) // 4))


def _add_product(item: Mma, weight: int, anchors: Anchors, target: Target) -> None:
    if item.atom is None or item.warp_grid is None:
        raise InternalError("infer_layouts needs the atom and warp grid of every mma: choose_atoms")
    fragments = product_layouts(item, target)
    pairs = ((item.x, fragments.x), (item.y, fragments.y), (item.acc, fragments.acc))
    for value, layout in pairs:
        if isinstance(value.type, TileType):
            anchors.fixed.append((value, normal(layout), weight * _bytes(value)))


def _add_view(item: View, anchors: Anchors) -> None:
    """The result's layout is given; the operand's holds the same bits."""
    anchors.fixed.append((item.results[0], normal(item.layout), 1 << 40))
    layout = view_operand(item)
    if layout is not None:
        anchors.fixed.append((item.operand, layout, 1 << 20))


def view_operand(item: View) -> Layout | None:
    """The layout that a view's operand must have, where it follows from the result's."""
    layout = repacked(item.layout, item.dtype.bits, element_type(item.operand).bits)
    if layout is None or layout.shape != shape_of(item.operand):
        return None
    return layout


def _bytes(value: Value) -> int:
    return max(1, prod(shape_of(value)) * element_type(value).bits // 8)
