"""What stands in a kernel's signature, and what a kernel's values can do.

The classes here are never instantiated: inside a kernel they are the vocabulary that capture reads
(`x.T`, `t.shape`, `buffer.load()`), outside they are annotations and documentation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tilewright.ir.diagnostics import LanguageError

F = TypeVar("F", bound=Callable[..., Any])


def kernel_only(function: F) -> F:
    """Mark a name of the language: capture gives it its meaning, calling it is an error."""

    @functools.wraps(function)
    def refuse(*_: object, **__: object) -> NoReturn:
        raise LanguageError(
            f"tw.{function.__qualname__} works only inside @tw.kernel",
            "kernels are read, not run: call it in a function decorated with @tw.kernel",
        )

    return refuse  # type: ignore[return-value]


@dataclass(frozen=True)
class InlineFunction:
    """A helper that is captured into its caller; see `inline`."""

    function: Callable[..., Any]

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise LanguageError(
            f"{self.function.__name__} is @tw.inline: it works only inside @tw.kernel",
            "kernels are read, not run: call it in a function decorated with @tw.kernel",
        )

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.function.__doc__


def inline(function: Callable[..., Any]) -> Any:
    """Make `function` a helper for kernels: its body is captured at each call, in its own scope.

    It takes and returns tiles, scalars, tensors, statics and tuples of them. It may be passed as a
    `Static` argument (an epilogue, a mask). It may not call itself.
    """
    return InlineFunction(function)


class Tile:
    """An immutable block value: a shape of static extents, one dtype, one number per coordinate.

    Operators work elementwise and broadcast as in NumPy (`+ - * / // % ** & | ^ ~ << >>` and
    comparisons); both sides have one dtype, Python numbers adapt to it. `x[:, None]`, `x[0:16, :]`
    and `x[..., 3]` are static slices.
    """

    @property
    @kernel_only
    def shape(self) -> Any:
        """The static extents."""

    @property
    @kernel_only
    def dtype(self) -> Any:
        """The dtype of the elements."""

    @property
    @kernel_only
    def rank(self) -> Any:
        """The number of axes."""

    @property
    @kernel_only
    def T(self) -> Any:
        """The tile with its last two axes exchanged."""

    @kernel_only
    def cast(self, dtype: Any) -> Any:
        """The values in another dtype: rounded and saturated by the type's defaults."""

    @kernel_only
    def reshape(self, *shape: Any) -> Any:
        """The same elements in row-major order; one extent may be -1."""

    @kernel_only
    def transpose(self, *axes: Any) -> Any:
        """The tile with its axes permuted; without `axes`, reversed."""

    @kernel_only
    def broadcast(self, *shape: Any) -> Any:
        """The tile repeated along new leading axes and axes of extent 1."""

    @kernel_only
    def sum(self, axis: Any = None, keep: bool = False) -> Any:
        """See `tw.sum`."""

    @kernel_only
    def prod(self, axis: Any = None, keep: bool = False) -> Any:
        """See `tw.prod`."""

    @kernel_only
    def max(self, axis: Any = None, keep: bool = False) -> Any:
        """See `tw.max`."""

    @kernel_only
    def min(self, axis: Any = None, keep: bool = False) -> Any:
        """See `tw.min`."""

    @kernel_only
    def mean(self, axis: Any = None, keep: bool = False) -> Any:
        """See `tw.mean`."""

    @kernel_only
    def any(self, axis: Any = None, keep: bool = False) -> Any:
        """See `tw.any`."""

    @kernel_only
    def all(self, axis: Any = None, keep: bool = False) -> Any:
        """See `tw.all`."""

    @kernel_only
    def item(self) -> Any:
        """The single element, as a block-uniform scalar."""

    @kernel_only
    def view(self, dtype: Any, layout: Any) -> Any:
        """The same bits in the same lanes, read as another dtype in another layout."""

    @kernel_only
    def convert(self, layout: Any) -> Any:
        """The same values in another register layout."""


class Tensor:
    """A tensor argument in global memory, or a view of one.

    `t[i, j]` is a block-uniform scalar, `t[b]` a view of one rank less, `t[low:high]` a view of
    rows, `t[i, j] = scalar` writes once per block. Tiles move by `tw.load` and `tw.store`.
    """

    @property
    @kernel_only
    def shape(self) -> Any:
        """One scalar per axis; a Python int where the launch is specialized to extent 1."""

    @property
    @kernel_only
    def dtype(self) -> Any:
        """The dtype of the elements."""

    @property
    @kernel_only
    def rank(self) -> Any:
        """The number of axes."""

    @kernel_only
    def stride(self, axis: int) -> Any:
        """Elements between neighbours along `axis`; an int where the launch fixes it (0 or 1)."""


class Buffer:
    """Shared memory of `tw.shared`; `b[i]` is a stage, `b[0:16, :]` a part. Both alias it."""

    @property
    @kernel_only
    def shape(self) -> Any:
        """The static extents."""

    @property
    @kernel_only
    def dtype(self) -> Any:
        """The dtype of the elements."""

    @property
    @kernel_only
    def rank(self) -> Any:
        """The number of axes."""

    @property
    @kernel_only
    def T(self) -> Any:
        """The buffer with its last two axes exchanged; it aliases."""

    @kernel_only
    def load(self) -> Any:
        """The buffer's elements as a tile."""

    @kernel_only
    def store(self, value: Any) -> None:
        """Write a tile of the buffer's shape and dtype."""


class Barrier:
    """An array of mbarriers of `tw.barrier`."""

    @kernel_only
    def arrive(self, slot: Any = 0, arrivals: int = 1, expect: int = 0) -> None:
        """See `tw.arrive`."""

    @kernel_only
    def wait(self, slot: Any, parity: Any) -> None:
        """Wait until the phase of `slot` with this parity has completed."""


if TYPE_CHECKING:
    Scalar = Any
    Static = Any
else:

    class Scalar:
        """A number argument (i32, i64, f32), equal in the whole block, unknown while compiling."""

        @property
        @kernel_only
        def shape(self) -> Any:
            """()"""

        @property
        @kernel_only
        def dtype(self) -> Any:
            """The dtype of the number."""

        @kernel_only
        def cast(self, dtype: Any) -> Any:
            """The number in another dtype."""

        @kernel_only
        def item(self) -> Any:
            """The number itself."""

    class Static:
        """An argument that is compiled in: a number, dtype, string, None, or `@tw.inline` function.

        Tuples and frozen dataclasses of these are static, too.
        """
