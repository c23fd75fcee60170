"""Copies from global to shared memory by all lanes, asynchronous (`cp.async`) or plain.

The buffer is cut into accesses of `width` bytes along the tensor's fast axis; access i of a lane is
number `i * threads + thread` of them. A block whose whole tile lies in the view takes the *whole*
path: no bounds, and coordinates and addresses that differ from the first access's by constants.
Else each access finds its coordinates from its number, in a loop that stays a loop, and what lies
outside of the view or of the tile becomes zero: `cp.async` reads fewer bytes and fills the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np

from tilewright.codegen.cuda.elements import stored_type
from tilewright.codegen.cuda.emitter import LANES, Emitter, emits
from tilewright.codegen.cuda.places import all_of, digit, sum_of
from tilewright.codegen.cuda.prelude import add_snippets
from tilewright.codegen.cuda.region import index_type, inside, offset_terms
from tilewright.codegen.cuda.shared import Ints, emit_addresses, thread_expression
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.instructions.buffer import Copy
from tilewright.ir.layout import Layout
from tilewright.ir.values import buffer_type, shape_of, tensor_type

add_snippets(r"""
//@ tw_copy_async
// BYTES bytes to shared memory.
template <int BYTES>
__device__ __forceinline__ void tw_copy_async(unsigned to, const void *from) {
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" :: "r"(to), "l"(from) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2;"
                     :: "r"(to), "l"(from), "n"(BYTES) : "memory");
}
//@ tw_copy_part
// BYTES bytes to shared memory, of which `size` are read and the rest is zero.
template <int BYTES>
__device__ __forceinline__ void tw_copy_part(unsigned to, const void *from, int size) {
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                     :: "r"(to), "l"(from), "r"(size) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;"
                     :: "r"(to), "l"(from), "r"(size), "n"(BYTES) : "memory");
}
//@ tw_clamp
template <class T> __device__ __forceinline__ int tw_clamp(T x, int most) {
    return (int)min(max(x, (T)0), (T)most);
}
""")

UNROLL = {"cp_async": 1, "plain": 8}
"""How many accesses of the checked path run at once: plain ones wait for their data."""


class _Digit(NamedTuple):
    """One digit of an access's number: `extent` values that move along `dim` by `weight`."""

    dim: int
    extent: int
    weight: int


@dataclass(frozen=True)
class _Plan:
    """Accesses of one copy, in all and per lane, and where each begins in the tile."""

    item: Copy
    vector: int
    width: int
    axis: int
    digits: tuple[_Digit, ...]
    total: int
    threads: int
    memory: Layout

    @property
    def shape(self) -> tuple[int, ...]:
        """The tile; the buffer's layout may be larger."""
        return shape_of(self.item.buffer)

    @property
    def bounds(self) -> tuple[bool, ...]:
        return self.item.bounds or (True,) * len(self.shape)

    @property
    def count(self) -> int:
        """Accesses per lane."""
        return -(-self.total // self.threads)


@emits(Copy)
def emit_copy(item: Copy, e: Emitter) -> None:
    e.comment(item)
    e.alias(item.results[0], "")
    if item.path not in ("cp_async", "plain"):
        raise LanguageError(
            f"copies by {item.path} have no CUDA code", 'path="cp_async"', location=item.location
        )
    plan = _plan(e, item)
    whole = _whole_places(e, plan) if item.path == "cp_async" else None
    condition = _is_whole(e, plan)
    with e.block(f"if ({e.name(item.when)})" if item.when is not None else ""):
        if whole is None or plan.memory.shape != plan.shape:
            _emit_checked(e, plan)
        elif not condition:
            _emit_whole(e, plan, whole)
        else:
            with e.block(f"if ({condition})"):
                _emit_whole(e, plan, whole)
            with e.block("else"):
                _emit_checked(e, plan)


def _plan(e: Emitter, item: Copy) -> _Plan:
    memory = buffer_type(item.buffer).layout
    assert memory is not None
    size = memory.bits // 8
    width = size if item.path == "plain" else max(size, item.width or size)
    vector = width // size
    axis = tensor_type(item.tensor).fast_axis
    digits = _digits(memory, axis, vector)
    total = prod(part.extent for part in digits)
    return _Plan(item, vector, width, axis, digits, total, e.warps * LANES, memory)


def _digits(memory: Layout, axis: int, vector: int) -> tuple[_Digit, ...]:
    """The digits of an access's number, outermost first: neighbours are neighbours in memory.

    Where the buffer keeps blocks along the fast axis, a whole block comes before the next one.
    """
    run = memory.dims[axis][-1].extent if memory.dims[axis] else 1
    if run % vector:
        run = memory.shape[axis]
    others = (_Digit(d, n, 1) for d, n in enumerate(memory.shape) if d != axis)
    outer = _Digit(axis, memory.shape[axis] // run, run)
    return (outer, *others, _Digit(axis, run // vector, vector))


def _is_whole(e: Emitter, plan: _Plan) -> str:
    """The condition that the block's tile lies in the view; "" where it always does."""
    names, index = e.tensors[plan.item.tensor], index_type(plan.item.offsets)
    conditions = []
    for dim, (offset, extent) in enumerate(zip(plan.item.offsets, plan.shape, strict=True)):
        if plan.bounds[dim]:
            start, size = e.name(offset), f"({index}){names.extents[dim]}"
            conditions += [f"{start} >= 0", f"{start} <= {size} - {extent}"]
    return all_of(conditions)


def _whole_places(e: Emitter, plan: _Plan) -> list[tuple[Ints, ...]] | None:
    """Coordinates per access and thread; None where they do not differ by constants."""
    if plan.total % plan.threads:
        return None
    thread = np.arange(plan.threads).reshape(e.warps, LANES)
    found: list[tuple[Ints, ...]] = []
    for start in range(0, plan.total, plan.threads):
        values = np.unravel_index(start + thread, [part.extent for part in plan.digits])
        place = [np.zeros(thread.shape, np.int64) for _ in plan.shape]
        for part, value in zip(plan.digits, values, strict=True):
            place[part.dim] = place[part.dim] + value * part.weight
        found.append(tuple(place))
    steps = (a - b for places in found for a, b in zip(places, found[0], strict=True))
    regular = all((step == step[0, 0]).all() for step in steps)
    printable = all(thread_expression(place) is not None for place in found[0])
    return found if regular and printable else None


def _emit_whole(e: Emitter, plan: _Plan, places: list[tuple[Ints, ...]]) -> None:
    """One pointer per lane; accesses are a constant number of rows and columns away from it."""
    item, names = plan.item, e.tensors[plan.item.tensor]
    index = index_type(item.offsets)
    tables = [
        np.asarray(np.ravel_multi_index(place, plan.memory.shape), np.int64) for place in places
    ]
    addresses = emit_addresses(e, e.name(item.buffer), plan.memory, tables)
    coordinates = []
    for offset, table in zip(item.offsets, places[0], strict=True):
        first = sum_of((e.name(offset), thread_expression(table) or "0"))
        coordinates.append(f"({first})")
    start = e.fresh("start")
    terms = offset_terms(names, tuple(coordinates), index)
    e.line(f"const auto *{start} = {sum_of((names.pointer, *terms))};")
    for address, place in zip(addresses, places, strict=True):
        steps = tuple(
            str(int(now[0, 0] - first[0, 0])) for now, first in zip(place, places[0], strict=True)
        )
        moved = [t for t in offset_terms(names, steps, index) if not _is_zero(t)]
        target = e.call("tw_address", f"tw_shared + {address}")
        source = sum_of((start, *moved))
        e.line(e.call(f"tw_copy_async<{plan.width}>", target, source) + ";")


def _is_zero(term: str) -> bool:
    return term == "0" or term.startswith(("0 * ", "(long long)0"))


def _emit_checked(e: Emitter, plan: _Plan) -> None:
    """A loop over the lane's accesses, each with its coordinates and bounds."""
    e.line(f"#pragma unroll {UNROLL[plan.item.path]}")
    i = e.fresh("i")
    with e.block(f"for (int {i} = 0; {i} < {plan.count}; ++{i})"):
        number = e.fresh("number")
        e.line(f"const int {number} = {i} * {plan.threads} + (int)threadIdx.x;")
        with e.block(f"if ({number} < {plan.total})" if plan.total % plan.threads else ""):
            _emit_access(e, plan, number)


def _emit_access(e: Emitter, plan: _Plan, number: str) -> None:
    item, names = plan.item, e.tensors[plan.item.tensor]
    index = index_type(item.offsets)
    places, coordinates, conditions = [], [], []
    for dim, offset in enumerate(item.offsets):
        place, name = e.fresh(f"place_{dim}"), e.fresh(f"{names.pointer}_{dim}")
        e.line(f"const int {place} = {_place(plan, dim, number)};")
        e.line(f"const {index} {name} = {e.name(offset)} + {place};")
        places.append(place)
        coordinates.append(name)
        if dim == plan.axis and plan.vector > 1:
            continue
        if plan.bounds[dim]:
            conditions.append(inside(name, names.extents[dim], index))
        if plan.memory.shape[dim] > plan.shape[dim]:
            conditions.append(f"{place} < {plan.shape[dim]}")
    pointer = sum_of((names.pointer, *offset_terms(names, tuple(coordinates), index)))
    address = f"tw_shared + {_address(e, plan, places)}"
    condition = all_of(conditions)
    if item.path == "plain":
        kind = stored_type(tensor_type(item.tensor).dtype)
        value = f"{condition} ? *({pointer}) : 0" if condition else f"*({pointer})"
        e.line(f"*({kind} *)({address}) = {value};")
        return
    size = _bytes_left(e, plan, coordinates[plan.axis], places[plan.axis])
    if condition:
        size = f"{condition} ? {size} : 0"
    target = e.call("tw_address", address)
    e.line(e.call(f"tw_copy_part<{plan.width}>", target, pointer, size) + ";")


def _place(plan: _Plan, dim: int, number: str) -> str:
    """The coordinate in the tile of an access, from its number."""
    terms = []
    below = plan.total
    for part in plan.digits:
        below //= part.extent
        if part.dim == dim:
            terms.append(digit(number, plan.total, below, part.extent, part.weight))
    return sum_of(terms)


def _address(e: Emitter, plan: _Plan, places: list[str]) -> str:
    """The byte offset in shared memory of the element at `places`."""
    memory, size = plan.memory, plan.memory.bits // 8
    terms = [
        digit(places[t.dim], memory.shape[t.dim], t.divisor, t.modulus, t.coefficient * size)
        for t in memory.address_terms()
    ]
    at = sum_of((*terms, str(memory.start("addr") * size)))
    if memory.swizzle is not None:
        name = e.fresh("at")
        e.line(f"const unsigned {name} = {at};")
        mask = memory.swizzle.window - memory.swizzle.granule
        at = f"({name} ^ ({name} >> {memory.swizzle.shift} & {mask}))"
    return sum_of((e.name(plan.item.buffer), at))


def _bytes_left(e: Emitter, plan: _Plan, coordinate: str, place: str) -> str:
    """How many bytes of an access lie inside of the view and of the tile, along the fast axis."""
    if plan.vector == 1:
        return str(plan.width)
    index, element = index_type(plan.item.offsets), plan.memory.bits // 8
    limits = []
    if plan.bounds[plan.axis]:
        extent = e.tensors[plan.item.tensor].extents[plan.axis]
        limits.append(f"({index}){extent} - {coordinate}")
    if plan.memory.shape[plan.axis] > plan.shape[plan.axis]:
        limits.append(f"({index})({plan.shape[plan.axis]} - {place})")
    count = str(plan.vector)
    for limit in limits:
        count = e.call(f"tw_clamp<{index}>", limit, count)
    return f"{count} * {element}"
