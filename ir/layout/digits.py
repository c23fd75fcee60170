"""Arithmetic on lists of pieces: the mixed-radix digits behind the verbs.

All lists are outermost first. A step that would cut a digit unevenly raises LayoutError and names
the two numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tilewright.ir.layout.value import LayoutError, Piece, Pieces


class Picked(NamedTuple):
    """A piece that moves by up to `most` units within entry `digit` of the list picked from."""

    digit: int
    most: int
    piece: Piece


def scale(pieces: Sequence[Piece], factors: Mapping[str, int]) -> Pieces:
    """Strides multiplied by the factor of their axis."""
    return tuple(Piece(e, s * factors.get(axis, 1), axis) for e, s, axis in pieces)


def unscale(pieces: Sequence[Piece], factors: Mapping[str, int]) -> Pieces:
    """Strides divided by the factor of their axis."""
    for _, stride, axis in pieces:
        if stride % factors.get(axis, 1):
            raise LayoutError(f"stride {stride}@{axis} is no multiple of {factors[axis]}")
    return tuple(Piece(e, s // factors.get(axis, 1), axis) for e, s, axis in pieces)


def strip_suffix(pieces: Sequence[Piece], suffix: Sequence[Piece]) -> Pieces:
    """The digits outside of `suffix`, which must be the innermost ones."""
    rest = list(pieces)
    for extent, stride, axis in reversed(suffix):
        if not rest or (rest[-1].stride, rest[-1].axis) != (stride, axis):
            inner = rest[-1] if rest else "nothing"
            raise LayoutError(f"the innermost digit is {inner}, not {Piece(extent, stride, axis)}")
        whole = rest.pop()
        if whole.extent % extent:
            raise LayoutError(f"{extent} does not divide the digit {whole}")
        if whole.extent > extent:
            rest.append(Piece(whole.extent // extent, stride * extent, axis))
    return tuple(rest)


def strip_copies(copies: Sequence[Piece], gone: Sequence[Piece]) -> Pieces:
    """The copies without those in `gone`."""
    rest = list(copies)
    for extent, stride, axis in gone:
        for index, (e, s, a) in enumerate(rest):
            if (s, a) == (stride, axis) and e % extent == 0:
                rest[index] = Piece(e // extent, stride * extent, axis)
                break
        else:
            raise LayoutError(f"no copies {Piece(extent, stride, axis)} to divide by")
    return tuple(piece for piece in rest if piece.extent > 1)


def pick_digits(pieces: Sequence[Piece], extent: int, stride: int) -> list[Picked]:
    """The digits of the numbers 0, stride, 2 * stride, … (`extent` of them), outermost first."""
    picked: list[Picked] = []
    skip, take = stride, extent
    for index in reversed(range(len(pieces))):
        e, s, axis = pieces[index]
        if take == 1:
            break
        if skip % e == 0:
            skip //= e
            continue
        if (take - 1) * skip < e:
            picked.insert(0, Picked(index, (take - 1) * skip, Piece(take, s * skip, axis)))
            return picked
        if e % skip:
            raise LayoutError(f"stride {skip} does not divide the digit {pieces[index]}")
        room = e // skip
        if take % room:
            raise LayoutError(f"{room} steps of {skip} in {pieces[index]} do not divide {take}")
        picked.insert(0, Picked(index, e - skip, Piece(room, s * skip, axis)))
        take //= room
        skip = 1
    if take > 1:
        raise LayoutError(f"{extent} steps of {stride} leave the tile")
    return picked


def split_digits(pieces: Sequence[Piece], shape: Sequence[int]) -> list[Pieces]:
    """The row-major digits of a whole tile, dealt out to dimensions of the given extents."""
    rest = list(pieces)
    dims: list[Pieces] = []
    for extent in reversed(shape):
        dim: list[Piece] = []
        need = extent
        while need > 1:
            e, s, axis = rest.pop()
            if need % e == 0:
                dim.insert(0, Piece(e, s, axis))
                need //= e
            elif e % need == 0:
                dim.insert(0, Piece(need, s, axis))
                rest.append(Piece(e // need, s * need, axis))
                need = 1
            else:
                raise LayoutError(f"extent {extent} cuts the digit {Piece(e, s, axis)} unevenly")
        dims.insert(0, tuple(dim))
    return dims


def slice_digits(pieces: Sequence[Piece], first: int, extent: int) -> Pieces:
    """The digits of `extent` coordinates from `first` on, relative to the first."""
    kept: list[Piece] = []
    rest = list(pieces)
    while extent > 1:
        e, s, axis = rest.pop()
        if extent % e == 0 and first % e == 0:
            kept.insert(0, Piece(e, s, axis))
            extent //= e
        elif first % e + extent <= e:
            kept.insert(0, Piece(extent, s, axis))
            extent = 1
        else:
            raise LayoutError(
                f"{extent} from {first} on is neither inside of nor a multiple of the digit "
                f"{Piece(e, s, axis)}"
            )
        first //= e
    return tuple(kept)


def split_piece(piece: Piece, extent: int, inner: str, outer: str) -> Pieces:
    """A digit along one axis as digits along two: below and from `extent` on."""
    e, s, _ = piece
    if s % extent == 0:
        return (Piece(e, s // extent, outer),)
    if (e - 1) * s < extent:
        return (Piece(e, s, inner),)
    room, left = divmod(extent, s)
    if left or e % room:
        raise LayoutError(f"the digit {piece} crosses {extent} unevenly")
    return (Piece(e // room, 1, outer), Piece(room, s, inner))
