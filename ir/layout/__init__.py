"""Layouts: one algebra from registers to memory.

A `Layout` maps the coordinates of a tile to places in hardware: registers, lanes, warps, addresses.
It is a frozen, interned value, so equal layouts are one object. `value` says what it is made of,
`places` goes from coordinates to places and back, `reshape` and `verbs` make layouts from layouts,
`text` prints and parses them, `draw` draws them. `questions`, `banks` and `view` say what they are
good for, `convert` how a tile gets from one to another, `shared` which buffer it passes through.
The accumulator of mma m16n8 and its table:

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

from tilewright.ir.layout.banks import Access, count_conflicts, count_wavefronts, matrix_access
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
from tilewright.ir.layout.convert import ConvertPlan, convert
from tilewright.ir.layout.draw import draw_svg, draw_text
from tilewright.ir.layout.layout import Layout
from tilewright.ir.layout.places import DimensionTerm, PlaceTerm
from tilewright.ir.layout.questions import register_access
from tilewright.ir.layout.shared import Exchange, choose_exchange, choose_swizzle
from tilewright.ir.layout.shuffles import Shuffle
from tilewright.ir.layout.text import LAYOUT_PATTERN, print_layout
from tilewright.ir.layout.value import LayoutError, Piece, Swizzle
from tilewright.ir.layout.view import can_view, check_view, find_view_fault, view_bits

__all__ = [
    "LAYOUT_PATTERN",
    "Access",
    "ConvertPlan",
    "DimensionTerm",
    "Exchange",
    "Layout",
    "LayoutError",
    "Piece",
    "PlaceTerm",
    "Shuffle",
    "Swizzle",
    "blocked",
    "can_view",
    "check_view",
    "choose_exchange",
    "choose_swizzle",
    "column_major",
    "convert",
    "count_conflicts",
    "count_wavefronts",
    "draw_svg",
    "draw_text",
    "find_view_fault",
    "local",
    "make",
    "matrix_access",
    "ordered",
    "parse_layout",
    "print_layout",
    "register_access",
    "row_major",
    "spatial",
    "strided",
    "view_bits",
]
