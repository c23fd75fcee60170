"""The instruction set, one file per family; importing this package fills the registry."""

from tilewright.ir.instructions import (
    atomic,
    buffer,
    check,
    control,
    elementwise,
    matmul,
    memory,
    reduce,
    roles,
    scalar,
    shape,
    sync,
)

__all__ = [
    "atomic",
    "buffer",
    "check",
    "control",
    "elementwise",
    "matmul",
    "memory",
    "reduce",
    "roles",
    "scalar",
    "shape",
    "sync",
]
