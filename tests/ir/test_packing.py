"""Bit streams against a big Python integer per row, which knows nothing of words and groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tilewright.ir.packing import pack_bits, row_bytes, unpack_bits
from tilewright.ir.types import NAMED


def container(bits: int) -> np.dtype:
    return np.dtype(f"u{max(8, 1 << (bits - 1).bit_length()) // 8}")


def pack_row(codes: list[int], bits: int) -> bytes:
    stream = sum(code << (place * bits) for place, code in enumerate(codes))
    return stream.to_bytes((len(codes) * bits + 7) // 8, "little")


def draw_codes(shape: tuple[int, ...], bits: int) -> np.ndarray:
    rng = np.random.default_rng()
    codes = rng.integers(0, 1 << bits, shape, np.uint64, endpoint=False) if bits < 64 else None
    if codes is None:
        codes = rng.integers(0, 1 << 32, shape, np.uint64) * np.uint64((1 << 32) + 1)
    return codes.astype(container(bits))


@given(
    st.integers(1, 64),
    st.lists(st.integers(0, 3), max_size=2),
    st.integers(0, 40),
)
@settings(max_examples=300, deadline=None)
def test_rows_are_little_endian_streams(bits: int, rows: list[int], count: int) -> None:
    codes = draw_codes((*rows, count), bits)
    data = pack_bits(codes, bits)
    assert data.dtype == np.uint8
    assert data.shape == (*rows, row_bytes(count, bits))
    for row in np.ndindex(*rows):
        assert data[row].tobytes() == pack_row(codes[row].tolist(), bits)
    again = unpack_bits(data, bits, count)
    assert again.dtype == codes.dtype
    np.testing.assert_array_equal(again, codes)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 6, 7, 8, 13, 16, 32, 33, 64])
def test_strided_input_and_foreign_padding(bits: int) -> None:
    codes = draw_codes((9, 14), bits)
    for view in (codes.T, codes[::2, ::-1], codes[:, 3:4], np.broadcast_to(codes[0], (3, 14))):
        data = pack_bits(view, bits)
        np.testing.assert_array_equal(data, pack_bits(view.copy(), bits))
        longer = np.concatenate([data, np.full((data.shape[0], 5), 0xA5, np.uint8)], axis=-1)
        poisoned = longer.copy()
        used = view.shape[-1] * bits
        if used % 8:
            poisoned[:, used // 8] |= np.uint8(0xFF << (used % 8) & 0xFF)
        for source in (longer, poisoned, poisoned[::1], np.asfortranarray(poisoned)):
            np.testing.assert_array_equal(unpack_bits(source, bits, view.shape[-1]), view)


def test_any_unsigned_container_packs() -> None:
    codes = np.array([[1, 2, 3], [3, 0, 1]])
    for kind in (np.uint8, np.uint16, np.uint32, np.uint64, ">u4"):
        np.testing.assert_array_equal(pack_bits(codes.astype(kind), 2), [[0b111001], [0b010011]])
        np.testing.assert_array_equal(pack_bits(codes.astype(kind), 16)[0], [1, 0, 2, 0, 3, 0])


def test_every_type_has_a_container_that_packs() -> None:
    for dtype in NAMED.values():
        codes = draw_codes((3, 11), dtype.bits).astype(dtype.container)
        again = unpack_bits(pack_bits(codes, dtype.bits), dtype.bits, 11)
        assert again.dtype == dtype.container
        np.testing.assert_array_equal(again, codes)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="code 16 does not fit 4 bits"):
        pack_bits(np.array([1, 16], np.uint8), 4)
    with pytest.raises(ValueError, match="1 to 64 bits, not 0"):
        pack_bits(np.array([0], np.uint8), 0)
    with pytest.raises(TypeError, match="unsigned codes, not int64"):
        pack_bits(np.array([0]), 4)
    with pytest.raises(TypeError, match="rank 0"):
        pack_bits(np.uint8(0), 4)
    with pytest.raises(TypeError, match="uint8, not uint16"):
        unpack_bits(np.zeros(2, np.uint16), 4, 3)
    with pytest.raises(ValueError, match="5 codes of 4 bits need 3 bytes, not 2"):
        unpack_bits(np.zeros((7, 2), np.uint8), 4, 5)
