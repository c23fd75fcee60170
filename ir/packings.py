"""Device orders of packed weights: a table of (format, target family), part of a tensor's type.

A weight W[N, K] of b-bit codes is stored dense along K (`ir.packing`); kernels read another order,
chosen per target family and never depending on tile sizes, M, or the machine. `packing="panel16"`
in a `TensorType` says that the tensor's bytes are in that order; its shape stays (N, K).

panel16 (cpu): codes[n / 16][k / 8][n % 16] is b bytes, codes k … k + 7 of row n, little-endian: the
portable rows cut into pieces of 8 codes and transposed over 16 rows, so that one activation feeds
16 rows. Rows and columns are padded with zero codes to multiples of 16 and 8.

rows16 (cpu): elements[n / 16][k][n % 16] of 8, 16 or 32 bits, for the scales and zeros beside such
codes; rows are padded with zeros to a multiple of 16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tilewright.ir.numeric import Array
from tilewright.ir.packing import pack_bits, unpack_bits


@dataclass(frozen=True)
class Packing:
    """One device order: `pack` maps codes[N, K] to bytes, `unpack` is its exact inverse.

    `family` is the target family that reads it, `widths` lists the bits that an element may have.
    """

    name: str
    family: str
    widths: tuple[int, ...]
    size: Callable[[int, int, int], int]
    pack: Callable[[Array, int], Array]
    unpack: Callable[[Array, int, int, int], Array]


def _panel16_size(rows: int, columns: int, bits: int) -> int:
    return -(-rows // 16) * 16 * -(-columns // 8) * bits


def _pack_panel16(codes: Array, bits: int) -> Array:
    rows, columns = codes.shape
    padded = np.zeros((-(-rows // 16) * 16, -(-columns // 8) * 8), codes.dtype)
    padded[:rows, :columns] = codes
    pieces = pack_bits(padded.reshape(padded.shape[0] // 16, 16, -1, 8), bits)
    return np.ascontiguousarray(pieces.transpose(0, 2, 1, 3)).reshape(-1)


def _unpack_panel16(data: Array, rows: int, columns: int, bits: int) -> Array:
    panels, units = -(-rows // 16), -(-columns // 8)
    pieces = data.reshape(panels, units, 16, bits).transpose(0, 2, 1, 3)
    codes = unpack_bits(np.ascontiguousarray(pieces), bits, 8)
    return np.ascontiguousarray(codes.reshape(panels * 16, units * 8)[:rows, :columns])


def _rows16_size(rows: int, columns: int, bits: int) -> int:
    return -(-rows // 16) * 16 * columns * bits // 8


def _pack_rows16(codes: Array, bits: int) -> Array:
    rows, columns = codes.shape
    padded = np.zeros((-(-rows // 16) * 16, columns), f"<u{bits // 8}")
    padded[:rows] = codes
    panels = padded.reshape(-1, 16, columns).transpose(0, 2, 1)
    return np.ascontiguousarray(panels).reshape(-1).view(np.uint8)


def _unpack_rows16(data: Array, rows: int, columns: int, bits: int) -> Array:
    panels = data.view(f"<u{bits // 8}").reshape(-(-rows // 16), columns, 16).transpose(0, 2, 1)
    return np.ascontiguousarray(panels.reshape(-1, columns)[:rows])


PACKINGS: dict[str, Packing] = {
    "panel16": Packing(
        "panel16", "cpu", tuple(range(1, 9)), _panel16_size, _pack_panel16, _unpack_panel16
    ),
    "rows16": Packing("rows16", "cpu", (8, 16, 32), _rows16_size, _pack_rows16, _unpack_rows16),
}
"""All device orders by name."""
