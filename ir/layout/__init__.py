"""Layouts: one algebra from registers to memory.

A `Layout` maps the coordinates of a tile to places in hardware: registers, lanes, warps, addresses.
It is a frozen, interned value, so equal layouts are one object. `value` says what it is made of,
`places` goes from coordinates to places and back, `reshape` and `verbs` make layouts from layouts,
`text` prints and parses them. The accumulator of mma m16n8 and its table:

>>> from tilewright.ir.layout import local, spatial
>>> accumulator = local(2, 1).product(spatial(8, 4), local(1, 2))
>>> accumulator
[16, 8]{2:2@reg 8:4@lane, 4:1@lane 2:1@reg}
>>> accumulator.places(9, 5)
({'lane': 6, 'reg': 3},)
>>> accumulator.table()[0, 6, 3].tolist()
[9, 5]
>>> accumulator.dimension_terms(0)[1]
DimensionTerm(axis='lane', divisor=4, modulus=8, coefficient=1)
"""

from tilewright.ir.layout.construct import (
    blocked,
    column_major,
    local,
    make,
    ordered,
    parse_layout,
    row_major,
    spatial,
    strided,
)
from tilewright.ir.layout.layout import Layout
from tilewright.ir.layout.places import DimensionTerm, PlaceTerm
from tilewright.ir.layout.text import LAYOUT_PATTERN, print_layout
from tilewright.ir.layout.value import LayoutError, Piece, Swizzle
from tilewright.ir.layout.views import can_view

__all__ = [
    "LAYOUT_PATTERN",
    "DimensionTerm",
    "Layout",
    "LayoutError",
    "Piece",
    "PlaceTerm",
    "Swizzle",
    "blocked",
    "can_view",
    "column_major",
    "local",
    "make",
    "ordered",
    "parse_layout",
    "print_layout",
    "row_major",
    "spatial",
    "strided",
]
