"""Reductions of tiles.

The axis is dropped unless keep=True; over all axes (or the only one) the result is a block-uniform
scalar.
"""

from __future__ import annotations

from typing import Any

from tilewright.frontend.annotations import kernel_only


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
