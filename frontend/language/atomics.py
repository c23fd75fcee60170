"""Atomics on global memory, and signals between blocks."""

from __future__ import annotations

from typing import Any

from tilewright.frontend.annotations import kernel_only


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
