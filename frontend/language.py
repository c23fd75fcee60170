"""The language of kernels: every name that `import tilewright as tw` gives inside `@tw.kernel`.

Shapes are tuples of static ints, `scalar` means a block-uniform number, `tile` an immutable block
value. Where a function takes several tiles they broadcast as in NumPy and have one dtype; Python
numbers adapt to it. Capture (`frontend.capture`) gives the names their meaning; the bodies here
are empty.
"""

from __future__ import annotations

from typing import Any

from tilewright.frontend.annotations import (
    Barrier,
    Buffer,
    InlineFunction,
    Scalar,
    Static,
    Tensor,
    Tile,
    inline,
    kernel_only,
)

# Grid and loops


@kernel_only
def grid(*extents: Any, order: str = "row_major") -> Any:
    """One block per point of the grid: `i, j = tw.grid(m, n)` opens the rest of the kernel.

    Extents are scalars that the host can compute: sizes, scalar arguments, arithmetic on them. With
    one extent the index itself is returned. `order` says how points map to blocks: "row_major",
    "column_major", or "grouped" for reuse in the L2 cache.
    """


@kernel_only
def range(*bounds: Any, stages: Any = 1, unroll: int = 1) -> Any:
    """`for k in tw.range(stop | start, stop[, step])`: a loop of the kernel, with a step ≥ 1.

    `stages` is how many iterations may overlap, at most (`tw.exactly(n)`: an error if it does not
    fit); `unroll` is how many copies of the body one iteration holds.
    """


@kernel_only
def static_range(*bounds: int) -> Any:
    """Like Python's `range` on static bounds: the loop is unrolled while compiling."""


@kernel_only
def exactly(stages: int) -> Any:
    """`stages=tw.exactly(3)`: not fewer, even if that means an error."""


@kernel_only
def cdiv(x: Any, y: Any) -> Any:
    """⌈x / y⌉ of integers, x ≥ 0, y ≥ 1; static where both are."""


@kernel_only
def role(name: str, warps: int = 4, registers: int = 0) -> Any:
    """`with tw.role("load", warps=4, registers=40):` a body run by warps of its own.

    Blocks of `with tw.role` that follow each other run in parallel; tiles cross between them only
    through shared buffers. `registers` per lane (a multiple of 8, 24 … 256; in all roles or none)
    are moved between warpgroups, neighbours in one warpgroup have equal ones.
    """


# Global memory


@kernel_only
def load(tensor: Any, offsets: Any, shape: Any, other: Any = None, layout: Any = None) -> Any:
    """A tile of `shape` from `tensor` at `offsets`; zero (or `other`) outside of the view.

    One offset per axis of the tensor: a scalar, or a 1-D integer tile that gathers along its axis.
    `shape` may lack leading axes: these offsets are single places. `layout` is a register layout.
    """


@kernel_only
def store(tensor: Any, offsets: Any, value: Any) -> None:
    """Write the tile `value` (of the tensor's dtype) at `offsets`; nothing outside of the view.

    Offsets as in `load`; the tile may lack leading axes.
    """


@kernel_only
def gather(tensor: Any, index: Any, mask: Any = None, other: Any = None) -> Any:
    """result[i] = tensor[index[0][i], index[1][i], …]; zero (or `other`) outside or unmasked.

    `index` holds one integer tile or scalar per axis (broadcast together); `mask` is a bool tile.
    """


@kernel_only
def scatter(tensor: Any, index: Any, value: Any, mask: Any = None) -> None:
    """tensor[index[0][i], …] = value[i], where inside and masked; equal places, equal values."""


@kernel_only
def rows(tensor: Any, low: Any, high: Any) -> Any:
    """The view of rows low … high - 1 of `tensor`; bounds of loads and stores are the view's."""


@kernel_only
def atomic_add(
    tensor: Any, index: Any, value: Any, mask: Any = None, order: str = "relaxed"
) -> Any:
    """Indivisibly tensor[index] += value; gives the old values.

    `index` and `value` are as in `gather`. With scalars only it happens once per block.
    """


@kernel_only
def atomic_max(
    tensor: Any, index: Any, value: Any, mask: Any = None, order: str = "relaxed"
) -> Any:
    """Indivisibly tensor[index] = max(tensor[index], value); gives the old values."""


@kernel_only
def atomic_min(
    tensor: Any, index: Any, value: Any, mask: Any = None, order: str = "relaxed"
) -> Any:
    """Indivisibly tensor[index] = min(tensor[index], value); gives the old values."""


@kernel_only
def atomic_or(tensor: Any, index: Any, value: Any, mask: Any = None, order: str = "relaxed") -> Any:
    """Indivisibly tensor[index] |= value; gives the old values."""


@kernel_only
def atomic_and(
    tensor: Any, index: Any, value: Any, mask: Any = None, order: str = "relaxed"
) -> Any:
    """Indivisibly tensor[index] &= value; gives the old values."""


@kernel_only
def atomic_exchange(
    tensor: Any, index: Any, value: Any, mask: Any = None, order: str = "relaxed"
) -> Any:
    """Indivisibly tensor[index] = value; gives the old values."""


@kernel_only
def signal(tensor: Any, index: Any, value: Any = 1) -> None:
    """Add `value` to tensor[index] after all earlier writes of this block (release, device)."""


@kernel_only
def wait_signal(tensor: Any, index: Any, value: Any) -> None:
    """Wait until tensor[index] ≥ value; later reads see the signalling blocks' writes (acquire)."""


# Making tiles


@kernel_only
def zeros(shape: Any, dtype: Any, layout: Any = None) -> Any:
    """A tile of zeros."""


@kernel_only
def ones(shape: Any, dtype: Any, layout: Any = None) -> Any:
    """A tile of ones."""


@kernel_only
def full(shape: Any, value: Any, dtype: Any = None, layout: Any = None) -> Any:
    """A tile whose elements are all `value`, a number or scalar (cast to `dtype` if given)."""


@kernel_only
def arange(*bounds: Any, dtype: Any = None, layout: Any = None) -> Any:
    """The 1-D tile start … stop - 1 of i32 (or `dtype`): `tw.arange(stop | start, stop)`."""


@kernel_only
def broadcast(x: Any, shape: Any) -> Any:
    """`x` (tile, scalar or number) repeated to `shape`."""


# Arithmetic


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


# Reductions: the axis is dropped unless keep=True; over all axes (or the only one) the result is a
# block-uniform scalar.


@kernel_only
def sum(x: Any, axis: Any = None, keep: bool = False) -> Any:
    """The sum along `axis` (an int, a tuple, or None for all), in the tile's dtype."""


@kernel_only
def prod(x: Any, axis: Any = None, keep: bool = False) -> Any:
    """The product along `axis`."""


@kernel_only
def max(x: Any, axis: Any = None, keep: bool = False) -> Any:
    """The largest element along `axis`. (`tw.maximum` compares two tiles.)"""


@kernel_only
def min(x: Any, axis: Any = None, keep: bool = False) -> Any:
    """The smallest element along `axis`. (`tw.minimum` compares two tiles.)"""


@kernel_only
def mean(x: Any, axis: Any = None, keep: bool = False) -> Any:
    """The sum along `axis` divided by the number of elements; floats only."""


@kernel_only
def any(x: Any, axis: Any = None, keep: bool = False) -> Any:
    """Whether some element along `axis` of a bool tile holds."""


@kernel_only
def all(x: Any, axis: Any = None, keep: bool = False) -> Any:
    """Whether every element along `axis` of a bool tile holds."""


# Checks


@kernel_only
def print(text: str, *values: Any) -> None:
    """Print `text`, each `{}` in it replaced by the next of `values` (scalars or tiles)."""


@kernel_only
def check(condition: Any, text: str = "") -> None:
    """Stop the kernel with an error unless `condition` (bool; all of it, for a tile) holds."""


@kernel_only
def assume(fact: Any) -> None:
    """Promise that the bool scalar `fact` holds: bounds and masks that it proves away vanish."""


# The explicit level: shared memory, asynchronous copies, barriers


@kernel_only
def shared(shape: Any, dtype: Any, layout: Any = None) -> Any:
    """A buffer in shared memory, undefined until written; `layout` maps elements to addresses."""


@kernel_only
def copy(
    source: Any, offsets: Any, target: Any, path: Any = None, barrier: Any = None, slot: Any = None
) -> Any:
    """Start a copy between a tensor and a buffer; gives the token to `tw.wait` for.

    `tw.copy(tensor, offsets, buffer)` fills the buffer (0 outside of the view),
    `tw.copy(buffer, offsets, tensor)` writes the tensor. `path` is "cp_async", "tma" or "bulk".
    With `barrier` and `slot` ("tma", "bulk") its bytes complete the phase that expects them.
    """


@kernel_only
def done() -> Any:
    """A token that is complete: the first value of a token that a loop carries."""


@kernel_only
def barrier(size: int, count: int) -> Any:
    """`size` mbarriers, each of whose phases completes after `count` arrivals."""


@kernel_only
def arrive(barrier: Any, slot: Any = 0, arrivals: int = 1, expect: int = 0) -> None:
    """Arrive at barrier[slot]; `expect` more bytes of copies complete the phase."""


@kernel_only
def wait(*waited: Any) -> None:
    """Wait for tokens: `tw.wait(token, …)`; or for a barrier: `tw.wait(barrier, slot, parity)`."""


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
