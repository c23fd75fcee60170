"""Which layouts an instruction needs: a table of rules, one per instruction that has a say.

A rule gives the layouts that operands must have, and those in which results come (None: their own).
Instructions without a rule have no tiles, or take their operands as they are; elementwise ones want
the layout of their result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.atomic import Atomic
from tilewright.ir.instructions.check import Print
from tilewright.ir.instructions.control import Break, Continue, For, While, Yield
from tilewright.ir.instructions.matmul import Mma
from tilewright.ir.instructions.memory import Load, Store
from tilewright.ir.instructions.reduce import Reduce
from tilewright.ir.instructions.shape import (
    Broadcast,
    Convert,
    Item,
    Reshape,
    Slice,
    Transpose,
    View,
)
from tilewright.ir.layout import Layout, LayoutError, blocked
from tilewright.ir.targets.fragments import product_layouts
from tilewright.ir.targets.record import Target
from tilewright.ir.values import TileType, Value, shape_of, tensor_type, tile_type
from tilewright.passes.facts import Facts
from tilewright.passes.layout_anchors import access_wish, view_operand
from tilewright.passes.layout_choices import (
    coalesced,
    in_registers,
    replicated,
    sector_ratio,
    without_copies,
)
from tilewright.passes.layout_groups import SAME_LAYOUT, Groups
from tilewright.passes.layout_relations import (
    broadcast_operand,
    line,
    normal,
    reduced,
    reshaped,
    slice_operand,
)

STAGED_ELEMENTS = 1024
"""Smaller tiles are not worth a trip through shared memory for better accesses."""

Wants = list[tuple[Value, Layout]]
"""Layouts that operands must have, in their order: a value in two places may be wanted twice."""
Given = tuple[Layout | None, ...] | None
"""Layouts in which results come; None for their own."""


@dataclass
class Solution:
    """The layout of every group, and what is needed to check accesses against it."""

    groups: Groups
    layouts: dict[Value, Layout]
    facts: Facts
    target: Target
    role_warps: dict[Value, int]
    warps: int
    is_fixed: Callable[[Value], bool]
    old: dict[Value, Value] = field(default_factory=dict)

    def layout(self, value: Value) -> Layout:
        """The layout of a value of the kernel before rewriting."""
        root, order = self.groups.find(value)
        return self.layouts[root].permute(*order)


@dataclass(frozen=True)
class Scope:
    """Where an instruction stands: what `yield`, and what `break` and `continue`, assign there."""

    solution: Solution
    warps: int
    branch: Sequence[Value] = ()
    loop: Sequence[Value] = ()


Rule = Callable[[Any, Sequence[Value], Scope], tuple[Wants, Given]]
RULES: dict[type[Instruction], Rule] = {}


def wants(*classes: type[Instruction]) -> Callable[[Rule], Rule]:
    """Register the rule of instruction classes."""

    def declare(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(classes, rule))
        return rule

    return declare


def find_wants(item: Instruction, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    """What `item`, whose results are to be `results`, needs."""
    if type(item) in RULES:
        return RULES[type(item)](item, results, scope)
    return _elementwise(item, results), None


def layout_of(value: Value) -> Layout:
    """The layout of a tile that has one."""
    layout = tile_type(value).layout
    assert layout is not None
    return layout


def _elementwise(item: Instruction, results: Sequence[Value]) -> Wants:
    if not isinstance(item, SAME_LAYOUT):
        return []
    tiles = [v for v in item.operand_values if isinstance(v.type, TileType)]
    first = next((r for r in results if isinstance(r.type, TileType)), tiles[0] if tiles else None)
    return [] if first is None else [(v, layout_of(first)) for v in tiles]


def _like(values: Sequence[Value], results: Sequence[Value]) -> Wants:
    pairs = zip(values, results, strict=False)
    return [(v, layout_of(r)) for v, r in pairs if isinstance(v.type, TileType)]


@wants(Yield)
def _yield(item: Yield, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    return _like(item.values, scope.branch), None


@wants(Break, Continue)
def _leave(item: Break | Continue, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    return _like(item.values, scope.loop), None


@wants(For, While)
def _loop(item: For | While, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    return _like(item.init, results), None


@wants(Load, Store)
def _access(item: Load | Store, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    value = results[0] if isinstance(item, Load) else item.value
    layout = _access_layout(item, value, scope)
    rows = [
        (offset, line(layout, dim))
        for dim, offset in enumerate(item.offsets)
        if isinstance(offset.type, TileType)
    ]
    if isinstance(item, Load):
        return rows, (layout,)
    return [*rows, (item.value, layout)], None


def _access_layout(item: Load | Store, value: Value, scope: Scope) -> Layout:
    """The value's own layout, unless it wastes most of every sector (or splits bytes)."""
    held, solution = layout_of(value), scope.solution
    wish = access_wish(item, solution.facts)
    if wish.least > 1 and held.contiguity("reg", wish.order[-1]) % wish.least:
        return coalesced(wish, scope.warps)
    root, _ = solution.groups.find(solution.old.get(value, value))
    feeds_atom = isinstance(item, Load) and solution.is_fixed(root)
    if feeds_atom or prod(wish.shape) < STAGED_ELEMENTS:
        return held
    own = coalesced(wish, scope.warps)
    fast, bits = wish.order[-1], tensor_type(item.tensor).dtype.bits
    ours = sector_ratio(normal(held), wish.shape, fast, bits)
    best = sector_ratio(own, wish.shape, fast, bits)
    return own if ours < 0.5 and best >= 2 * ours else held


@wants(Mma)
def _product(item: Mma, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    fragments = product_layouts(item, scope.solution.target)
    pairs = ((item.x, fragments.x), (item.y, fragments.y), (item.acc, fragments.acc))
    return [(v, x) for v, x in pairs if isinstance(v.type, TileType)], (fragments.acc,)


@wants(Reduce)
def _reduce(item: Reduce, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    return [], (reduced(layout_of(item.operand), [item.axis]),)


@wants(Broadcast)
def _broadcast(item: Broadcast, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    have = shape_of(item.operand)
    single = [n if n != w else 0 for n, w in zip(have, item.shape, strict=True)]
    return [(item.operand, broadcast_operand(layout_of(results[0]), single))], None


@wants(Transpose)
def _transpose(item: Transpose, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    back = tuple(item.axes.index(d) for d in range(len(item.axes)))
    return [(item.operand, layout_of(results[0]).permute(*back))], None


@wants(Reshape)
def _reshape(item: Reshape, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    have, want = shape_of(item.operand), item.shape
    backward = reshaped(layout_of(results[0]), want, have)
    if backward is not None:
        return [(item.operand, backward)], None
    forward = reshaped(layout_of(item.operand), have, want)
    if forward is not None:
        return [], (forward,)
    for layout in _dense_layouts(have, scope.warps):
        forward = reshaped(layout, have, want)
        if forward is not None:
            return [(item.operand, layout)], (forward,)
    raise LayoutError(f"no layout of {have} is one of {want}")


def _dense_layouts(shape: tuple[int, ...], warps: int) -> list[Layout]:
    """Layouts without ghosts, from spread to replicated; the last one takes any reshape."""
    return [
        blocked(shape, warps=warps),
        blocked(shape, lanes=32, warps=1).replicate(warps, "warp", 1),
        replicated(shape, warps),
    ]


@wants(Slice)
def _slice(item: Slice, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    have = shape_of(item.operand)
    backward = slice_operand(layout_of(results[0]), have, item.start, item.shape)
    if backward is not None:
        return [(item.operand, backward)], None
    cut = tuple(d for d, n in enumerate(item.shape) if n != have[d])
    whole, part = (in_registers(shape, cut, scope.warps) for shape in (have, item.shape))
    return [(item.operand, whole)], (part,)


@wants(View)
def _view(item: View, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    layout = view_operand(item)
    return ([] if layout is None else [(item.operand, layout)]), (item.layout,)


@wants(Convert)
def _convert(item: Convert, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    return [], (item.layout,)


@wants(Atomic)
def _atomic(item: Atomic, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    """Once per element: copies are masked off, so no lane may count on its own copy's result."""
    layout = without_copies(layout_of(results[0]))
    tiles = [v for v in item.operand_values if isinstance(v.type, TileType)]
    return [(tile, layout) for tile in tiles], (layout,)


@wants(Item)
def _item(item: Item, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    return [(item.operand, replicated(shape_of(item.operand), scope.warps))], None


@wants(Print)
def _print(item: Print, results: Sequence[Value], scope: Scope) -> tuple[Wants, Given]:
    tiles = [v for v in item.values if isinstance(v.type, TileType)]
    return [(v, replicated(shape_of(v), scope.warps)) for v in tiles], None
