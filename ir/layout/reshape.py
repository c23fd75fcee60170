"""Verbs on one layout: other dimensions, parts, copies, axes, element sizes.

Laws are stated over `places`: `l(c)` means the places of the element at coordinate `c`. A verb that
does not exist for its arguments raises LayoutError and names what does not divide.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Self

from tilewright.ir.layout.digits import (
    scale,
    slice_digits,
    split_digits,
    split_piece,
    strip_suffix,
    unscale,
)
from tilewright.ir.layout.questions import LayoutQuestions
from tilewright.ir.layout.value import (
    ELEMENT_AXES,
    LayoutError,
    Piece,
    Pieces,
    Swizzle,
    merge_pieces,
    remembered,
)


class LayoutReshape(LayoutQuestions):
    """The same places, seen through another tile."""

    __slots__ = ()

    @remembered
    def permute(self, *order: int) -> Self:
        """Dimensions reordered: law `l.permute(*p)(c[p[0]], c[p[1]], …) = l(c)`."""
        if sorted(order) != list(range(self.rank)):
            raise LayoutError(f"{order} is no order of the {self.rank} dimensions")
        return self.replace(dims=[self.dims[dim] for dim in order])

    def group(self, shape: Sequence[int]) -> Self:
        """Dimensions split and merged in row-major order: a reshape that moves nothing.

        Law: `l.group(s)(unravel(n, s)) = l(unravel(n, l.shape))` for every number n.
        """
        return self._group(tuple(shape))

    @remembered
    def _group(self, shape: tuple[int, ...]) -> Self:
        if prod(shape) != self.elements:
            raise LayoutError(f"{self.elements} elements do not form a tile {shape}")
        return self.replace(dims=split_digits(merge_pieces(self.pieces), shape))

    def slice(self, start: Sequence[int], shape: Sequence[int]) -> Self:
        """The layout of a part of the tile, at the same places.

        Law: `l.slice(s, shape)(c) = l(s + c)`. Along each dimension the part lies within one digit
        or consists of whole inner digits.
        """
        if len(start) != self.rank or len(shape) != self.rank:
            raise LayoutError(f"slice {tuple(start)}, {tuple(shape)} of a tile of {self.shape}")
        dims = []
        for pieces, first, extent, whole in zip(self.dims, start, shape, self.shape, strict=True):
            if first < 0 or extent < 1 or first + extent > whole:
                raise LayoutError(f"[{first}, {first + extent}) is not inside of [0, {whole})")
            dims.append(slice_digits(pieces, first, extent))
        return self.advance(start).replace(dims=dims)

    def advance(self, coordinate: Sequence[int]) -> Self:
        """Offset so that coordinate 0 stands where `coordinate` stood (dims unchanged)."""
        totals = {axis: self.start(axis) for axis in self.axes}
        for axis in totals:
            for dim, divisor, modulus, coefficient in self.place_terms(axis):
                totals[axis] += coordinate[dim] // divisor % modulus * coefficient
        return self.replace(offset=totals.items())

    @remembered
    def replicate(self, extent: int, axis: str, stride: int | None = None) -> Self:
        """Each element at `extent` places along `axis`, by default behind all that are in use.

        Law: `l.replicate(n, a)(c) = {p + i * l.size(a) along a : p in l(c), 0 <= i < n}`.
        """
        step = self.size(axis) if stride is None else stride
        return self.replace(copies=(*self.copies, Piece(extent, step, axis)))

    @remembered
    def reduce(self, dim: int) -> Self:
        """The layout of a reduction along `dim`, which keeps extent 1.

        Law: an element is wherever an element of its row was, except that places along `reg` close
        up: digits of `dim` along lanes and warps become copies, those along `reg` vanish.
        """
        gone = self.dims[dim]
        rest = self.replace(
            dims=[() if d == dim else pieces for d, pieces in enumerate(self.dims)],
            copies=(*self.copies, *(p for p in gone if p.axis and p.axis not in ELEMENT_AXES)),
        )
        return rest.compact("reg") if any(p.axis == "reg" for p in gone) else rest

    def compact(self, axis: str) -> Self:
        """The same order along `axis` without holes: strides become the product of digits below."""
        moving = [(p.stride, p.extent) for p in (*self.pieces, *self.copies) if p.axis == axis]
        new: dict[int, int] = {}
        end = 1
        size = 1
        for stride, extent in sorted(moving):
            if stride % end:
                raise LayoutError(f"stride {stride} of axis {axis} is no multiple of {end}")
            new[stride] = size
            size *= extent
            end = stride * extent

        def close(pieces: Pieces) -> Pieces:
            return tuple(
                Piece(p.extent, new[p.stride], axis) if p.axis == axis else p for p in pieces
            )

        return self.replace(
            dims=[close(pieces) for pieces in self.dims],
            copies=close(self.copies),
            offset=[(name, value) for name, value in self.offset if name != axis],
        )

    def swizzled(self, bits: int, base: int, shift: int) -> Self:
        """Byte addresses with an xor; 0 bits removes it.

        Law: the byte address a of an element becomes `a ^ ((a >> shift) & mask)` with mask =
        `bits` ones from bit `base`. It permutes addresses and is its own inverse.
        """
        return type(self)(
            self.dims,
            copies=self.copies,
            offset=self.offset,
            swizzle=Swizzle(bits, base, shift),
            bits=self.bits,
        )

    @remembered
    def recast(self, bits: int) -> Self:
        """The same bits seen as elements of another size, along the last dimension.

        Law: bit j of element c of `l` (at `p * l.bits + j` along reg or addr) is bit j' of element
        c' of the result with `c * l.bits + j = c' * bits + j'`, at the same place.
        """
        if bits == self.bits:
            return self
        if bits < 1:
            raise LayoutError(f"an element has at least 1 bit, not {bits}")
        if self.bits % bits == 0:
            return self._refine(self.bits // bits, bits)
        if bits % self.bits == 0:
            return self._coarsen(bits // self.bits, bits)
        raise LayoutError(f"neither of {self.bits} and {bits} bits divides the other")

    def _element_axis(self) -> str:
        used = [axis for axis in ELEMENT_AXES if axis in self.axes]
        if len(used) > 1:
            raise LayoutError("recast of a layout over both reg and addr")
        return used[0] if used else "reg"

    def _refine(self, ratio: int, bits: int) -> Self:
        if not self.rank:
            raise LayoutError("recast needs a dimension along which elements lie")
        axis = self._element_axis()
        sizes = {axis: ratio}
        dims = [scale(pieces, sizes) for pieces in self.dims]
        dims[-1] = (*dims[-1], Piece(ratio, 1, axis))
        return self.replace(
            dims=dims,
            copies=scale(self.copies, sizes),
            offset=[(a, value * sizes.get(a, 1)) for a, value in self.offset],
            bits=bits,
        )

    def _coarsen(self, ratio: int, bits: int) -> Self:
        if not self.rank:
            raise LayoutError("recast needs a dimension along which elements lie")
        axis = self._element_axis()
        sizes = {axis: ratio}
        dims = list(self.dims)
        dims[-1] = strip_suffix(dims[-1], (Piece(ratio, 1, axis),))
        if self.start(axis) % ratio:
            raise LayoutError(f"offset {self.start(axis)}@{axis} is no multiple of {ratio}")
        return self.replace(
            dims=[unscale(pieces, sizes) for pieces in dims],
            copies=unscale(self.copies, sizes),
            offset=[(a, value // sizes.get(a, 1)) for a, value in self.offset],
            bits=bits,
        )

    def split_axis(self, axis: str, inner: str, extent: int, outer: str) -> Self:
        """`axis` as two: places `x` become `x % extent` along `inner`, `x // extent` along `outer`.

        For layouts over a flat thread number: `l.split_axis("thread", "lane", 32, "warp")`.
        """

        def split(pieces: Pieces) -> Pieces:
            parts: list[Piece] = []
            for piece in pieces:
                parts += split_piece(piece, extent, inner, outer) if piece.axis == axis else [piece]
            return tuple(parts)

        rest = [(name, value) for name, value in self.offset if name != axis]
        start = self.start(axis)
        result = self.replace(
            dims=[split(pieces) for pieces in self.dims],
            copies=split(self.copies),
            offset=[*rest, (inner, start % extent), (outer, start // extent)],
        )
        if result.size(inner) > extent:
            raise LayoutError(f"digits of axis {axis} carry over {extent}")
        return result

    def rename(self, **names: str) -> Self:
        """Axes renamed: `l.rename(warp="device")`; two axes do not become one."""
        if len({names.get(axis, axis) for axis in self.axes}) != len(self.axes):
            raise LayoutError(f"renaming {names} merges axes of {self.axes}")

        def renamed(pieces: Pieces) -> Pieces:
            return tuple(Piece(e, stride, names.get(a, a)) for e, stride, a in pieces)

        return self.replace(
            dims=[renamed(pieces) for pieces in self.dims],
            copies=renamed(self.copies),
            offset=[(names.get(axis, axis), value) for axis, value in self.offset],
        )

    def with_bits(self, bits: int) -> Self:
        """The same places in elements of another size: a cast element by element."""
        return self if bits == self.bits else self.replace(bits=bits)
