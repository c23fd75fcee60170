"""The 8-bit floats e4m3 and e5m2 of the `cvt` and matrix instructions: tables built from their
definition.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from tilewright.runtime.vm.memory import Array


@lru_cache(maxsize=4)
def table(kind: str) -> Array:
    """The value of all 256 codes."""
    exponent_bits, mantissa_bits = (4, 3) if kind.startswith("e4m3") else (5, 2)
    bias = (1 << (exponent_bits - 1)) - 1
    code = np.arange(256)
    exponent = code >> mantissa_bits & ((1 << exponent_bits) - 1)
    mantissa = code & ((1 << mantissa_bits) - 1)
    scale = np.exp2(np.maximum(exponent, 1).astype(np.float64) - bias - mantissa_bits)
    value = (mantissa + np.where(exponent > 0, 1 << mantissa_bits, 0)) * scale
    value = np.where(code & 0x80, -value, value)
    if exponent_bits == 4:
        value[[0x7F, 0xFF]] = np.nan
    else:
        top = exponent == 31
        value[top & (mantissa == 0)] *= np.inf
        value[top & (mantissa != 0)] = np.nan
    found: Array = value.astype(np.float32)
    return found


def decode(bits: Array, kind: str) -> Array:
    """Codes to float32."""
    result: Array = table(kind)[bits]
    return result


def encode(x: Array, kind: str) -> Array:
    """float32 to codes: nearest even, saturating to the largest finite value (`.satfinite`), NaN to
    0x7F.
    """
    largest = 0x7E if kind.startswith("e4m3") else 0x7B
    values = table(kind)[: largest + 1].astype(np.float64)
    magnitude = np.abs(x.astype(np.float64))
    upper = np.searchsorted(values, magnitude).clip(0, largest)
    lower = np.maximum(upper - 1, 0)
    to_upper, to_lower = values[upper] - magnitude, magnitude - values[lower]
    pick_lower = (to_lower < to_upper) | ((to_lower == to_upper) & (lower & 1 == 0))
    code = np.where(magnitude >= values[largest], largest, np.where(pick_lower, lower, upper))
    code = np.where(np.isnan(x), 0x7F, code) | np.where(np.signbit(x) & ~np.isnan(x), 0x80, 0)
    return code.astype(np.uint8)


@lru_cache(maxsize=4)
def encoder(kind: str, *, relu: bool = False) -> Array:
    """The code of every upper half of a float32; its last bit also stands for all lower bits (it
    rounds to odd, which a second rounding to at most four bits does not notice).
    """
    bits = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    values = bits.view(np.float32)
    with np.errstate(invalid="ignore"):  # NaN are among them
        return encode(np.where(values < 0, np.float32(0), values) if relu else values, kind)


@lru_cache(maxsize=4)
def decoder(kind: str, *, relu: bool = False) -> Array:
    """The f16x2 of every pair of codes."""
    values = table(kind).astype(np.float16)
    values = np.where(values < 0, np.float16(0), values) if relu else values
    codes = np.arange(1 << 16, dtype=np.uint16)
    pairs: Array = np.stack([values[codes & 255], values[codes >> 8]], axis=1).view(np.uint32)
    return pairs.reshape(-1)
