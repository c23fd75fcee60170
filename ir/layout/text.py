"""The text form: one line, which parses back to the very same value.

    [16, 8]{2:2@reg 8:4@lane, 4:1@lane 2:1@reg}
    [32]{32:1@lane | copies 4:1@warp}
    [64, 64]{64:64@addr, 64:1@addr | at 4096@addr | xor 3 4 3 | bits 16}

In brackets the extents of the tile; in braces per dimension its pieces `extent:stride@axis`,
outermost first, `1` for a dimension without digits, `extent:0` for a stride of 0. Then, each after
a bar and only where it differs from nothing: `copies`, the offset `at`, the swizzle `xor bits base
shift`, and `bits` of an element where they are not 32. No layout contains a closing brace before
its end, so `LAYOUT_PATTERN` finds one in any text.
"""

from __future__ import annotations

import re

from tilewright.ir.layout.value import LayoutError, LayoutValue, Piece, Pieces, Swizzle

LAYOUT_PATTERN = r"\[[0-9, ]*\]\{[^{}]*\}"
_LAYOUT = re.compile(r"\[([0-9, ]*)\]\{([^{}]*)\}")
_PIECE = re.compile(r"(\d+):(\d+)(?:@(\w+))?")
_PLACE = re.compile(r"(\d+)@(\w+)")


def print_layout(layout: LayoutValue) -> str:
    """The text of a layout."""
    parts = [", ".join(_print_pieces(pieces) for pieces in layout.dims)]
    if layout.copies:
        parts.append(f"copies {_print_pieces(layout.copies)}")
    if layout.offset:
        parts.append("at " + " ".join(f"{value}@{axis}" for axis, value in layout.offset))
    if layout.swizzle is not None:
        parts.append(f"xor {layout.swizzle}")
    if layout.bits != 32:
        parts.append(f"bits {layout.bits}")
    return f"[{', '.join(map(str, layout.shape))}]{{{' | '.join(parts)}}}"


def read_layout(text: str) -> tuple[list[Pieces], Pieces, list[tuple[str, int]], Swizzle, int]:
    """The fields (dims, copies, offset, swizzle, bits) that a text states."""
    whole = _LAYOUT.fullmatch(text.strip())
    if whole is None:
        raise LayoutError(f"not a layout: {text!r}", hint="write [16, 8]{16:8@addr, 8:1@addr}")
    extents = [_read_int(part, text) for part in whole[1].split(",")] if whole[1].strip() else []
    first, *sections = whole[2].split("|")
    dims = [_read_pieces(part, text) for part in first.split(",")] if first.strip() else []
    copies: Pieces = ()
    offset: list[tuple[str, int]] = []
    swizzle, bits = Swizzle(0, 0, 0), 32
    for section in sections:
        match section.split():
            case ["copies", *rest]:
                copies = _read_pieces(" ".join(rest), text)
            case ["at", *rest]:
                offset = [_read_place(word, text) for word in rest]
            case ["xor", width, base, shift]:
                swizzle = Swizzle(*(_read_int(word, text) for word in (width, base, shift)))
            case ["bits", number]:
                bits = _read_int(number, text)
            case _:
                raise LayoutError(f"unknown part {section.strip()!r} of layout {text!r}")
    _check_extents(extents, dims, text)
    return dims, copies, offset, swizzle, bits


def _print_pieces(pieces: Pieces) -> str:
    return " ".join(map(str, pieces)) or "1"


def _check_extents(extents: list[int], dims: list[Pieces], text: str) -> None:
    if len(extents) != len(dims):
        raise LayoutError(f"{len(extents)} extents but {len(dims)} dimensions in {text!r}")
    for extent, pieces in zip(extents, dims, strict=True):
        product = 1
        for piece in pieces:
            product *= piece.extent
        if product != extent:
            raise LayoutError(f"pieces of {product} elements for extent {extent} in {text!r}")


def _read_pieces(text: str, whole: str) -> Pieces:
    return tuple(_read_piece(word, whole) for word in text.split() if word != "1")


def _read_piece(word: str, whole: str) -> Piece:
    found = _PIECE.fullmatch(word)
    if found is None:
        raise LayoutError(f"not a piece extent:stride@axis: {word!r} in {whole!r}")
    return Piece(int(found[1]), int(found[2]), found[3] or "")


def _read_place(word: str, whole: str) -> tuple[str, int]:
    found = _PLACE.fullmatch(word)
    if found is None:
        raise LayoutError(f"not a place number@axis: {word!r} in {whole!r}")
    return found[2], int(found[1])


def _read_int(word: str, whole: str) -> int:
    if not word.strip().isdigit():
        raise LayoutError(f"not a number: {word.strip()!r} in {whole!r}")
    return int(word)
