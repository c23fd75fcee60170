"""What a layout is: a frozen, interned value that maps tile coordinates to places in hardware.

A *piece* `(extent, stride, axis)` is one digit of a coordinate. Every dimension of the tile is a
row-major list of pieces (outermost first), so a coordinate is a mixed-radix number and every extent
is legal. A digit `x` adds `x * stride` to the place along `axis`; the place of an element is the
sum over all its digits, plus `offset`. The accumulator of mma m16n8, a 16 x 8 tile:

    dims = ((2:2@reg, 8:4@lane), (4:1@lane, 2:1@reg))
    element (9, 5) has the digits (1, 1), (2, 1): lane 1*4 + 2*1 = 6, reg 1*2 + 1*1 = 3

`copies` are pieces of no dimension: an element lives at every place that they reach. A piece of
stride 0 has no axis: its elements share one place. `swizzle` is an xor on byte addresses, applied
last. `reg` and `addr` count elements of `bits` bits.

Construction brings pieces into one canonical form (extent 1 dropped, neighbours that continue each
other merged) and equal values are one object, so `==` is `is` and answers can be cached.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any, NamedTuple, Self, TypeVar, cast

from tilewright.ir.diagnostics import TilewrightError

ELEMENT_AXES = ("reg", "addr")
"""Axes whose strides count elements of the layout's `bits`, not hardware units."""

AXIS_ORDER = ("device", "warp", "lane", "reg", "addr")
"""The order in which known axes are listed; other names follow alphabetically."""


class LayoutError(TilewrightError, ValueError):
    """A layout does not exist: the message names the divisibility or condition that fails."""


class Piece(NamedTuple):
    """One digit of a coordinate: `extent` values, `stride` apart along the hardware `axis`."""

    extent: int
    stride: int
    axis: str

    def __str__(self) -> str:
        return f"{self.extent}:{self.stride}" + (f"@{self.axis}" if self.axis else "")


class Swizzle(NamedTuple):
    """The byte address xor: `bits` bits from `base + shift` flip the `bits` bits from `base`."""

    bits: int
    base: int
    shift: int

    def __str__(self) -> str:
        return f"{self.bits} {self.base} {self.shift}"

    @property
    def granule(self) -> int:
        """Bytes that stay together."""
        return 1 << self.base

    @property
    def window(self) -> int:
        """Bytes within which an address stays."""
        return 1 << (self.base + self.bits)

    @property
    def period(self) -> int:
        """Bytes after which the pattern repeats."""
        return 1 << (self.base + self.bits + self.shift)

    def apply(self, byte_address: Any) -> Any:
        """The swizzled address of an int, an integer array, or anything with `^`, `>>` and `&`."""
        return byte_address ^ ((byte_address >> self.shift) & (self.window - self.granule))


Pieces = tuple[Piece, ...]
PieceLike = Piece | tuple[int, int, str]

_interned: dict[tuple[Any, ...], Any] = {}
_Function = TypeVar("_Function", bound=Callable[..., Any])


def remembered(function: _Function) -> _Function:
    """A pure function or method of layouts that keeps its answers: layouts live for ever anyway."""
    return cast(_Function, functools.cache(function))


class LayoutValue:
    """The fields of a layout and what follows from them at once. Users write `Layout`."""

    __slots__ = ("_key", "bits", "copies", "dims", "offset", "shape", "swizzle")

    _key: tuple[Any, ...]
    shape: tuple[int, ...]
    dims: tuple[Pieces, ...]
    copies: Pieces
    offset: tuple[tuple[str, int], ...]
    swizzle: Swizzle | None
    bits: int

    def __new__(
        cls,
        dims: Iterable[Iterable[PieceLike]],
        *,
        copies: Iterable[PieceLike] = (),
        offset: Iterable[tuple[str, int]] = (),
        swizzle: Swizzle | None = None,
        bits: int = 32,
    ) -> Self:
        lists = [[_check_piece(piece) for piece in dim] for dim in dims]
        shape = tuple(prod(piece.extent for piece in dim) for dim in lists)
        fields = (
            shape,
            tuple(merge_pieces(dim) for dim in lists),
            _normal_copies([_check_piece(piece) for piece in copies]),
            tuple(sorted((axis, value) for axis, value in offset if value)),
            None if swizzle is None or swizzle.bits == 0 else swizzle,
            bits,
        )
        found = _interned.get((cls, fields))
        if found is None:
            _check_fields(fields[2], fields[3], fields[4], bits)
            found = object.__new__(cls)
            names = ("shape", "dims", "copies", "offset", "swizzle", "bits")
            for name, value in zip(names, fields, strict=True):
                object.__setattr__(found, name, value)
            object.__setattr__(found, "_key", fields)
            found = _interned.setdefault((cls, fields), found)
        return found  # type: ignore[no-any-return]

    def __setattr__(self, name: str, _value: object) -> None:
        raise AttributeError(f"a layout is frozen: {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a layout is frozen: {name} cannot be deleted")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), *self._key[1:])

    def replace(
        self,
        *,
        dims: Iterable[Iterable[PieceLike]] | None = None,
        copies: Iterable[PieceLike] | None = None,
        offset: Iterable[tuple[str, int]] | None = None,
        bits: int | None = None,
    ) -> Self:
        """The same layout with the named fields replaced (for the swizzle see `swizzled`)."""
        return type(self)(
            self.dims if dims is None else dims,
            copies=self.copies if copies is None else copies,
            offset=self.offset if offset is None else offset,
            swizzle=self.swizzle,
            bits=self.bits if bits is None else bits,
        )

    @property
    def rank(self) -> int:
        """The number of dimensions of the tile."""
        return len(self.shape)

    @property
    def elements(self) -> int:
        """The number of elements of the tile."""
        return prod(self.shape)

    @property
    def pieces(self) -> Pieces:
        """The pieces of all dimensions, outermost first, without copies."""
        return tuple(piece for dim in self.dims for piece in dim)

    @property
    def axes(self) -> tuple[str, ...]:
        """The hardware axes that the layout moves along, in the order of `AXIS_ORDER`."""
        used = {piece.axis for piece in (*self.pieces, *self.copies) if piece.axis}
        return sort_axes(used | {axis for axis, _ in self.offset})

    def start(self, axis: str) -> int:
        """The offset along `axis`."""
        return dict(self.offset).get(axis, 0)

    @remembered
    def size(self, axis: str) -> int:
        """One more than the last place along `axis` (whole swizzle windows); 1 for unused axes."""
        moving = [piece for piece in (*self.pieces, *self.copies) if piece.axis == axis]
        span = 1 + self.start(axis) + sum((e - 1) * stride for e, stride, _ in moving)
        if axis == "addr" and self.swizzle is not None:
            window = max(self.swizzle.window * 8, self.bits) // self.bits
            span = -(-span // window) * window
        return span


def sort_axes(axes: Iterable[str]) -> tuple[str, ...]:
    """Axes in the order of `AXIS_ORDER`, then alphabetically."""
    known = {axis: index for index, axis in enumerate(AXIS_ORDER)}
    return tuple(sorted(axes, key=lambda axis: (known.get(axis, len(known)), axis)))


def merge_pieces(pieces: Sequence[Piece]) -> Pieces:
    """The canonical list of the same digits: no extent 1, neighbours merged where they continue."""
    merged: list[Piece] = []
    for extent, stride, axis in pieces:
        if extent == 1:
            continue
        axis = axis if stride else ""
        if merged and merged[-1].axis == axis and merged[-1].stride == extent * stride:
            merged[-1] = Piece(merged[-1].extent * extent, stride, axis)
        else:
            merged.append(Piece(extent, stride, axis))
    return tuple(merged)


def _normal_copies(copies: Sequence[Piece]) -> Pieces:
    moving = [piece for piece in copies if piece.stride and piece.extent > 1]
    return merge_pieces(sorted(moving, key=lambda piece: (piece.axis, -piece.stride)))


def _check_piece(piece: PieceLike) -> Piece:
    extent, stride, axis = piece
    if extent < 1 or stride < 0:
        raise LayoutError(f"piece {extent}:{stride}@{axis}: extent >= 1 and stride >= 0 must hold")
    if stride and not axis.isidentifier():
        raise LayoutError(f"piece {extent}:{stride}: a stride needs the name of an axis")
    return Piece(extent, stride, axis)


def _check_fields(
    copies: Pieces, offset: tuple[tuple[str, int], ...], swizzle: Swizzle | None, bits: int
) -> None:
    if bits < 1:
        raise LayoutError(f"an element has at least 1 bit, not {bits}")
    if any(value < 0 for _, value in offset):
        raise LayoutError("an offset is not negative")
    if swizzle is None:
        return
    if min(swizzle) < 0 or swizzle.shift < swizzle.bits:
        raise LayoutError(f"swizzle {swizzle}: shift must be at least bits, and all at least 0")
    if any(piece.axis == "addr" for piece in copies):
        raise LayoutError("copies along addr cannot be swizzled")
    if swizzle.granule * 8 % bits:
        raise LayoutError(
            f"swizzle {swizzle} moves {swizzle.granule} bytes, "
            f"which is no multiple of an element of {bits} bits"
        )


def _rebuild(
    cls: type[LayoutValue],
    dims: tuple[Pieces, ...],
    copies: Pieces,
    offset: tuple[tuple[str, int], ...],
    swizzle: Swizzle | None,
    bits: int,
) -> LayoutValue:
    return cls(dims, copies=copies, offset=offset, swizzle=swizzle, bits=bits)
