"""Global memory: tiles in and out of tensors, views of them."""

from __future__ import annotations

from typing import Any

from tilewright.frontend.annotations import kernel_only


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
