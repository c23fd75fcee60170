"""Questions about one layout or two: bijective, same places, contiguous runs, wide accesses."""

from __future__ import annotations

import functools
from math import prod

import numpy as np

from tilewright.ir.layout.banks import Access, count_conflicts
from tilewright.ir.layout.places import (
    DimensionTerm,
    Ints,
    LayoutPlaces,
    check_digits,
    find_mixed_digits,
)
from tilewright.ir.layout.value import LayoutError

ACCESS_BYTES = (16, 8, 4, 2, 1)
"""The widths of one lane's access to memory."""


class LayoutQuestions(LayoutPlaces):
    """What a layout is good for."""

    __slots__ = ()

    def is_bijective(self) -> bool:
        """Whether elements and places (below `size` of every axis) correspond one to one."""
        return _is_bijective(self)

    def is_injective(self) -> bool:
        """Whether no two elements share a place."""
        return _is_injective(self)

    def same(self, other: LayoutPlaces) -> bool:
        """Whether both put every element of the same tile at the same places, in elements.

        `bits` may differ: an f32 accumulator and an f16 operand can hold a tile the same way.
        """
        if self.shape != other.shape:
            return False
        if self.swizzle is None and other.swizzle is None:
            equal = self.dims == other.dims and self.offset == other.offset
            return equal and (self.copies == other.copies or _copy_set(self) == _copy_set(other))
        return _same_places(self, other)

    def contiguity(self, axis: str, dim: int = -1) -> int:
        """How many neighbours along `dim` (a divisor of its extent) are neighbours along `axis`."""
        pieces = self.dims[dim]
        if not pieces or pieces[-1].axis != axis or pieces[-1].stride != 1:
            return 1
        run = pieces[-1].extent
        if axis == "addr" and self.swizzle is not None:
            granule = self.swizzle.granule * 8 // self.bits
            run = int(np.gcd(run, granule))
        return run

    def copy_terms(self) -> tuple[DimensionTerm, ...]:
        """Digits of places that are all 0 at exactly one copy of each element (coefficient 1).

        Replicated tiles act on memory once: where the sum of these terms is 0.
        """
        check_digits(self, {piece.axis for piece in self.copies})
        return tuple(DimensionTerm(axis, stride, e, 1) for e, stride, axis in self.copies)

    def primary(self) -> Ints:
        """`elements_at("warp", "lane", "reg")`, but -1 for all copies of an element save one."""
        return _primary(self)

    def vector_width(self, memory: LayoutPlaces, *, limit: int = 16) -> int:
        """Elements of one lane's widest access to `memory`: 1, or up to `limit` aligned bytes.

        So many consecutive registers, aligned, lie at consecutive addresses, aligned, in every lane
        (the buffer itself starts at a multiple of `limit` bytes).
        """
        return _vector_width(self, memory, limit)

    def bank_conflicts(self, access: LayoutPlaces | Access, width: int | None = None) -> int:
        """Wavefronts beyond the ideal of an access to a buffer laid out as `self`.

        An access is a register tile, all of which is loaded or stored by accesses of `width` bytes
        (by default the widest), or coordinates per request and lane.
        """
        if isinstance(access, LayoutPlaces):
            if width is None:
                width = max(1, _vector_width(access, self, 16) * self.bits // 8)
            access = register_access(access, self.bits, width)
        return count_conflicts(self, [access])


def register_access(registers: LayoutPlaces, bits: int, width: int) -> Access:
    """The accesses of `width` bytes by which a register tile is loaded or stored, per warp."""
    vector = max(1, width * 8 // bits)
    elements = registers.elements_at("warp", "lane", "reg")
    if elements.shape[2] % vector:
        raise LayoutError(f"vectors of {vector} do not divide {elements.shape[2]} registers")
    first = elements[:, :, ::vector]
    requests = first.transpose(0, 2, 1).reshape(-1, first.shape[1])
    coordinates = np.unravel_index(np.maximum(requests, 0), registers.shape or (1,))
    arrays = tuple(np.asarray(array, dtype=np.int64) for array in coordinates)
    return Access(arrays[: registers.rank], requests >= 0, width)


@functools.cache
def _is_bijective(layout: LayoutPlaces) -> bool:
    places = prod(layout.size(axis) for axis in layout.axes)
    return places == layout.elements and _is_injective(layout)


@functools.cache
def _is_injective(layout: LayoutPlaces) -> bool:
    used = {piece.axis for piece in layout.pieces} | set(layout.axes)
    if find_mixed_digits(layout, used) is None:
        return True
    axes = layout.axes
    held = layout.elements_at(*axes)
    return int((held >= 0).sum()) == layout.elements * prod(p.extent for p in layout.copies)


@functools.cache
def _copy_set(layout: LayoutPlaces) -> frozenset[frozenset[tuple[str, int]]]:
    return frozenset(frozenset(step.items()) for step in layout.copy_offsets())


def _same_places(one: LayoutPlaces, two: LayoutPlaces) -> bool:
    first, second = one.place_arrays(), two.place_arrays()
    zero = np.int64(0)
    return _copy_set(one) == _copy_set(two) and all(
        bool(np.all(first.get(axis, zero) == second.get(axis, zero))) for axis in {*first, *second}
    )


@functools.cache
def _primary(layout: LayoutQuestions) -> Ints:
    axes = ("warp", "lane", "reg")
    first = layout.replace(copies=()).elements_at(*axes)
    elements = np.full([layout.size(axis) for axis in axes], -1, dtype=np.int64)
    elements[tuple(slice(0, size) for size in first.shape)] = first
    elements.setflags(write=False)
    return elements


@functools.cache
def _vector_width(registers: LayoutPlaces, memory: LayoutPlaces, limit: int) -> int:
    if registers.shape != memory.shape:
        raise LayoutError(f"a tile {registers.shape} in a buffer of {memory.shape}")
    elements = registers.elements_at("warp", "lane", "reg")
    addresses = memory.place_arrays().get("addr", np.zeros(memory.shape, dtype=np.int64))
    held = np.where(elements >= 0, addresses.reshape(-1)[elements], -1)
    for width in ACCESS_BYTES:
        vector = width * 8 // memory.bits
        exact = vector * memory.bits == width * 8
        if width > limit or vector < 2 or not exact or held.shape[2] % vector:
            continue
        groups = held.reshape(-1, vector)
        used = (groups >= 0).any(axis=1)
        runs = groups[used]
        if (runs[:, 0] % vector == 0).all() and (np.diff(runs, axis=1) == 1).all():
            return vector
    return 1
