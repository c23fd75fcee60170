"""Writes chosen layouts into a kernel and inserts `convert` where an instruction needs another.

Every operand of every instruction has one layout that makes the instruction a matter of registers:
most take their result's, some have a rule in `_wanted`. A result that an instruction gives in
another layout than its group's is converted behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.atomic import Atomic
from tilewright.ir.instructions.check import Print
from tilewright.ir.instructions.control import Break, Continue, For, If, While, Yield
from tilewright.ir.instructions.matmul import Mma
from tilewright.ir.instructions.memory import Load, Store
from tilewright.ir.instructions.reduce import Reduce
from tilewright.ir.instructions.roles import Roles
from tilewright.ir.instructions.shape import (
    Broadcast,
    Convert,
    Item,
    Reshape,
    Slice,
    Transpose,
    View,
)
from tilewright.ir.kernel import Builder, Environment, Kernel, substitute
from tilewright.ir.layout import Layout, LayoutError, blocked
from tilewright.ir.targets.fragments import product_layouts
from tilewright.ir.targets.record import Target
from tilewright.ir.values import (
    PendingType,
    TileType,
    Type,
    Value,
    element_type,
    shape_of,
    tensor_type,
    tile_type,
)
from tilewright.passes.facts import Facts
from tilewright.passes.layout_anchors import access_wish, view_operand
from tilewright.passes.layout_choices import (
    coalesced,
    in_registers,
    replicated,
    sector_ratio,
    without_copies,
)
from tilewright.passes.layout_groups import SAME_LAYOUT, Groups, tile_of
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


Ends = tuple[Sequence[Value], Sequence[Value]]
"""What `yield` and what `break` and `continue` assign: the results of the branch, of the loop."""
Wants = list[tuple[Value, Layout]]
"""Layouts that operands must have, in their order: a value in two places may be wanted twice."""
Given = tuple[Layout | None, ...] | None
"""Layouts in which results come; None for their own."""


def rewrite_layouts(kernel: Kernel, solution: Solution) -> Kernel:
    """`kernel` with layouts on all tiles and converts in front of operands that need another."""
    body = _Rewriter(solution).body(kernel.body, {}, ((), ()), solution.warps)
    return replace(kernel, body=body)


@dataclass
class _Rewriter:
    solution: Solution

    def body(self, body: Body, environment: Environment, ends: Ends, warps: int) -> Body:
        args = tuple(self._retype(a, environment) for a in body.args)
        builder = Builder()
        for old in body.instructions:
            builder.location = old.location
            item = substitute(old, environment)
            results = tuple(self._retype(r, environment) for r in old.results)
            if item.nested:
                item = self._nested(old, item, environment, results, ends, warps)
            self._place(item, results, builder, ends, warps, environment, old)
        return builder.body(args)

    def _retype(self, value: Value, environment: Environment) -> Value:
        kind = tile_of(value)
        if kind is None:
            return value
        laid = kind.with_layout(self.solution.layout(value).with_bits(kind.dtype.bits))
        wanted: Type = PendingType(laid) if isinstance(value.type, PendingType) else laid
        made = Value(wanted, value.name)
        environment[value] = made
        self.solution.old[made] = value
        return made

    def _nested(
        self,
        old: Instruction,
        item: Instruction,
        environment: Environment,
        results: Sequence[Value],
        ends: Ends,
        warps: int,
    ) -> Instruction:
        changes: dict[str, object] = {}
        for spec in old.specs:
            held = getattr(old, spec.name)
            inner: Ends = (results, results if isinstance(old, (For, While)) else ends[1])
            if spec.kind == "body":
                changes[spec.name] = self.body(held, environment, inner, warps)
            elif spec.kind == "bodies":
                counts = old.warps if isinstance(old, Roles) else (warps,) * len(held)
                changes[spec.name] = tuple(
                    self.body(b, environment, ((), ()), w)
                    for b, w in zip(held, counts, strict=True)
                )
        return replace(item, **changes)  # type: ignore[arg-type]

    def _place(
        self,
        item: Instruction,
        results: tuple[Value, ...],
        builder: Builder,
        ends: Ends,
        warps: int,
        environment: Environment,
        old: Instruction,
    ) -> None:
        """Append `item` with its operands converted, and its results where they differ."""
        wants, natural = self._wanted(item, results, ends, warps)
        item = _convert_operands(item, wants, builder)
        kinds = [
            v if layout is None or _same(layout, v.type) else Value(_laid(v, layout), v.name)
            for v, layout in zip(results, natural or (None,) * len(results), strict=True)
        ]
        builder.append(replace(item, results=tuple(kinds)))
        for was, given, wanted in zip(old.results, kinds, results, strict=True):
            if given is not wanted:
                environment[was] = _convert(given, tile_type(wanted).layout, builder)

    def _wanted(
        self, item: Instruction, results: tuple[Value, ...], ends: Ends, warps: int
    ) -> tuple[Wants, Given]:
        """Layouts that operands must have, and those in which results come (None: their own)."""
        result = tile_of(results[0]) if results else None
        match item:
            case Yield():
                return _like(item.values, ends[0]), None
            case Break() | Continue():
                return _like(item.values, ends[1]), None
            case For() | While():
                return _like(item.init, results), None
            case If() | Roles():
                return [], None
            case Load() | Store():
                return self._access(item, results, warps)
            case Mma():
                return self._product(item)
            case Reduce():
                held = _layout(item.operand)
                return [], (reduced(held, [item.axis]),)
            case Broadcast():
                assert result is not None and result.layout is not None
                have = shape_of(item.operand)
                single = [n if n != w else 0 for n, w in zip(have, item.shape, strict=True)]
                return [(item.operand, broadcast_operand(result.layout, single))], None
            case Transpose():
                back = tuple(item.axes.index(d) for d in range(len(item.axes)))
                return [(item.operand, _layout(results[0]).permute(*back))], None
            case Reshape():
                return _reshape(item, results[0], warps)
            case Slice():
                return _slice(item, results[0], warps)
            case View():
                layout = view_operand(item)
                return ([] if layout is None else [(item.operand, layout)]), (item.layout,)
            case Convert():
                return [], (item.layout,)
            case Atomic() if result is not None:
                return _atomic(item, results[0])
            case Item():
                return [(item.operand, replicated(shape_of(item.operand), warps))], None
            case Print():
                tiles = [v for v in item.values if isinstance(v.type, TileType)]
                return [(v, replicated(shape_of(v), warps)) for v in tiles], None
        return _elementwise(item, results), None

    def _access(
        self, item: Load | Store, results: tuple[Value, ...], warps: int
    ) -> tuple[Wants, Given]:
        value = results[0] if isinstance(item, Load) else item.value
        layout = self._access_layout(item, value, warps)
        wants = [
            (offset, line(layout, dim))
            for dim, offset in enumerate(item.offsets)
            if isinstance(offset.type, TileType)
        ]
        if isinstance(item, Load):
            return wants, (layout,)
        return [*wants, (item.value, layout)], None

    def _access_layout(self, item: Load | Store, value: Value, warps: int) -> Layout:
        """The value's own layout, unless it wastes most of every sector (or splits bytes)."""
        held = _layout(value)
        old = self.solution.old.get(value, value)
        wish = access_wish(item, self.solution.facts)
        if wish.least > 1 and held.contiguity("reg", wish.order[-1]) % wish.least:
            return coalesced(wish, warps)
        root, _ = self.solution.groups.find(old)
        feeds_atom = isinstance(item, Load) and self.solution.is_fixed(root)
        if feeds_atom or prod(wish.shape) < STAGED_ELEMENTS:
            return held
        own = coalesced(wish, warps)
        fast, bits = wish.order[-1], tensor_type(item.tensor).dtype.bits
        ours = sector_ratio(normal(held), wish.shape, fast, bits)
        best = sector_ratio(own, wish.shape, fast, bits)
        return own if ours < 0.5 and best >= 2 * ours else held

    def _product(self, item: Mma) -> tuple[Wants, Given]:
        fragments = product_layouts(item, self.solution.target)
        pairs = ((item.x, fragments.x), (item.y, fragments.y), (item.acc, fragments.acc))
        wants = [(v, layout) for v, layout in pairs if isinstance(v.type, TileType)]
        return wants, (fragments.acc,)


def _layout(value: Value) -> Layout:
    layout = tile_type(value).layout
    assert layout is not None
    return layout


def _same(layout: Layout, kind: Type) -> bool:
    have = kind.tile.layout if isinstance(kind, PendingType) else kind.layout  # type: ignore[union-attr]
    return have is not None and normal(have) is normal(layout)


def _laid(value: Value, layout: Layout) -> Type:
    kind = tile_type(value)
    return kind.with_layout(layout.with_bits(kind.dtype.bits))


def _convert(value: Value, layout: Layout | None, builder: Builder) -> Value:
    assert layout is not None
    wanted = layout.with_bits(element_type(value).bits)
    return builder.value(Convert(operand=value, layout=wanted), value.name)


def _convert_operands(item: Instruction, wants: Wants, builder: Builder) -> Instruction:
    """`item` with every operand that wants another layout converted, once per layout."""
    left: dict[Value, list[Layout]] = {}
    for value, layout in wants:
        left.setdefault(value, []).append(layout)
    made: dict[tuple[Value, Layout], Value] = {}

    def take(value: Value | None) -> Value | None:
        if value is None or value not in left or not isinstance(value.type, TileType):
            return value
        layout = left[value].pop(0) if len(left[value]) > 1 else left[value][0]
        if _same(layout, value.type):
            return value
        if (value, layout) not in made:
            made[value, layout] = _convert(value, layout, builder)
        return made[value, layout]

    changes: dict[str, object] = {}
    for spec in item.specs if left else ():
        held = getattr(item, spec.name)
        if spec.kind == "operand":
            changes[spec.name] = take(held)
        elif spec.kind == "operands":
            changes[spec.name] = tuple(take(v) for v in held)
    return replace(item, **changes)  # type: ignore[arg-type]


def _like(values: Sequence[Value], results: Sequence[Value]) -> Wants:
    pairs = zip(values, results, strict=False)
    return [(v, _layout(r)) for v, r in pairs if isinstance(v.type, TileType)]


def _elementwise(item: Instruction, results: tuple[Value, ...]) -> Wants:
    if not isinstance(item, SAME_LAYOUT):
        return []
    tiles = [v for v in item.operand_values if isinstance(v.type, TileType)]
    first = next((r for r in results if isinstance(r.type, TileType)), tiles[0] if tiles else None)
    return [] if first is None else [(v, _layout(first)) for v in tiles]


def _reshape(item: Reshape, result: Value, warps: int) -> tuple[Wants, Given]:
    have, want = shape_of(item.operand), item.shape
    backward = reshaped(_layout(result), want, have)
    if backward is not None:
        return [(item.operand, backward)], None
    forward = reshaped(_layout(item.operand), have, want)
    if forward is not None:
        return [], (forward,)
    for layout in _dense_layouts(have, warps):
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


def _slice(item: Slice, result: Value, warps: int) -> tuple[Wants, Given]:
    have = shape_of(item.operand)
    backward = slice_operand(_layout(result), have, item.start, item.shape)
    if backward is not None:
        return [(item.operand, backward)], None
    cut = tuple(d for d, n in enumerate(item.shape) if n != have[d])
    return [(item.operand, in_registers(have, cut, warps))], (in_registers(item.shape, cut, warps),)


def _atomic(item: Atomic, result: Value) -> tuple[Wants, Given]:
    """Once per element: copies are masked off, so no lane may count on its own copy's result."""
    layout = without_copies(_layout(result))
    tiles = [v for v in item.operand_values if isinstance(v.type, TileType)]
    return [(tile, layout) for tile in tiles], (layout,)
