"""Infer layouts: every register tile gets a layout; `convert` stands where demands clash.

before:  %x: tile<[64, 64], f16> = load %a, [%i, %k], shape=[64, 64]
         %s: tile<[64, 1], f16> = sum %x, axis=1
after:   %x: tile<[64, 64], f16, #0> = load %a, [%i, %k], shape=[64, 64]
         %s: tile<[64, 1], f16, #1> = sum %x, axis=1           (#1 is #0 without dimension 1)

Needs: `choose_atoms`. Gives: phase laid_out, `warps`, and a layout for every tile; a layout may be
larger than its tile (ghosts). Cost: linear, and small table work per distinct layout.

[groups] values that elementwise instructions and loops tie together share a layout. [rematerialize]
constants, `arange` and broadcasts are made anew for every use, so they tie nothing. [fixed] a group
that a matrix atom or the user's `layout=` names takes that one, the heaviest first. [derived] else
it takes what an already solved neighbour implies (a reduction's result, a broadcast's operand).
[memory] else the coalesced layout of its heaviest access, warps away from reduced dimensions.
A solution always exists, because `rewrite_layouts` converts wherever an instruction needs another.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from math import prod

from tilewright.ir.instructions.roles import Roles
from tilewright.ir.kernel import Kernel
from tilewright.ir.layout import Layout, Piece
from tilewright.ir.values import Value
from tilewright.passes.facts import find_facts
from tilewright.passes.layout_anchors import Anchors, Relation, find_anchors
from tilewright.passes.layout_choices import LANES, Wish, coalesced
from tilewright.passes.layout_groups import Groups, Order, find_groups, tile_of
from tilewright.passes.layout_prepare import prepare_layouts
from tilewright.passes.layout_rewrite import rewrite_layouts
from tilewright.passes.layout_wants import Solution
from tilewright.passes.runner import Context, Pass

DEFAULT_WARPS = 4


def infer_layouts(kernel: Kernel, context: Context) -> Kernel:
    """`kernel` in phase laid_out."""
    warps = max(
        kernel.warps or int(context.config.get("warps") or DEFAULT_WARPS), find_named_warps(kernel)
    )
    kernel = replace(prepare_layouts(kernel), warps=warps)
    groups, facts = find_groups(kernel), find_facts(kernel)
    anchors = find_anchors(kernel, groups, facts, context.target)
    counts = find_warps(kernel, warps)
    problem = _pose(anchors, groups, counts, warps)
    layouts = _solve(problem)
    solution = Solution(groups, layouts, facts, context.target, counts, warps, problem.is_fixed)
    return replace(rewrite_layouts(kernel, solution), phase="laid_out")


def find_named_warps(kernel: Kernel) -> int:
    """The warps that the layouts in the kernel's text move along, outside of roles."""
    layouts = [
        held
        for item in kernel.walk()
        for held in (getattr(item, "layout", None), *(_layout_of(v) for v in item.results))
        if isinstance(held, Layout)
    ]
    return max((layout.size("warp") for layout in layouts), default=1)


def _layout_of(value: Value) -> object:
    return getattr(value.type, "layout", None)


def find_warps(kernel: Kernel, warps: int) -> dict[Value, int]:
    """The warps that hold a tile, where they are a role's and not the whole block's."""
    found: dict[Value, int] = {}
    for item in kernel.walk():
        if isinstance(item, Roles):
            for body, count in zip(item.members, item.warps, strict=True):
                for inner in Kernel(kernel.name, body).walk():
                    values = (*inner.results, *(a for b in inner.nested for a in b.args))
                    found.update((v, count) for v in values if count != warps)
    return found


@dataclass
class Problem:
    """The anchors, by group and in the order of the group's root."""

    warps: dict[Value, int] = field(default_factory=dict)
    fixed: dict[Value, list[tuple[int, Layout]]] = field(default_factory=lambda: defaultdict(list))
    wishes: dict[Value, list[tuple[int, Wish]]] = field(default_factory=lambda: defaultdict(list))
    derived: dict[Value, list[Layout]] = field(default_factory=lambda: defaultdict(list))
    reduced: dict[Value, set[int]] = field(default_factory=lambda: defaultdict(set))
    relations: dict[Value, list[tuple[Order, Relation, Value, Order]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    sizes: dict[Value, int] = field(default_factory=dict)

    def is_fixed(self, root: Value) -> bool:
        """Whether an atom or the user named the group's layout."""
        return root in self.fixed


def _pose(anchors: Anchors, groups: Groups, counts: dict[Value, int], warps: int) -> Problem:
    problem = Problem()
    for value in anchors.values:
        root, _ = groups.find(value)
        problem.warps[root] = counts.get(value, warps)
        problem.sizes[root] = problem.sizes.get(root, 0) + prod(shape_of_tile(value))
    for value, layout, weight in anchors.fixed:
        root, order = groups.find(value)
        problem.fixed[root].append((weight, layout.permute(*inverse(order))))
    for value, wish, weight in anchors.accesses:
        root, order = groups.find(value)
        shape = tuple(wish.shape[d] for d in inverse(order))
        turned = replace(wish, shape=shape, order=tuple(order[d] for d in wish.order))
        problem.wishes[root].append((weight, turned))
    for value, dim in anchors.reduced:
        root, order = groups.find(value)
        problem.reduced[root].add(order[dim])
    for relation in anchors.relations:
        root, order = groups.find(relation.source)
        target, turn = groups.find(relation.target)
        problem.relations[root].append((order, relation, target, turn))
    return problem


def inverse(order: Order) -> Order:
    """The permutation that undoes `order`."""
    return tuple(order.index(d) for d in range(len(order)))


def shape_of_tile(value: Value) -> tuple[int, ...]:
    """The shape of a tile, pending or not."""
    kind = tile_of(value)
    return () if kind is None else kind.shape


def _solve(problem: Problem) -> dict[Value, Layout]:
    """Fixed groups first, then the largest; each tells its neighbours what it implies."""
    chosen: dict[Value, Layout] = {}
    left = dict.fromkeys(problem.warps)
    while left:
        root = max(left, key=lambda r: (problem.is_fixed(r), problem.sizes[r]))
        del left[root]
        chosen[root] = _choose(problem, root)
        for order, relation, target, turn in problem.relations[root]:
            if target in left:
                found = relation.derive(chosen[root].permute(*order))
                if found is not None:
                    problem.derived[target].append(found.permute(*inverse(turn)))
    return chosen


def _choose(problem: Problem, root: Value) -> Layout:
    warps = problem.warps[root]
    if problem.is_fixed(root):
        return complete(max(problem.fixed[root], key=lambda pair: pair[0])[1], warps)
    if problem.derived[root]:
        return min(problem.derived[root], key=lambda layout: layout.size("reg"))
    shape = shape_of_tile(root)
    reduced = frozenset(problem.reduced[root])
    if problem.wishes[root]:
        heaviest = max(problem.wishes[root], key=lambda pair: pair[0])[1]
        least = max(
            (w.least for _, w in problem.wishes[root] if w.order[-1:] == heaviest.order[-1:]),
            default=1,
        )
        vector = max(heaviest.vector, least)
        return coalesced(replace(heaviest, vector=vector, least=least, reduced=reduced), warps)
    return coalesced(Wish(shape, tuple(range(len(shape))), reduced=reduced), warps)


def complete(layout: Layout, warps: int) -> Layout:
    """`layout` with copies in the lanes and warps that it leaves empty."""
    copies = list(layout.copies)
    for axis, count in (("lane", LANES), ("warp", warps)):
        size = layout.size(axis)
        if size < count and count % size == 0:
            copies.append(Piece(count // size, size, axis))
    return layout.replace(copies=copies)


PASS = Pass("infer_layouts", infer_layouts)
