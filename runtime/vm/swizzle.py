"""The xor swizzles of shared memory: 16-byte chunks permuted within 128-byte rows by the row's
number.
"""

from __future__ import annotations

from tilewright.runtime.vm.memory import Array

_MASKS = {0: 0, 32: 1, 64: 3, 128: 7}


def swizzle(address: Array, span: int) -> Array:
    """Address bits 4 to 6 (as many as the span has chunks) xor bits 7 to 9."""
    mask = _MASKS[span]
    return address ^ (address >> 7 & mask) << 4 if mask else address
