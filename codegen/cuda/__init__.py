"""Target IR → CUDA C++: templates only, one file per instruction family.

Importing this package fills the table of templates. `emitter` holds what templates write with.
"""

from tilewright.codegen.cuda import (
    atomic,
    casts,
    check,
    control,
    convert,
    elementwise,
    gather,
    memory,
    reduce,
    scalar,
    shape,
    views,
)
from tilewright.codegen.cuda.emitter import CudaSource, Emitter, emit_cuda, emits

__all__ = [
    "CudaSource",
    "Emitter",
    "atomic",
    "casts",
    "check",
    "control",
    "convert",
    "elementwise",
    "emit_cuda",
    "emits",
    "gather",
    "memory",
    "reduce",
    "scalar",
    "shape",
    "views",
]
