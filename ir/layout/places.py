"""From coordinates to places: arrays for interpreters, sums of digits for code generators.

A *term* `(source, divisor, modulus, coefficient)` stands for
`(source // divisor) % modulus * coefficient`. The place of an element along an axis is the offset
plus a sum of terms over coordinates; where the pieces of an axis form a mixed-radix number, the
coordinate is a sum of terms over places. Both directions are exact for every extent.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from itertools import product as cartesian
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tilewright.ir.layout.value import (
    LayoutError,
    LayoutValue,
    Piece,
    Pieces,
    sort_axes,
)

Ints = npt.NDArray[np.int64]


class PlaceTerm(NamedTuple):
    """One digit of a coordinate, scaled: `(coordinate[dim] // divisor) % modulus * coefficient`."""

    dim: int
    divisor: int
    modulus: int
    coefficient: int


class DimensionTerm(NamedTuple):
    """One digit of a place, scaled: `(place[axis] // divisor) % modulus * coefficient`."""

    axis: str
    divisor: int
    modulus: int
    coefficient: int


class LayoutPlaces(LayoutValue):
    """Where elements are."""

    __slots__ = ()

    def place_terms(self, axis: str) -> tuple[PlaceTerm, ...]:
        """Terms over coordinates whose sum, plus `start(axis)`, is the place along `axis`.

        A divisor of the last term of each dimension may stand without its modulus where the
        coordinate is known to be inside the tile. A swizzle still applies to the byte address.
        """
        return tuple(
            PlaceTerm(dim, weight, piece.extent, piece.stride)
            for dim, pieces in enumerate(self.dims)
            for piece, weight in with_weights(pieces)
            if piece.axis == axis
        )

    def address_terms(self) -> tuple[PlaceTerm, ...]:
        """`place_terms("addr")`: element address = start("addr") + sum, before the swizzle."""
        return self.place_terms("addr")

    def address(self, *coordinates: Any) -> Ints:
        """Element addresses (axis `addr`, swizzle applied) of integer coordinate arrays."""
        if len(coordinates) != self.rank:
            raise LayoutError(f"{len(coordinates)} coordinates for a tile of rank {self.rank}")
        arrays = [np.asarray(coordinate, dtype=np.int64) for coordinate in coordinates]
        total: Any = np.full((), self.start("addr"), dtype=np.int64)
        for dim, divisor, modulus, coefficient in self.address_terms():
            total = total + arrays[dim] // divisor % modulus * coefficient
        if arrays:
            total = np.broadcast_to(total, np.broadcast_shapes(*(a.shape for a in arrays)))
        addresses: Ints = self.swizzle_address(total)
        return addresses

    def swizzle_address(self, address: Any) -> Any:
        """The element address after the swizzle, which acts on whole bytes."""
        if self.swizzle is None:
            return address
        in_bits = address * self.bits
        swizzled = (self.swizzle.apply(in_bits >> 3) << 3) | (in_bits & 7)
        return swizzled // self.bits

    def place_arrays(self) -> Mapping[str, Ints]:
        """For every axis of the layout, an array of the tile's shape: the place of each element.

        The first of each element's copies; the others are `copy_offsets()` away.
        """
        return _place_arrays(self)

    def copy_offsets(self) -> tuple[dict[str, int], ...]:
        """What to add to a place to reach each copy of an element, the zero step first."""
        return _copy_offsets(self)

    def places(self, *coordinate: int) -> tuple[dict[str, int], ...]:
        """Every place of one element, each as axis -> number: one, and one more per copy."""
        if len(coordinate) != self.rank:
            raise LayoutError(f"coordinate {coordinate} for a tile of rank {self.rank}")
        for value, extent in zip(coordinate, self.shape, strict=True):
            if not 0 <= value < extent:
                raise LayoutError(f"coordinate {coordinate} is outside of the tile {self.shape}")
        first = dict.fromkeys(self.axes, 0) | dict(self.offset)
        for axis in first:
            for dim, divisor, modulus, coefficient in self.place_terms(axis):
                first[axis] += coordinate[dim] // divisor % modulus * coefficient
        if "addr" in first:
            first["addr"] = int(self.swizzle_address(first["addr"]))
        return tuple(
            {axis: number + step.get(axis, 0) for axis, number in first.items()}
            for step in self.copy_offsets()
        )

    def dimension_terms(self, dim: int) -> tuple[DimensionTerm, ...]:
        """Terms over places whose sum is the coordinate along `dim`, for places in use.

        Raises LayoutError where digits cannot be told from a place: strides that do not form a
        mixed-radix number, stride 0, a swizzle, or an offset that is not made of whole digits.
        """
        return _dimension_terms(self, dim)

    def coordinates(self, **places: Any) -> tuple[Ints, ...]:
        """The coordinate arrays of places in use, given as one integer array per axis name."""
        unknown = sorted(set(self.axes) - set(places))
        if unknown:
            raise LayoutError(f"no number given for axis {', '.join(unknown)}")
        arrays = {axis: np.asarray(array, dtype=np.int64) for axis, array in places.items()}
        shape = np.broadcast_shapes(*(array.shape for array in arrays.values()))
        result = []
        for dim in range(self.rank):
            total: Any = np.zeros(shape, dtype=np.int64)
            for axis, divisor, modulus, coefficient in self.dimension_terms(dim):
                total = total + arrays[axis] // divisor % modulus * coefficient
            result.append(total)
        return tuple(result)

    def elements_at(self, *axes: str) -> Ints:
        """An array over the given axes: the row-major number of the element there, -1 for none.

        Read-only and cached. Where several elements share a place, the last one is reported.
        """
        return _elements_at(self, axes)

    def table(self, *, holes: int = -1) -> Ints:
        """For each (warp, lane, reg), the tile coordinate held there: shape (W, L, R, rank).

        Places that hold nothing have the coordinate `holes` along every dimension.
        """
        return _table(self, holes)

    def locate(self, **place: int) -> tuple[int, ...] | None:
        """The coordinate of the element at one place (axis -> number), None where there is none.

        Axes that are not named are 0.
        """
        axes = self.axes
        index = tuple(place.get(axis, 0) for axis in axes)
        others = any(number for axis, number in place.items() if axis not in axes)
        elements = self.elements_at(*axes)
        inside = all(0 <= i < n for i, n in zip(index, elements.shape, strict=True))
        if others or not inside or elements[index] < 0:
            return None
        return tuple(int(c) for c in np.unravel_index(int(elements[index]), self.shape))


def with_weights(pieces: Pieces) -> list[tuple[Piece, int]]:
    """Each piece of a dimension with its weight: by how much one step moves the coordinate."""
    weighted: list[tuple[Piece, int]] = []
    weight = 1
    for piece in reversed(pieces):
        weighted.append((piece, weight))
        weight *= piece.extent
    return weighted[::-1]


def find_mixed_digits(layout: LayoutValue, axes: Collection[str]) -> str | None:
    """Why places do not determine the digits along `axes` one by one; None where they do."""
    if layout.swizzle is not None and "addr" in axes:
        return "the addresses are swizzled"
    if "" in axes:
        return "a piece of stride 0 puts several elements at one place"
    for axis in axes:
        start = layout.start(axis)
        moving = [p for p in (*layout.pieces, *layout.copies) if p.axis == axis]
        end = 1
        for extent, stride, _ in sorted(moving, key=lambda piece: piece.stride):
            if stride % end:
                return f"stride {stride} of axis {axis} is no multiple of {end}"
            if start // stride % extent:
                return f"offset {start} of axis {axis} lies inside the digit {extent}"
            end = stride * extent
    return None


def check_digits(layout: LayoutValue, axes: Collection[str] | None = None) -> None:
    """Raise unless every place in use determines its digits along `axes` (all) one by one."""
    used = {piece.axis for piece in layout.pieces} | set(layout.axes)
    reason = _digits_reason(layout, frozenset(used if axes is None else axes))
    if reason is not None:
        raise LayoutError(f"places do not determine coordinates: {reason}")


@functools.cache
def _digits_reason(layout: LayoutValue, axes: frozenset[str]) -> str | None:
    return find_mixed_digits(layout, sort_axes(axes))


@functools.cache
def _dimension_terms(layout: LayoutValue, dim: int) -> tuple[DimensionTerm, ...]:
    check_digits(layout, {piece.axis for piece in layout.dims[dim]})
    return tuple(
        DimensionTerm(piece.axis, piece.stride, piece.extent, weight)
        for piece, weight in with_weights(layout.dims[dim])
    )


@functools.cache
def _place_arrays(layout: LayoutPlaces) -> Mapping[str, Ints]:
    result: dict[str, Ints] = {}
    for axis in layout.axes:
        total = np.full((1,) * layout.rank, layout.start(axis), dtype=np.int64)
        for dim, pieces in enumerate(layout.dims):
            line = np.zeros(1, dtype=np.int64)
            for piece in pieces:
                step = piece.stride if piece.axis == axis else 0
                line = (line[:, None] + np.arange(piece.extent) * step).reshape(-1)
            total = total + line.reshape([-1 if d == dim else 1 for d in range(layout.rank)])
        if axis == "addr":
            total = layout.swizzle_address(total)
        result[axis] = np.broadcast_to(total, layout.shape).copy()
        result[axis].setflags(write=False)
    return result


@functools.cache
def _copy_offsets(layout: LayoutValue) -> tuple[dict[str, int], ...]:
    steps: list[dict[str, int]] = []
    for digits in cartesian(*(range(piece.extent) for piece in layout.copies)):
        step: dict[str, int] = {}
        for digit, piece in zip(digits, layout.copies, strict=True):
            if digit:
                step[piece.axis] = step.get(piece.axis, 0) + digit * piece.stride
        steps.append(step)
    return tuple(steps)


@functools.cache
def _elements_at(layout: LayoutPlaces, axes: tuple[str, ...]) -> Ints:
    missing = [axis for axis in layout.axes if axis not in axes]
    if missing:
        raise LayoutError(f"the layout moves along {', '.join(missing)}, which is not asked for")
    sizes = [layout.size(axis) for axis in axes]
    result = np.full(prod(sizes), -1, dtype=np.int64)
    arrays = layout.place_arrays()
    for step in layout.copy_offsets():
        index: Any = np.zeros(layout.shape, dtype=np.int64)
        for axis, size in zip(axes, sizes, strict=True):
            index = index * size + (arrays.get(axis, 0) + step.get(axis, 0))
        result[index.reshape(-1)] = np.arange(layout.elements)
    result.setflags(write=False)
    return result.reshape(sizes)


@functools.cache
def _table(layout: LayoutPlaces, holes: int) -> Ints:
    elements = layout.elements_at("warp", "lane", "reg")
    coordinates = np.unravel_index(np.maximum(elements, 0), layout.shape or (1,))
    table = np.stack(coordinates, axis=-1) if layout.rank else np.zeros((*elements.shape, 0), int)
    table[elements < 0] = holes
    table.setflags(write=False)
    return table.astype(np.int64, copy=False)
