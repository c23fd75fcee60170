"""The language of kernels: every name that `import tilewright as tw` gives inside `@tw.kernel`.

Shapes are tuples of static ints, `scalar` means a block-uniform number, `tile` an immutable block
value. Where a function takes several tiles they broadcast as in NumPy and have one dtype; Python
numbers adapt to it. `//` and `%` of integers round toward minus infinity; by zero they give 0.
Capture (`frontend.capture`) gives the names their meaning; the bodies here are empty.
"""

from __future__ import annotations

from tilewright.frontend.annotations import (
    Barrier,
    Buffer,
    InlineFunction,
    Scalar,
    Static,
    Tensor,
    Tile,
    inline,
)
from tilewright.frontend.language.atomics import (
    atomic_add,
    atomic_and,
    atomic_exchange,
    atomic_max,
    atomic_min,
    atomic_or,
    signal,
    wait_signal,
)
from tilewright.frontend.language.checks import assume, check, print
from tilewright.frontend.language.explicit import arrive, barrier, copy, done, shared, wait
from tilewright.frontend.language.loops import cdiv, exactly, grid, range, role, static_range
from tilewright.frontend.language.math import (
    abs,
    ceil,
    cos,
    erf,
    exp,
    exp2,
    floor,
    fma,
    log,
    log2,
    maximum,
    minimum,
    mma,
    round,
    rsqrt,
    sigmoid,
    sin,
    sqrt,
    tanh,
    where,
)
from tilewright.frontend.language.memory import gather, load, rows, scatter, store
from tilewright.frontend.language.reductions import all, any, max, mean, min, prod, sum
from tilewright.frontend.language.tiles import arange, broadcast, full, ones, zeros

__all__ = [
    "Barrier",
    "Buffer",
    "InlineFunction",
    "Scalar",
    "Static",
    "Tensor",
    "Tile",
    "abs",
    "all",
    "any",
    "arange",
    "arrive",
    "assume",
    "atomic_add",
    "atomic_and",
    "atomic_exchange",
    "atomic_max",
    "atomic_min",
    "atomic_or",
    "barrier",
    "broadcast",
    "cdiv",
    "ceil",
    "check",
    "copy",
    "cos",
    "done",
    "erf",
    "exactly",
    "exp",
    "exp2",
    "floor",
    "fma",
    "full",
    "gather",
    "grid",
    "inline",
    "load",
    "log",
    "log2",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mma",
    "ones",
    "print",
    "prod",
    "range",
    "role",
    "round",
    "rows",
    "rsqrt",
    "scatter",
    "shared",
    "sigmoid",
    "signal",
    "sin",
    "sqrt",
    "static_range",
    "store",
    "sum",
    "tanh",
    "wait",
    "wait_signal",
    "where",
    "zeros",
]
