"""What a launch asks for, checked before anything runs: extents, options, shared memory.

Whatever CUDA's `cuLaunchKernel` refuses is refused here too (limits: CUDA programming guide, table
of technical specifications, the same for sm_75 to sm_90 but for shared memory).
"""

from __future__ import annotations

import operator
from typing import Any

from tilewright.runtime.vm.faults import Fault
from tilewright.runtime.vm.program import Program
from tilewright.runtime.vm.records import Variable

Triple = tuple[int, int, int]

CHECKS = ("all", "off", "late", "early")
GRID_LIMITS = ((1 << 31) - 1, 65_535, 65_535)
BLOCK_LIMITS = (1024, 1024, 64)
THREADS = 1024
CLUSTER_BLOCKS = 16  # 8 without opting in
SHARED_LIMITS = {
    "sm_75": 65_536,
    "sm_80": 166_912,
    "sm_86": 101_376,
    "sm_89": 101_376,
    "sm_90": 232_448,
}
"""Bytes of shared memory that a block may have, by target (CUDA programming guide, 20.2)."""


def read_triple(value: Any, name: str) -> Triple:
    """One to three positive extents; an integer is one of them."""
    problem = f"{name}={value!r}: one to three positive integers, as (16, 2)"
    try:
        values = tuple(map(operator.index, value if hasattr(value, "__iter__") else (value,)))
    except TypeError:
        raise ValueError(problem) from None
    if not 1 <= len(values) <= 3 or any(v < 1 for v in values):
        raise ValueError(problem)
    x, y, z = (*values, 1, 1)[:3]
    return x, y, z


def check_options(ptx: Any, args: Any, shared: Any, seed: Any, checks: Any) -> None:
    """Raises for options that no launch can have."""
    if not isinstance(ptx, str):
        raise TypeError(f"ptx is the text of a PTX file, got {type(ptx).__name__}; decode it first")
    if not isinstance(args, (list, tuple)):
        raise TypeError(f"args is a list with one entry per parameter, got {type(args).__name__}")
    if checks not in CHECKS:
        raise ValueError(f"checks={checks!r}; choose one of {', '.join(CHECKS)}")
    for name, value in (("shared", shared), ("seed", seed)):
        if not hasattr(value, "__index__") or value < 0:
            raise ValueError(f"{name}={value!r}: an integer that is not negative")


def find_cluster(program: Program, cluster: Triple) -> Triple:
    """The launch's cluster; where the entry fixes one (`__cluster_dims__`), that."""
    fixed = program.entry.directives.get("reqnctapercluster")
    if not fixed:
        return cluster
    required = read_triple(fixed, "cluster")
    if cluster not in ((1, 1, 1), required):
        raise Fault("launch", f"the entry requires clusters of {required}, got {cluster}")
    return required


def check_shape(program: Program, grid: Triple, block: Triple, cluster: Triple) -> None:
    """Raises for a grid, block or cluster that hardware or the entry's directives refuse."""
    threads = _count(block)
    if threads > THREADS:
        raise Fault("launch", f"a block of {threads} threads; the limit is {THREADS:,}")
    for name, extents, limits in (("grid", grid, GRID_LIMITS), ("block", block, BLOCK_LIMITS)):
        if any(extent > limit for extent, limit in zip(extents, limits, strict=True)):
            raise Fault("launch", f"the {name} {extents} exceeds the limits {limits}")
    if _count(cluster) > CLUSTER_BLOCKS:
        raise Fault("launch", f"a cluster of {_count(cluster)} blocks; at most {CLUSTER_BLOCKS}")
    if any(g % c for g, c in zip(grid, cluster, strict=True)):
        raise Fault("launch", f"the grid {grid} is no multiple of the cluster {cluster}")
    directives = program.entry.directives
    required = directives.get("reqntid")
    if required and (*required, 1, 1)[:3] != block:
        raise Fault("launch", f"the entry requires blocks of {required}, got {block}")
    limit = directives.get("maxntid")
    if limit and threads > _count(limit):
        raise Fault(
            "launch", f"the entry allows blocks of at most {_count(limit)} threads, got {threads}"
        )


def check_shared(target: str, needed: int) -> None:
    """Raises where a block's shared memory exceeds the target's."""
    name = target.split(",")[0].rstrip("a")
    limit = SHARED_LIMITS.get(name, SHARED_LIMITS["sm_90"])
    if needed > limit:
        raise Fault(
            "launch", f"the block needs {needed} bytes of shared memory; {name} has {limit}"
        )


def check_count(params: tuple[Variable, ...], count: int) -> None:
    """Raises where arguments are missing or too many; names the parameters."""
    if count != len(params):
        names = ", ".join(
            f"{param.name.split('#')[0]} "
            + (f"({param.size} bytes)" if param.is_array else f"({param.type})")
            for param in params
        )
        raise Fault("launch", f"the entry takes {len(params)} arguments, got {count}: {names}")


def _count(extents: tuple[int, ...]) -> int:
    product = 1
    for extent in extents:
        product *= extent
    return product
