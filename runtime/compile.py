"""A tile kernel → a program for one target, with everything that was made on the way.

`compile_kernel` goes the whole path: passes, source text, binary. What it returns keeps the kernel
after each pass, the generated source, the assembler's report and the time of each stage, so that
`inspect` and the benchmarks only read.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tilewright.codegen.cpu import emit_cpu
from tilewright.codegen.cuda import emit_cuda
from tilewright.codegen.cuda.lines import pin_lines
from tilewright.codegen.parameters import Parameter, list_parameters
from tilewright.ir.kernel import Kernel
from tilewright.ir.packings import PACKINGS
from tilewright.ir.targets import default_device, find_device, find_target
from tilewright.passes.order import passes_for
from tilewright.passes.runner import Context, Trace, run_passes
from tilewright.runtime.cxx import compile_cpp
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.grid import Grid, compile_grid
from tilewright.runtime.isa import best_isa, request_amx
from tilewright.runtime.nvrtc import CudaBinary, compile_cuda
from tilewright.runtime.programs import (
    CpuProgram,
    CudaProgram,
    InterpretProgram,
    Program,
    VmProgram,
)
from tilewright.runtime.resources import Resources

TARGETS = ("cpu", "sm_80", "sm_90a")
WAYS = (*TARGETS, "vm:sm_80", "vm:sm_90a", "interpret")
NVRTC_OPTIONS = ("--fmad=false",)
"""Products and sums round separately unless the kernel says fma: as the interpreter does."""


@dataclass
class Compiled:
    """One kernel, compiled for one way of running it."""

    tile: Kernel
    target: str
    program: Program
    parameters: tuple[Parameter, ...]
    grid: Grid
    trace: Trace = field(default_factory=Trace)
    final: Kernel | None = None
    source: str | None = None
    entry: str = ""
    binary: CudaBinary | None = None
    shared: int = 0
    threads: int = 0
    files: dict[str, str] = field(default_factory=dict)  # in line tables → the user's source
    seconds: dict[str, float] = field(default_factory=dict)

    def launch(self, arguments: Sequence[Any]) -> Any:
        """Run on `arguments` (tensors and numbers, one per parameter of the tile kernel).

        Unchecked: they must be of the classes that the kernel was compiled for.
        """
        shapes = [tuple(getattr(a, "shape", ())) for a in arguments]
        strides = [tuple(a.stride()) if hasattr(a, "stride") else () for a in arguments]
        blocks = self.grid(shapes, strides, arguments)
        tensors = {i: a for i, a in enumerate(arguments) if hasattr(a, "data_ptr")}
        if blocks == 0:
            return None
        words = list_words(self.parameters, shapes, strides, arguments)
        return self.program.launch(blocks, words, tensors)

    @property
    def resources(self) -> Resources | None:
        """The assembler's report, on a CUDA target."""
        return None if self.binary is None else self.binary.resources[self.entry]


def list_words(
    parameters: Sequence[Parameter],
    shapes: Sequence[tuple[int, ...]],
    strides: Sequence[tuple[int, ...]],
    arguments: Sequence[Any],
) -> list[Any]:
    """The machine words of one launch, in order."""
    words: list[Any] = []
    for parameter in parameters:
        value = arguments[parameter.argument]
        match parameter.kind:
            case "pointer":
                words.append(value.data_ptr())
            case "extent":
                words.append(shapes[parameter.argument][parameter.axis])
            case "stride":
                words.append(strides[parameter.argument][parameter.axis])
            case "scalar":
                words.append(value)
    return words


def check_way(way: str) -> None:
    """Raise LaunchError listing what there is unless `way` names a target or virtual machine."""
    if way not in WAYS:
        raise LaunchError(f"unknown target {way!r}", f"choose one of {', '.join(WAYS)}")


def compile_kernel(
    tile: Kernel,
    way: str,
    *,
    device: str | None = None,
    config: Mapping[str, Any] | None = None,
    check: bool = False,
) -> Compiled:
    """Compile `tile` for `way` ("cpu", "sm_90a", "vm:sm_80", "interpret").

    `device` names the device record whose limits hold (default: the target's first), `config` the
    reserved names (`warps`, `stages`, …), `check` verifies after each pass.
    """
    check_way(way)
    if way == "interpret":
        program = InterpretProgram(tile)
        return Compiled(tile, way, program, list_parameters(tile), compile_grid(tile))
    name = way.removeprefix("vm:")
    target = find_target(name)
    _check_packings(tile, target.family)
    record = find_device(device) if device else default_device(target)
    context = Context(target, record, dict(config or {}))
    trace = Trace()
    start = time.perf_counter()
    final = run_passes(tile, passes_for(context.target), context, check=check, trace=trace)
    passed = time.perf_counter()
    made = Compiled(
        tile,
        way,
        InterpretProgram(tile),
        list_parameters(tile),
        compile_grid(tile),
        trace,
        final,
        seconds={"passes": passed - start},
    )
    build = _build_cpu if name == "cpu" else _build_cuda
    return build(made, final, context, passed)


def _check_packings(tile: Kernel, family: str) -> None:
    """Raise LaunchError for packed weights that kernels of `family` do not read."""
    for param in tile.params:
        packing = getattr(param.type, "packing", None)
        if packing is not None and PACKINGS[packing].family != family:
            raise LaunchError(
                f"argument {param.name} is packed as {packing}, which targets of family {family} "
                "do not read",
                f"pass it dense along K, or run on {PACKINGS[packing].family}",
            )


def _build_cpu(made: Compiled, final: Kernel, context: Context, start: float) -> Compiled:
    isa = best_isa(amx=request_amx())
    source = emit_cpu(final, isa)
    emitted = time.perf_counter()
    library = compile_cpp(source.text, name=final.name, isa=isa, flags=source.flags).load()
    codes = tuple(_code(p) for p in made.parameters)
    made.seconds |= {"codegen": emitted - start, "build": time.perf_counter() - emitted}
    return replace(
        made,
        program=CpuProgram(find_entry(library, source.entry), codes),
        source=source.text,
        entry=source.entry,
    )


def find_entry(library: ctypes.CDLL, name: str) -> Any:
    """The function `name`: (words, blocks, threads) → the text of a failure, or null."""
    function = library[name]  # by item: each has its own signature
    function.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int]
    function.restype = ctypes.c_char_p
    return function


def _build_cuda(made: Compiled, final: Kernel, context: Context, start: float) -> Compiled:
    source = emit_cuda(final, context.target)
    emitted = time.perf_counter()
    arch = context.target.name
    name = f"/{source.entry}.cu"
    text = pin_lines(source.text, name)
    binary = compile_cuda(text, arch=arch, name=name, options=NVRTC_OPTIONS)
    made.seconds |= {"codegen": emitted - start, "build": time.perf_counter() - emitted}
    codes = tuple(_code(p) for p in made.parameters)
    shared = source.shared_bytes
    program: Program
    if made.target.startswith("vm:"):
        program = VmProgram(binary, source.entry, made.parameters, source.threads, shared)
    else:
        program = CudaProgram(binary, source.entry, codes, source.threads, shared)
    return replace(
        made,
        program=program,
        source=source.text,
        entry=source.entry,
        binary=binary,
        shared=shared,
        threads=source.threads,
        files=dict(source.files),
    )


def _code(parameter: Parameter) -> str:
    match parameter.kind:
        case "pointer":
            return "P"
        case "extent" | "stride":
            return "q"
        case "scalar":
            return {"f32": "f", "i32": "i", "i64": "q", "bool": "?"}[parameter.dtype.name]
