"""Arithmetic on tiles and scalars, element by element; products of matrices."""

from __future__ import annotations

from typing import Any

from tilewright.frontend.annotations import kernel_only


@kernel_only
def mma(
    x: Any,
    y: Any,
    acc: Any = None,
    precision: str = "exact",
    scale: Any = None,
    zero: Any = None,
) -> Any:
    """acc + x · y for tiles (m, k), (k, n), (m, n); without `acc`, it starts from zeros.

    f16, bf16, f32 and 8-bit floats accumulate in f32, integers in i32. `precision="tf32"` lets f32
    operands be rounded to tf32. `x` and `y` may be shared buffers.

    With `scale`, a tile (groups, n), `y` holds codes of at most 8 bits and stands for
    (y[i, j] - zero[g, j]) · scale[g, j], where each group is k / groups rows; `zero` may be absent.
    """


@kernel_only
def where(condition: Any, yes: Any, no: Any) -> Any:
    """yes[i] where condition[i] (bool) holds, else no[i]."""


@kernel_only
def maximum(x: Any, y: Any) -> Any:
    """The larger of x[i] and y[i]; a number wins over NaN."""


@kernel_only
def minimum(x: Any, y: Any) -> Any:
    """The smaller of x[i] and y[i]; a number wins over NaN."""


@kernel_only
def fma(x: Any, y: Any, z: Any) -> Any:
    """x[i] · y[i] + z[i], rounded once."""


@kernel_only
def exp(x: Any) -> Any:
    """e to the power of x[i]."""


@kernel_only
def exp2(x: Any) -> Any:
    """2 to the power of x[i]."""


@kernel_only
def log(x: Any) -> Any:
    """The natural logarithm of x[i]."""


@kernel_only
def log2(x: Any) -> Any:
    """The logarithm of x[i] to base 2."""


@kernel_only
def sqrt(x: Any) -> Any:
    """The square root of x[i]."""


@kernel_only
def rsqrt(x: Any) -> Any:
    """1 / √x[i]."""


@kernel_only
def tanh(x: Any) -> Any:
    """The hyperbolic tangent of x[i]."""


@kernel_only
def erf(x: Any) -> Any:
    """The error function of x[i]."""


@kernel_only
def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x[i])."""


@kernel_only
def sin(x: Any) -> Any:
    """The sine of x[i], in radians."""


@kernel_only
def cos(x: Any) -> Any:
    """The cosine of x[i], in radians."""


@kernel_only
def abs(x: Any) -> Any:
    """The magnitude of x[i]."""


@kernel_only
def floor(x: Any) -> Any:
    """The largest whole number ≤ x[i], as a float."""


@kernel_only
def ceil(x: Any) -> Any:
    """The smallest whole number ≥ x[i], as a float."""


@kernel_only
def round(x: Any) -> Any:
    """The nearest whole number, ties to even, as a float."""
