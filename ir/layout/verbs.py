"""Verbs that combine layouts: product, quotient, composition, inverse, complement.

Laws are stated over `places`: `l(c)` means the places of the element at coordinate `c`, `ravel(c)`
its row-major number in the tile and `unravel` the way back. A verb that does not exist for its
arguments raises LayoutError and names what does not divide.
"""

from __future__ import annotations

from typing import Self

from tilewright.ir.layout.digits import pick_digits, scale, strip_copies, strip_suffix, unscale
from tilewright.ir.layout.places import check_digits
from tilewright.ir.layout.reshape import LayoutReshape
from tilewright.ir.layout.value import (
    ELEMENT_AXES,
    LayoutError,
    Piece,
    Pieces,
    merge_pieces,
    remembered,
)


class LayoutVerbs(LayoutReshape):
    """How layouts are made from layouts."""

    __slots__ = ()

    def product(self, *inner: Self) -> Self:
        """The Kronecker product: every element of `self` becomes a tile laid out as `inner`.

        Law: `a.product(b)(x * b.shape + y) = a(x) * b.size + b(y)` along every dimension and axis,
        for y inside b's tile. Associative; the neutral element is one element at place 0.
        """
        result = self
        for layout in inner:
            result = result._times(layout)
        return result

    @remembered
    def _times(self, inner: Self) -> Self:
        if self.rank != inner.rank:
            raise LayoutError(f"product of a tile of rank {self.rank} with one of {inner.rank}")
        if self.swizzle is not None:
            raise LayoutError("the outer factor of a product is swizzled: swizzle the result")
        if inner.swizzle is not None and inner.size("addr") * inner.bits % (
            8 * inner.swizzle.period
        ):
            raise LayoutError(
                f"{inner.size('addr') * inner.bits // 8} bytes of the inner factor are no multiple "
                f"of {inner.swizzle.period}, the period of its swizzle"
            )
        axes = {*self.axes, *inner.axes}
        sizes = {axis: inner.size(axis) for axis in axes}
        offset = [(a, self.start(a) * sizes[a] + inner.start(a)) for a in axes]
        return type(self)(
            [(*scale(a, sizes), *b) for a, b in zip(self.dims, inner.dims, strict=True)],
            copies=(*scale(self.copies, sizes), *inner.copies),
            offset=offset,
            swizzle=inner.swizzle,
            bits=self._common_bits(inner),
        )

    def _common_bits(self, other: Self) -> int:
        """The bits of two factors, of which those that have registers or addresses must agree."""
        if not set(ELEMENT_AXES) & set(other.axes):
            return self.bits
        if not set(ELEMENT_AXES) & set(self.axes):
            return other.bits
        if self.bits != other.bits:
            raise LayoutError(
                f"elements of {self.bits} and of {other.bits} bits in one layout",
                hint="give all factors the same bits=",
            )
        return self.bits

    @remembered
    def divide(self, inner: Self) -> Self:
        """The right quotient: the layout of the tiles when `inner` is the layout inside each.

        Law: `a.divide(b).product(b) == a`. This is how a layout is found to consist of atoms.
        """
        if self.rank != inner.rank:
            raise LayoutError(f"a tile of rank {self.rank} does not consist of rank {inner.rank}")
        if inner.offset or self.swizzle != inner.swizzle:
            raise LayoutError("divide by a layout with an offset, or with another swizzle")
        axes = {*self.axes, *inner.axes}
        sizes = {axis: inner.size(axis) for axis in axes}
        copies = strip_copies(self.copies, inner.copies)
        dims = [
            unscale(strip_suffix(a, b), sizes) for a, b in zip(self.dims, inner.dims, strict=True)
        ]
        offset = []
        for axis, start in self.offset:
            if start % sizes[axis]:
                raise LayoutError(f"offset {start}@{axis} is no multiple of {sizes[axis]}")
            offset.append((axis, start // sizes[axis]))
        quotient = type(self)(dims, copies=unscale(copies, sizes), offset=offset, bits=self.bits)
        if quotient.product(inner.replace(bits=self.bits)) != self:
            raise LayoutError(f"{self} does not consist of {inner}")
        return quotient

    @remembered
    def compose(self, inner: Self) -> Self:
        """First `inner` (its places along `addr`), then `self` at that row-major number.

        Law: `a.compose(b)(c) = a(unravel(b(c)))`. `inner` moves along `addr` alone. So the address
        of every register of a tile is `memory.compose(registers.inverse("warp", "lane", "reg"))`.
        """
        if set(inner.axes) - {"addr"} or inner.copies or inner.swizzle is not None:
            raise LayoutError("the inner layout of compose is a plain map to numbers (axis addr)")
        if inner.size("addr") > self.elements:
            raise LayoutError(f"number {inner.size('addr') - 1} is not among {self.elements}")
        flat = merge_pieces(self.pieces)
        start = inner.start("addr")
        reach = _digits_of(flat, start)
        dims: list[Pieces] = []
        for pieces in inner.dims:
            digits: list[Piece] = []
            for extent, stride, _ in pieces:
                if not stride:
                    digits.append(Piece(extent, 0, ""))
                for entry, most, piece in pick_digits(flat, extent, stride) if stride else ():
                    reach[entry] += most
                    digits.append(piece)
            dims.append(tuple(digits))
        for digit, most in zip(flat, reach, strict=True):
            if most >= digit.extent:
                raise LayoutError(f"the numbers carry over the digit {digit}: they reach {most}")
        return self.group((self.elements,)).advance((start,)).replace(dims=dims)

    @remembered
    def inverse(self, *axes: str) -> Self:
        """From places back to elements: the tile's dimensions are the axes, outermost first.

        Law: `l.inverse()(place) = ravel(c)` along `addr`, for every place of every element c.
        Exists where places determine coordinates digit by digit and leave no holes.
        """
        check_digits(self)
        names = axes or self.axes
        if set(self.axes) - set(names):
            raise LayoutError(f"inverse over {names} of a layout over {self.axes}")
        numbers: dict[str, list[tuple[int, int, int]]] = {axis: [] for axis in names}
        weight = 1
        for extent, stride, axis in reversed(self.pieces):
            numbers[axis].append((stride, extent, weight))
            weight *= extent
        for extent, stride, axis in self.copies:
            numbers[axis].append((stride, extent, 0))
        dims = []
        for axis in names:
            digits: list[Piece] = []
            end = 1
            for stride, extent, number in sorted(numbers[axis]):
                if stride != end:
                    raise LayoutError(f"no inverse: places {end} to {stride} of {axis} are unused")
                digits.insert(0, Piece(extent, number, "addr"))
                end = stride * extent
            if self.start(axis):
                raise LayoutError(f"no inverse: places of {axis} start at {self.start(axis)}")
            dims.append(digits)
        return type(self)(dims, bits=self.bits)

    @remembered
    def complement(self, axis: str, size: int) -> Self:
        """The one-dimensional layout over `axis` of the steps that `self` leaves out below `size`.

        Law: `l.concat(l.complement(axis, size))` reaches each place of `axis` below `size` as
        often as the others: once where l is injective on the axis.
        """
        moving = [p for p in (*self.pieces, *self.copies) if p.axis == axis]
        gaps: list[Piece] = []
        end = 1
        for extent, stride, _ in sorted(moving, key=lambda piece: piece.stride):
            if stride % end:
                raise LayoutError(f"no complement: stride {stride} is no multiple of {end}")
            gaps.insert(0, Piece(stride // end, end, axis))
            end = stride * extent
        if size % end:
            raise LayoutError(f"no complement: {size} places are no multiple of {end}")
        gaps.insert(0, Piece(size // end, end, axis))
        return type(self)([gaps], bits=self.bits)

    def concat(self, other: Self) -> Self:
        """The tile over both coordinates: law `a.concat(b)(x, y) = a(x) + b(y)`."""
        if self.swizzle is not None or other.swizzle is not None:
            raise LayoutError("concat of swizzled layouts: swizzle the result")
        axes = {*self.axes, *other.axes}
        return self.replace(
            dims=(*self.dims, *other.dims),
            copies=(*self.copies, *other.copies),
            offset=[(axis, self.start(axis) + other.start(axis)) for axis in axes],
            bits=self._common_bits(other),
        )


def _digits_of(pieces: Pieces, number: int) -> list[int]:
    """The digits of a number in the mixed radix of `pieces`, outermost first."""
    digits: list[int] = []
    for extent, _, _ in reversed(pieces):
        number, digit = divmod(number, extent)
        digits.insert(0, digit)
    return digits
