"""Target IR → CUDA C++: templates only, one file per instruction family.

Importing this package fills the table of templates. `emitter` holds what templates write with.
"""

from tilewright.codegen.cuda import (
    atomic,
    buffer,
    casts,
    check,
    control,
    convert,
    copy,
    elementwise,
    gather,
    memory,
    mma,
    reduce,
    scalar,
    shape,
    sync,
    views,
)
from tilewright.codegen.cuda.emitter import CudaSource, Emitter, emit_cuda, emits

__all__ = [
    "CudaSource",
    "Emitter",
    "atomic",
    "buffer",
    "casts",
    "check",
    "control",
    "convert",
    "copy",
    "elementwise",
    "emit_cuda",
    "emits",
    "gather",
    "memory",
    "mma",
    "reduce",
    "scalar",
    "shape",
    "sync",
    "views",
]
