"""Reinterpretation: when the bits of one register tile are a tile of another type, untouched."""

from __future__ import annotations

import functools
from math import gcd

import numpy as np

from tilewright.ir.layout.layout import Layout
from tilewright.ir.layout.value import LayoutError


def can_view(source: Layout, source_bits: int, target: Layout, target_bits: int) -> bool:
    """Whether `source`'s bits, left where they are, form a tile laid out as `target`."""
    return find_view_fault(source, source_bits, target, target_bits) is None


@functools.cache
def find_view_fault(
    source: Layout, source_bits: int, target: Layout, target_bits: int
) -> str | None:
    """Why a view is illegal, None where it is legal.

    Both layouts, recast to the common number of bits, must occupy equal places; and bits that the
    target takes for copies of one must be copies of one in the source.
    """
    common = gcd(source_bits, target_bits)
    fine = [
        _as_line(source.with_bits(source_bits), common),
        _as_line(target.with_bits(target_bits), common),
    ]
    axes = ("warp", "lane", "reg")
    for axis in axes:
        sizes = [layout.size(axis) for layout in fine]
        if sizes[0] != sizes[1]:
            unit = f"{common}-bit units per lane" if axis == "reg" else f"{axis}s"
            return f"the source has {sizes[0]} {unit}, the target {sizes[1]}"
    held = [layout.elements_at(*axes) for layout in fine]
    if not np.array_equal(held[0] >= 0, held[1] >= 0):
        return "the source and the target leave different registers unused"
    if not fine[1].copies and not any(s == 0 for _, s, _ in fine[1].pieces):
        return None
    used = held[1] >= 0
    first = np.full(fine[1].elements, -1, dtype=np.int64)
    first[held[1][used]] = held[0][used]
    if (first[held[1][used]] != held[0][used]).any():
        return "the target takes different bits of the source for copies of one"
    return None


def check_view(source: Layout, source_bits: int, target: Layout, target_bits: int) -> None:
    """Raise LayoutError with the reason unless the view is legal."""
    fault = find_view_fault(source, source_bits, target, target_bits)
    if fault is not None:
        raise LayoutError(
            f"{source_bits}-bit {source} cannot be viewed as {target_bits}-bit {target}: {fault}"
        )


def view_bits(source: Layout, source_bits: int, target: Layout, target_bits: int) -> np.ndarray:
    """Where each unit of the target comes from: an array over the target's units (row-major) of
    unit numbers of the source, units being of the common number of bits, little end first.

    This is the meaning of a view in NumPy: split the source into units, take these, join.
    """
    check_view(source, source_bits, target, target_bits)
    common = gcd(source_bits, target_bits)
    one = _as_line(source.with_bits(source_bits), common)
    two = _as_line(target.with_bits(target_bits), common)
    axes = ("warp", "lane", "reg")
    held, wanted = one.elements_at(*axes), two.elements_at(*axes)
    result = np.zeros(two.elements, dtype=np.int64)
    result[wanted[wanted >= 0]] = held[wanted >= 0]
    return result


def _as_line(layout: Layout, bits: int) -> Layout:
    """In units of `bits`, with a last dimension for the units of an element."""
    return layout.replace(dims=(*layout.dims, ())).recast(bits)
