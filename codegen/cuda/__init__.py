"""Target IR → CUDA C++: templates only, one file per instruction family.

Importing this package fills the table of templates. `emitter` holds what templates write with.
"""

from tilewright.codegen.cuda import (
    control,
    elementwise,
    memory,
    scalar,
    shape,
)
from tilewright.codegen.cuda.emitter import CudaSource, Emitter, emit_cuda, emits

__all__ = [
    "CudaSource",
    "Emitter",
    "control",
    "elementwise",
    "emit_cuda",
    "emits",
    "memory",
    "scalar",
    "shape",
]
