"""Device orders: exact inverses, the stated places, zero padding."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.packings import PACKINGS

CASES = [(name, bits) for name, packing in PACKINGS.items() for bits in packing.widths]


@pytest.mark.parametrize("shape", [(1, 1), (16, 8), (17, 9), (40, 129)])
@pytest.mark.parametrize(("name", "bits"), CASES)
def test_unpack_is_the_inverse_of_pack(name, bits, shape):
    packing = PACKINGS[name]
    container = f"u{max(8, bits) // 8}"
    codes = np.random.default_rng().integers(0, 1 << bits, shape).astype(container)
    data = packing.pack(codes, bits)
    assert data.dtype == np.uint8
    assert data.shape == (packing.size(*shape, bits),)
    np.testing.assert_array_equal(packing.unpack(data, *shape, bits), codes)


@pytest.mark.parametrize("bits", [1, 3, 4, 8])
def test_panel16_puts_eight_codes_of_a_row_together(bits):
    codes = np.random.default_rng().integers(0, 1 << bits, (20, 24), dtype=np.uint8)
    data = PACKINGS["panel16"].pack(codes, bits).reshape(2, 3, 16, bits)
    for n, piece in [(0, 0), (5, 2), (17, 1)]:
        word = int.from_bytes(data[n // 16, piece, n % 16].tobytes(), "little")
        found = [word >> (bits * i) & ((1 << bits) - 1) for i in range(8)]
        assert found == codes[n, 8 * piece : 8 * piece + 8].tolist()
    assert not data[1, :, 4:].any()
