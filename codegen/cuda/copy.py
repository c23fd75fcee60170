"""Copies from global to shared memory by all lanes, asynchronous (`cp.async`) or plain.

The buffer is cut into accesses of `width` bytes along the tensor's fast axis, and access i of a
lane is number `i * threads + thread` of them. Where the threads cover whole rows, the coordinates
of access i are those of the first plus constants, and so are its addresses; else each access works
out its own. What lies outside of the view or of the tile is zero: `cp.async` reads fewer bytes and
fills the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from tilewright.codegen.cuda.elements import stored_type
from tilewright.codegen.cuda.emitter import LANES, Emitter, emits
from tilewright.codegen.cuda.places import all_of, sum_of
from tilewright.codegen.cuda.prelude import add_snippets
from tilewright.codegen.cuda.region import index_type, inside, offset_terms
from tilewright.codegen.cuda.shared import Ints, emit_addresses, thread_expression
from tilewright.ir.diagnostics import InternalError
from tilewright.ir.instructions.buffer import Copy
from tilewright.ir.layout import Layout
from tilewright.ir.values import buffer_type, shape_of, tensor_type

add_snippets(r"""
//@ tw_copy_async
// BYTES bytes to shared memory, of which `size` are read and the rest is zero.
template <int BYTES>
__device__ __forceinline__ void tw_copy_async(unsigned to, const void *from, int size) {
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                     :: "r"(to), "l"(from), "r"(size) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;"
                     :: "r"(to), "l"(from), "r"(size), "n"(BYTES) : "memory");
}
//@ tw_clamp
__device__ __forceinline__ int tw_clamp(long long x, int most) {
    return x < 0 ? 0 : x > most ? most : (int)x;
}
""")


@dataclass(frozen=True)
class _Plan:
    """Accesses of one copy: how many per lane and in all, and where each begins in the tile."""

    vector: int
    width: int
    axis: int
    total: int
    tables: tuple[Ints, ...]
    active: tuple[Ints, ...]
    memory: Layout


@emits(Copy)
def emit_copy(item: Copy, e: Emitter) -> None:
    e.comment(item)
    e.alias(item.results[0], "")
    if item.path not in ("cp_async", "plain"):
        raise InternalError(f"no template for copies by {item.path}")
    with e.block(f"if ({e.name(item.when)})" if item.when is not None else ""):
        plan = _plan(e, item)
        base = e.name(item.buffer)
        addresses = emit_addresses(e, base, plan.memory, plan.tables, active=plan.active)
        places = _emit_places(e, item, plan)
        for i, (address, coordinates) in enumerate(zip(addresses, places, strict=True)):
            last = (i + 1) * e.warps * LANES > plan.total
            rest = plan.total - i * e.warps * LANES
            with e.block(f"if (threadIdx.x < {rest})" if last else ""):
                _emit_access(e, item, plan, address, coordinates)


def _plan(e: Emitter, item: Copy) -> _Plan:
    memory = buffer_type(item.buffer).layout
    assert memory is not None
    size = memory.bits // 8
    width = max(size, item.width or size)
    vector = width // size
    axis = tensor_type(item.tensor).fast_axis
    order = [d for d in range(memory.rank) if d != axis] + [axis]
    extents = [memory.shape[d] // (vector if d == axis else 1) for d in order]
    total, threads = prod(extents), e.warps * LANES
    thread = np.arange(threads).reshape(e.warps, LANES)
    tables, active = [], []
    for start in range(0, total, threads):
        active.append(start + thread < total)
        digits = np.unravel_index((start + thread) % total, extents)
        by_axis = dict(zip(order, digits, strict=True))
        by_axis[axis] = by_axis[axis] * vector
        coordinates = tuple(by_axis[d] for d in range(memory.rank))
        tables.append(np.asarray(np.ravel_multi_index(coordinates, memory.shape), np.int64))
    return _Plan(vector, width, axis, total, tuple(tables), tuple(active), memory)


def _emit_places(e: Emitter, item: Copy, plan: _Plan) -> list[tuple[str, ...]]:
    """Coordinates in the tile of each access: the first's, and constants where they suffice."""
    index = index_type(item.offsets)
    found: list[list[str]] = [[] for _ in plan.tables]
    for dim in range(plan.memory.rank):
        lines = [np.unravel_index(table, plan.memory.shape)[dim] for table in plan.tables]
        first = thread_expression(np.asarray(lines[0], np.int64))
        name = e.fresh(f"place_{dim}")
        if first is not None:
            e.line(f"const {index} {name} = {first};")
        for i, line in enumerate(lines):
            distance = np.asarray(line) - lines[0]
            if first is not None and (distance == distance[0, 0])[plan.active[i]].all():
                found[i].append(sum_of((name, str(int(distance[0, 0])))))
            else:
                found[i].append(_decode(e, plan, dim, i))
    return [tuple(places) for places in found]


def _decode(e: Emitter, plan: _Plan, dim: int, i: int) -> str:
    """The coordinate of access `i * threads + thread`, worked out at run time."""
    shape, axis = plan.memory.shape, plan.axis
    order = [d for d in range(plan.memory.rank) if d != axis] + [axis]
    below = order[order.index(dim) + 1 :]
    units = [shape[d] // (plan.vector if d == axis else 1) for d in below]
    extent = shape[dim] // (plan.vector if dim == axis else 1)
    number = sum_of(("(int)threadIdx.x", str(i * e.warps * LANES)))
    text = f"({number}) / {prod(units)} % {extent}"
    return f"{text} * {plan.vector}" if dim == axis and plan.vector > 1 else text


def _emit_access(
    e: Emitter, item: Copy, plan: _Plan, address: str, places: tuple[str, ...]
) -> None:
    names = e.tensors[item.tensor]
    index = index_type(item.offsets)
    bounds = item.bounds or (True,) * len(places)
    coordinates, conditions = [], []
    for dim, (offset, place) in enumerate(zip(item.offsets, places, strict=True)):
        name = e.fresh(f"{names.pointer}_{dim}")
        e.line(f"const {index} {name} = {sum_of((e.name(offset), place))};")
        coordinates.append(name)
        if dim == plan.axis and plan.vector > 1:
            continue
        if bounds[dim]:
            conditions.append(inside(name, names.extents[dim], index))
        if plan.memory.shape[dim] > shape_of(item.buffer)[dim]:
            conditions.append(f"{place} < {shape_of(item.buffer)[dim]}")
    pointer = sum_of((names.pointer, *offset_terms(names, tuple(coordinates), index)))
    condition = all_of(conditions)
    if item.path == "plain":
        kind = stored_type(tensor_type(item.tensor).dtype)
        value = f"{condition} ? *({pointer}) : 0" if condition else f"*({pointer})"
        e.line(f"*({kind} *)(tw_shared + {address}) = {value};")
        return
    size = _bytes_left(item, plan, e, coordinates, places)
    if condition:
        size = f"{condition} ? {size} : 0"
    place = e.call("tw_address", f"tw_shared + {address}")
    e.line(e.call(f"tw_copy_async<{plan.width}>", place, pointer, size) + ";")


def _bytes_left(
    item: Copy, plan: _Plan, e: Emitter, coordinates: list[str], places: tuple[str, ...]
) -> str:
    """How many bytes of the access lie inside of the view and of the tile, along the fast axis."""
    if plan.vector == 1:
        return str(plan.width)
    axis, element = plan.axis, plan.memory.bits // 8
    names = e.tensors[item.tensor]
    bounds = item.bounds or (True,) * len(places)
    limits = []
    if bounds[axis]:
        limits.append(f"({names.extents[axis]} - {coordinates[axis]}) * {element}")
    if plan.memory.shape[axis] > shape_of(item.buffer)[axis]:
        limits.append(f"({shape_of(item.buffer)[axis]} - ({places[axis]})) * {element}")
    size = str(plan.width)
    for limit in limits:
        size = e.call("tw_clamp", limit, size)
    return size
