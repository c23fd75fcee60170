"""What a kernel says about itself: prints, checks, promises."""

from __future__ import annotations

from typing import Any

from tilewright.frontend.annotations import kernel_only


@kernel_only
def print(text: str, *values: Any) -> None:
    """Print `text`, each `{}` in it replaced by the next of `values` (scalars or tiles)."""


@kernel_only
def check(condition: Any, text: str = "") -> None:
    """Stop the kernel with an error unless `condition` (bool; all of it, for a tile) holds."""


@kernel_only
def assume(fact: Any) -> None:
    """Promise that the bool scalar `fact` holds: bounds and masks that it proves away vanish."""
