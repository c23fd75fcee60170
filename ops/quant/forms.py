"""The orders in which the parts of a quantized weight lie, and the way from one to the other.

*portable*: codes as a dense little-endian bit stream along K, uint8[N, ceil(K · bits / 8)]; scales
and zeros [N, G]. The only form that is serialized.
*device form*: what the kernels of a target family read (`ir.packings`). For cpu, codes in panels of
16 rows and 8 columns (panel16) and scales and zeros in panels of 16 rows (rows16): both are the
portable bytes, padded and transposed, so the way back is exact. For cuda the portable form itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from tilewright.ir.packing import row_bytes
from tilewright.ops.quant.memory import in_large_pages

ROWS, UNIT_K = 16, 8
Order = Callable[[torch.Tensor, int, int, int], torch.Tensor]
"""(codes, rows, columns, bits) → the same codes in another order."""
ValueOrder = Callable[[torch.Tensor, int, int], torch.Tensor]
"""(scales or zeros, rows, columns) → the same values in another order."""


@dataclass(frozen=True)
class Form:
    """One device form: the packings of its parts, and how to get there and back."""

    family: str
    codes: str | None
    values: str | None
    pack_codes: Order
    unpack_codes: Order
    pack_values: ValueOrder
    unpack_values: ValueOrder


def _same(tensor: torch.Tensor, *sizes: int) -> torch.Tensor:
    return tensor


def _pad(tensor: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    if tuple(tensor.shape) == (rows, columns):
        return tensor
    padded = tensor.new_zeros(rows, columns)
    padded[: tensor.shape[0], : tensor.shape[1]] = tensor
    return padded


def _pack_panels(codes: torch.Tensor, rows: int, columns: int, bits: int) -> torch.Tensor:
    panels, units = -(-rows // ROWS), -(-columns // UNIT_K)
    padded = _pad(codes, panels * ROWS, units * bits).view(panels, ROWS, units, bits)
    packed = in_large_pages(codes.new_empty(padded.numel()))
    packed.view(panels, units, ROWS, bits).copy_(padded.transpose(1, 2))
    return packed


def _unpack_panels(codes: torch.Tensor, rows: int, columns: int, bits: int) -> torch.Tensor:
    panels, units = -(-rows // ROWS), -(-columns // UNIT_K)
    padded = codes.view(panels, units, ROWS, bits).transpose(1, 2)
    dense = padded.reshape(panels * ROWS, units * bits)
    return dense[:rows, : row_bytes(columns, bits)].contiguous()


def _pack_rows(values: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    panels = -(-rows // ROWS)
    padded = _pad(values, panels * ROWS, columns)
    return padded.view(panels, ROWS, columns).transpose(1, 2).contiguous().view(-1)


def _unpack_rows(values: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    panels = -(-rows // ROWS)
    padded = values.view(panels, columns, ROWS).transpose(1, 2)
    return padded.reshape(panels * ROWS, columns)[:rows].contiguous()


FORMS = {
    "cpu": Form("cpu", "panel16", "rows16", _pack_panels, _unpack_panels, _pack_rows, _unpack_rows),
    "cuda": Form("cuda", None, None, _same, _same, _same, _same),
}
"""Target family → its device form."""


def family_of(device: torch.device) -> str:
    """The target family whose kernels run on `device`."""
    return "cuda" if device.type == "cuda" else "cpu"
