"""Making tiles."""

from __future__ import annotations

from typing import Any

from tilewright.frontend.annotations import kernel_only


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
