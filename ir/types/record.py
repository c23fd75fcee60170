"""The record that describes a data type, and its meaning in NumPy.

A type of 1 to 64 bits is one `DType`: everything the compiler knows about numbers is read from its
fields. A *code* is the bit pattern of one element, kept in the smallest unsigned container (uint8 …
uint64); `decode` turns codes into numbers and `encode` turns numbers into codes. Both are exact: a
result is the correctly rounded value of its input, rounded once. Defaults of `encode`:

| to | rounding | overflow |
| --- | --- | --- |
| floats of 16 bits and more | nearest, ties to even | infinity |
| floats, scales, codebooks of ≤ 8 bits | nearest, ties to even | saturate (infinities, too) |
| integers, from floats | truncate | saturate, NaN gives 0 |
| integers, from integers | none | wrap |

NaN stays NaN (which NaN is unspecified) where the type has one. A type whose codes are all finite
turns NaN into its largest value, as `cvt.satfinite` does for the formats of 4 and 6 bits. `f8e4m3`
has NaN but no infinity: NaN stays NaN in every mode, and with `overflow="infinity"` what is too
large becomes NaN. Directed rounding never overflows towards the side it rounds away from (IEEE
754). Arrays may be shared with the argument: treat them as values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tilewright.ir.types import codebooks, floats, integers
from tilewright.ir.types.rounding import Array, Overflow, Rounding, check_modes

Kind = Literal["uint", "int", "float", "bool", "scale", "codebook"]
Special = Literal["finite", "nan", "ieee"]


@dataclass(frozen=True, repr=False)
class DType:
    """One data type; use the names of `tilewright.ir.types`, `parse_dtype` or `codebook` to get
    one.

    `special` says which codes of a float are not numbers: none ("finite"), only the largest
    magnitude ("nan"), or IEEE 754's infinities and NaNs ("ieee"). `table` holds the values of a
    codebook, indexed by code.
    """

    name: str
    bits: int
    kind: Kind
    exponent: int = 0
    mantissa: int = 0
    bias: int = 0
    special: Special = "finite"
    table: tuple[float, ...] = ()

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return self.name

    @cached_property
    def container(self) -> np.dtype[Any]:
        """The smallest unsigned NumPy type that holds a code."""
        return np.dtype(f"u{max(8, 1 << (self.bits - 1).bit_length()) // 8}")

    @property
    def is_integer(self) -> bool:
        """Whether decoded values are NumPy integers."""
        return self.kind in ("uint", "int")

    @property
    def is_float(self) -> bool:
        """Whether this is a binary floating-point type with a sign: no scale, no codebook."""
        return self.kind == "float"

    @cached_property
    def signed(self) -> bool:
        """Whether a value may be negative."""
        return self.kind in ("int", "float") or any(value < 0 for value in self.table)

    @property
    def has_nan(self) -> bool:
        """Whether some code is not a number."""
        return self.special != "finite"

    @property
    def has_infinity(self) -> bool:
        """Whether some codes are infinite."""
        return self.special == "ieee"

    @cached_property
    def padding(self) -> int:
        """Low bits of a float that carry nothing: 13 for tf32, stored in 32 bits, else 0."""
        return self.bits - 1 - self.exponent - self.mantissa if self.is_float else 0

    @cached_property
    def max_magnitude(self) -> int:
        """The code of a float's largest finite magnitude, without sign and padding."""
        if self.special == "ieee":
            return (((1 << self.exponent) - 1) << self.mantissa) - 1
        return (1 << (self.exponent + self.mantissa)) - (2 if self.special == "nan" else 1)

    @cached_property
    def max(self) -> int | float:
        """The largest finite value."""
        match self.kind:
            case "uint" | "int":
                return (1 << (self.bits - (self.kind == "int"))) - 1
            case "float" | "scale":
                return floats.find_largest(self)
            case "bool":
                return 1
            case "codebook":
                return max(self.table)

    @cached_property
    def min(self) -> int | float:
        """The smallest finite value (the most negative one of a signed type)."""
        match self.kind:
            case "uint" | "bool":
                return 0
            case "int":
                return -(1 << (self.bits - 1))
            case "float":
                return -self.max
            case "scale":
                return 2.0**-self.bias
            case "codebook":
                return min(self.table)

    def decode(self, codes: npt.ArrayLike) -> Array:
        """The numbers that codes mean: int64 (u64: uint64), float64 or bool.

        Bits of the container above `bits` are ignored.
        """
        array = np.asarray(codes)
        if array.dtype != self.container:
            raise TypeError(f"codes of {self} are {self.container}, not {array.dtype}")
        match self.kind:
            case "uint" | "int":
                return integers.decode_integers(self, array)
            case "float":
                return floats.decode_floats(self, array)
            case "scale":
                return floats.decode_scales(self, array)
            case "bool":
                return np.asarray(array != 0)
            case "codebook":
                return codebooks.decode_codebook(self, array)

    def encode(
        self, values: npt.ArrayLike, rounding: Rounding = "default", overflow: Overflow = "default"
    ) -> Array:
        """The codes of numbers (bool, integer or float arrays), rounded once by the modes."""
        array = np.asarray(values)
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise TypeError(f"cannot encode an array of {array.dtype} as {self}")
        check_modes(rounding, overflow)
        if array.ndim == 0:
            return self.encode(array.reshape(1), rounding, overflow).reshape(())
        with np.errstate(all="ignore"):
            match self.kind:
                case "uint" | "int":
                    return integers.encode_integers(self, array, rounding, overflow)
                case "float":
                    return floats.encode_floats(self, array, rounding, overflow)
                case "scale":
                    return floats.encode_scales(self, array, rounding, overflow)
                case "bool":
                    return np.asarray(array != 0).view(np.uint8)
                case "codebook":
                    return codebooks.encode_codebook(self, array, rounding)
