"""Dense little-endian bit streams of codes as torch tensors, on any device (see `ir.packing`)."""

from __future__ import annotations

import torch

from tilewright.ir.packing import row_bytes

ROWS_AT_ONCE = 512
"""Rows are packed in slices, so that the words in between stay small."""


def pack_codes(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """uint8[N, ceil(K · bits / 8)] of codes uint8[N, K]."""
    packed = codes.new_empty(codes.shape[0], row_bytes(codes.shape[1], bits))
    for start in range(0, codes.shape[0], ROWS_AT_ONCE):
        packed[start : start + ROWS_AT_ONCE] = _pack(codes[start : start + ROWS_AT_ONCE], bits)
    return packed


def unpack_codes(packed: torch.Tensor, bits: int, columns: int) -> torch.Tensor:
    """The codes uint8[N, columns] of a dense stream; exact inverse of `pack_codes`."""
    codes = packed.new_empty(packed.shape[0], columns)
    for start in range(0, packed.shape[0], ROWS_AT_ONCE):
        rows = packed[start : start + ROWS_AT_ONCE]
        codes[start : start + ROWS_AT_ONCE] = _unpack(rows, bits, columns)
    return codes


def _pack(codes: torch.Tensor, bits: int) -> torch.Tensor:
    rows, columns = codes.shape
    padded = torch.nn.functional.pad(codes, (0, -columns % 8)).view(rows, -1, 8)
    words = torch.zeros(padded.shape[:2], dtype=torch.int64, device=codes.device)
    for place in range(8):
        words |= padded[..., place].long() << (place * bits)
    pieces = [(words >> (8 * byte)) & 255 for byte in range(bits)]
    stream = torch.stack(pieces, -1).to(torch.uint8).view(rows, -1)
    return stream[:, : row_bytes(columns, bits)]


def _unpack(packed: torch.Tensor, bits: int, columns: int) -> torch.Tensor:
    rows, units = packed.shape[0], -(-columns // 8)
    padded = torch.nn.functional.pad(packed, (0, units * bits - packed.shape[1]))
    pieces = padded.view(rows, units, bits)
    words = torch.zeros(rows, units, dtype=torch.int64, device=packed.device)
    for byte in range(bits):
        words |= pieces[..., byte].long() << (8 * byte)
    mask = (1 << bits) - 1
    codes = [(words >> (place * bits)) & mask for place in range(8)]
    return torch.stack(codes, -1).to(torch.uint8).view(rows, units * 8)[:, :columns]
