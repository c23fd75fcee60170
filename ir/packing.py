"""Dense little-endian bit streams: how sub-byte tensors lie in memory.

Element k of a row occupies bits k·bits … k·bits + bits − 1 of the row, counted from the low bit of
its first byte. Every row (the last axis) starts on a byte; the bits that fill its last byte are
zero. Widths below eight go through words of eight codes, which are exactly `bits` bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def row_bytes(count: int, bits: int) -> int:
    """Bytes of a row of `count` elements."""
    return -(-count * bits // 8)


def pack_bits(codes: npt.ArrayLike, bits: int) -> Array:
    """uint8[..., ceil(K·bits / 8)] of unsigned codes[..., K], each below 2^bits."""
    array = np.asarray(codes)
    _check(array, bits)
    if array.size and int(array.max()) >> bits:
        raise ValueError(f"code {int(array.max())} does not fit {bits} bits")
    *rows, count = array.shape
    if bits in (8, 16, 32, 64):
        words = np.ascontiguousarray(array, f"<u{bits // 8}")
        return words.view(np.uint8).reshape(*rows, count * bits // 8)
    if bits < 8:
        return _pack_groups(array, bits)
    spread = np.ascontiguousarray(array, "<u8").view(np.uint8).reshape(*rows, count, 8)
    stream = np.unpackbits(spread, axis=-1, count=bits, bitorder="little")
    return np.packbits(stream.reshape(*rows, count * bits), axis=-1, bitorder="little")


def unpack_bits(data: npt.ArrayLike, bits: int, count: int) -> Array:
    """The first `count` codes of each row of bytes, in the smallest unsigned container."""
    array = np.asarray(data)
    if array.dtype != np.uint8:
        raise TypeError(f"packed bits are uint8, not {array.dtype}")
    _check(array, bits)
    *rows, length = array.shape
    if length < row_bytes(count, bits):
        raise ValueError(
            f"{count} codes of {bits} bits need {row_bytes(count, bits)} bytes, not {length}"
        )
    container = np.dtype(f"u{max(8, 1 << (bits - 1).bit_length()) // 8}")
    array = np.ascontiguousarray(array[..., : row_bytes(count, bits)])
    if bits in (8, 16, 32, 64):
        words = array.view(container.newbyteorder("<")).reshape(*rows, count)
        return words.astype(container, copy=False)
    if bits < 8:
        return _unpack_groups(array, bits, count)
    stream = np.unpackbits(array, axis=-1, count=count * bits, bitorder="little")
    spread = np.packbits(stream.reshape(*rows, count, bits), axis=-1, bitorder="little")
    wide = np.zeros((*rows, count, 8), np.uint8)
    wide[..., : spread.shape[-1]] = spread
    return wide.view("<u8").reshape(*rows, count).astype(container)


def _check(array: Array, bits: int) -> None:
    if not 1 <= bits <= 64:
        raise ValueError(f"elements have 1 to 64 bits, not {bits}")
    if array.ndim == 0 or array.dtype.kind != "u":
        raise TypeError(f"expected rows of unsigned codes, not {array.dtype} of rank {array.ndim}")


def _plan_groups(bits: int) -> tuple[int, int, np.dtype[Any]]:
    """Codes per group, bytes per group, and the word that holds one."""
    if 8 % bits == 0:
        return 8 // bits, 1, np.dtype("u1")
    return 8, bits, np.dtype("<u8")


def _pack_groups(array: Array, bits: int) -> Array:
    size, group_bytes, word = _plan_groups(bits)
    *rows, count = array.shape
    groups = -(-count // size)
    if count % size:
        array = np.concatenate(
            [array, np.zeros((*rows, groups * size - count), array.dtype)], axis=-1
        )
    words = np.zeros((*rows, groups), word)
    for place in range(size):
        words |= array[..., place::size].astype(word) << word.type(place * bits)
    data = words[..., None].view(np.uint8)[..., :group_bytes].reshape(*rows, groups * group_bytes)
    return np.ascontiguousarray(data[..., : row_bytes(count, bits)])


def _unpack_groups(array: Array, bits: int, count: int) -> Array:
    size, group_bytes, word = _plan_groups(bits)
    *rows, length = array.shape
    groups = -(-count // size)
    padded = np.zeros((*rows, groups, word.itemsize), np.uint8)
    if length < groups * group_bytes:
        fill = np.zeros((*rows, groups * group_bytes - length), np.uint8)
        array = np.concatenate([array, fill], axis=-1)
    padded[..., :group_bytes] = array.reshape(*rows, groups, group_bytes)
    words = padded.view(word)[..., 0]
    codes = np.empty((*rows, groups * size), np.uint8)
    for place in range(size):
        codes[..., place::size] = (words >> word.type(place * bits)) & word.type((1 << bits) - 1)
    return np.ascontiguousarray(codes[..., :count])
