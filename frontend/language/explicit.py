"""The explicit level: shared memory, asynchronous copies, barriers."""

from __future__ import annotations

from typing import Any

from tilewright.frontend.annotations import kernel_only


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
