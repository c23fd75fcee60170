"""Pictures of layouts: who holds each element of a tile, as text or as SVG.

A cell of a register tile reads `lane:reg`, or `warp.lane:reg` where warps take part; a cell of a
buffer is its address. `+n` counts further copies. Tiles of more than two dimensions show their
leading dimensions as rows.

>>> from tilewright.ir.layout import local, spatial
>>> print(draw_text(local(2, 1).product(spatial(2, 2))))
     0    1
0  0:0  1:0
1  2:0  3:0
2  0:1  1:1
3  2:1  3:1
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from math import prod

import numpy as np

from tilewright.ir.layout.layout import Layout
from tilewright.ir.layout.value import LayoutError

MAX_CELLS = 1 << 16
CELL_HEIGHT = 22


def draw_text(layout: Layout) -> str:
    """A grid of the holders of all elements, with row and column numbers."""
    rows = [["", *map(str, range(_columns(layout)))]]
    for number, row in enumerate(_cells(layout)):
        rows.append([str(number), *(_label(layout, place) for place in row)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def draw_svg(layout: Layout) -> str:
    """The same grid as a picture: the hue says which lane (or bank), the depth which warp."""
    cells = list(_cells(layout))
    labels = [[_label(layout, place) for place in row] for row in cells]
    width = 12 + 7 * max(len(label) for row in labels for label in row)
    parts = [_rect_style()]
    for row, (places, names) in enumerate(zip(cells, labels, strict=True)):
        for column, (place, name) in enumerate(zip(places, names, strict=True)):
            x, y = column * width, (row + 1) * CELL_HEIGHT
            parts.append(
                f'<rect x="{x}" y="{y}" width="{width}" height="{CELL_HEIGHT}" '
                f'fill="{_color(layout, place)}"/>'
                f'<text x="{x + width // 2}" y="{y + 15}">{name}</text>'
            )
    size = f'width="{width * _columns(layout)}" height="{CELL_HEIGHT * (len(cells) + 1)}"'
    title = f'<text x="2" y="15" text-anchor="start">{escape(str(layout))}</text>'
    body = "\n".join([*parts, title])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n{body}\n</svg>\n'


def _rect_style() -> str:
    return (
        "<style>rect{stroke:#555;stroke-width:.5}"
        "text{font:11px monospace;text-anchor:middle}text[text-anchor=start]{text-anchor:start}"
        "</style>"
    )


def _columns(layout: Layout) -> int:
    return layout.shape[-1] if layout.rank else 1


def _cells(layout: Layout) -> Iterator[list[dict[str, int]]]:
    """Rows of the first place of each element, as axis -> number."""
    if layout.elements > MAX_CELLS:
        raise LayoutError(
            f"{layout.elements} elements are too many to draw", hint="draw a slice of the tile"
        )
    columns = _columns(layout)
    arrays = {
        axis: np.reshape(array, (-1, columns)) for axis, array in layout.place_arrays().items()
    }
    for row in range(layout.elements // columns):
        yield [
            {axis: int(array[row, column]) for axis, array in arrays.items()}
            for column in range(columns)
        ]


def _label(layout: Layout, place: dict[str, int]) -> str:
    others = [axis for axis in layout.axes if axis not in ("warp", "lane", "reg", "addr")]
    name = " ".join(f"{axis}{place[axis]}" for axis in others)
    if "addr" in layout.axes:
        name += f" {place['addr']}" if name else str(place["addr"])
    if {"warp", "lane", "reg"} & set(layout.axes) or not layout.axes:
        warp = f"{place['warp']}." if "warp" in layout.axes else ""
        holder = f"{warp}{place.get('lane', 0)}:{place.get('reg', 0)}"
        name += f" {holder}" if name else holder
    more = prod(piece.extent for piece in layout.copies) - 1
    return f"{name}+{more}" if more else name


def _color(layout: Layout, place: dict[str, int]) -> str:
    if "addr" in layout.axes:
        hue = place["addr"] * layout.bits // 32 % 32 * 360 // 32
        return f"hsl({hue},70%,80%)"
    hue = place.get("lane", 0) * 360 // max(1, layout.size("lane"))
    depth = 85 - 35 * place.get("warp", 0) // max(1, layout.size("warp"))
    return f"hsl({hue},70%,{depth}%)"
