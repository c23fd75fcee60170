"""The grid, loops, and roles: who does what, how often."""

from __future__ import annotations

from typing import Any

from tilewright.frontend.annotations import kernel_only


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
