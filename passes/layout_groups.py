"""Groups of tile values that share one register layout, up to a permutation of dimensions.

Elementwise instructions, loops and branches keep layouts; `transpose` permutes them. So values form
groups: the layout of a value is its group's layout, permuted. What relates groups in other ways
(broadcast, reduce, reshape, …) is an edge between them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.atomic import Atomic
from tilewright.ir.instructions.control import Break, Continue, For, If, While, Yield
from tilewright.ir.instructions.elementwise import Binary, Cast, Compare, Fma, Select, Unary
from tilewright.ir.instructions.matmul import Mma, MmaAsync
from tilewright.ir.instructions.memory import Gather, Scatter
from tilewright.ir.instructions.shape import Transpose
from tilewright.ir.instructions.sync import Pend, Wait
from tilewright.ir.kernel import Kernel
from tilewright.ir.values import PendingType, TileType, Value

Order = tuple[int, ...]
SAME_LAYOUT = (Unary, Binary, Compare, Fma, Select, Cast, Gather, Scatter, Atomic, Pend)
"""Instructions whose tile operands and results all have one layout."""


def tile_of(value: Value) -> TileType | None:
    """The tile that a value is, or will be; None for other values."""
    match value.type:
        case TileType():
            return value.type
        case PendingType(tile):
            return tile
    return None


@dataclass
class Groups:
    """A union-find whose links carry permutations: layout(value) = layout(root).permute(order)."""

    links: dict[Value, tuple[Value, Order]] = field(default_factory=dict)

    def find(self, value: Value) -> tuple[Value, Order]:
        """The root of a value's group, and the order of the root's dimensions in the value."""
        kind = tile_of(value)
        assert kind is not None
        if value not in self.links:
            return value, tuple(range(len(kind.shape)))
        parent, order = self.links[value]
        root, outer = self.find(parent)
        joined = tuple(outer[d] for d in order)
        self.links[value] = (root, joined)
        return root, joined

    def join(self, first: Value, second: Value, order: Order | None = None) -> None:
        """layout(second) = layout(first).permute(order); skipped where it contradicts the group."""
        kind = tile_of(first)
        if kind is None or tile_of(second) is None:
            return
        order = tuple(range(len(kind.shape))) if order is None else order
        root, outer = self.find(first)
        other, inner = self.find(second)
        if root is other:
            return  # if the orders differ, a convert between the two is due
        # layout(second) = root.permute(wanted) and = other.permute(inner).
        wanted = tuple(outer[d] for d in order)
        inverse = tuple(inner.index(d) for d in range(len(inner)))
        self.links[other] = (root, tuple(wanted[d] for d in inverse))


def find_groups(kernel: Kernel) -> Groups:
    """The groups of all tile values of `kernel`."""
    groups = Groups()
    _visit(kernel.body, None, groups)
    return groups


def _visit(body: Body, loop: Sequence[Value] | None, groups: Groups) -> None:
    for item in body.instructions:
        _join_instruction(item, groups)
        match item:
            case For() | While():
                for nested in item.nested:
                    _visit(nested, item.results, groups)
            case If():
                for nested in item.nested:
                    _visit(nested, loop, groups)
                    if isinstance(nested.terminator, Yield):
                        _join_all(item.results, nested.terminator.values, groups)
            case Break() | Continue() if loop is not None:
                _join_all(loop, item.values, groups)
            case _:
                for nested in item.nested:
                    _visit(nested, None, groups)


def _join_instruction(item: Instruction, groups: Groups) -> None:
    match item:
        case Transpose():
            groups.join(item.operand, item.results[0], tuple(item.axes))
        case For():
            _join_loop(item.results, (item.init, item.body.args[1:], _yielded(item.body)), groups)
        case While():
            args = (item.init, item.before.args, item.after.args, _yielded(item.after))
            _join_loop(item.results, args, groups)
        case Mma() | MmaAsync():
            groups.join(item.acc, item.results[0])
        case Wait():
            _join_all(item.results, item.pending, groups)
        case _ if isinstance(item, SAME_LAYOUT):
            tiles = [v for v in (*item.operand_values, *item.results) if tile_of(v) is not None]
            for value in tiles[1:]:
                groups.join(tiles[0], value)


def _yielded(body: Body) -> tuple[Value, ...]:
    return body.terminator.values if isinstance(body.terminator, Yield) else ()


def _join_loop(results: Sequence[Value], lists: Sequence[Sequence[Value]], groups: Groups) -> None:
    for values in lists:
        _join_all(results, values, groups)


def _join_all(first: Sequence[Value], second: Sequence[Value], groups: Groups) -> None:
    for one, other in zip(first, second, strict=False):
        groups.join(one, other)


def walk_weighted(body: Body, weight: int = 1) -> Iterator[tuple[Instruction, int]]:
    """All instructions with how often they run, as far as can be guessed: 8 times per loop."""
    for item in body.instructions:
        yield item, weight
        inner = weight * 8 if isinstance(item, (For, While)) else weight
        for nested in item.nested:
            yield from walk_weighted(nested, inner)
