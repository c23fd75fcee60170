"""Code generation for the cpu target: a kernel in phase `tile` becomes one C++ translation unit.

`emit_cpu(kernel, isa)` gives `CppSource(text, entry, flags)`; `runtime.cxx.compile_cpp` builds it.
Fusion is decided in `plan`, loop nests are written by `nest` and `loops`, and each instruction
family has a file of its own. `prelude/` holds the C++ that generated code calls; the headers that a
kernel needs are copied into its text, so that the text is all that a build depends on.
"""

from tilewright.codegen.cpu.kernel import emit_cpu
from tilewright.codegen.cpu.source import CppSource

__all__ = ["CppSource", "emit_cpu"]
