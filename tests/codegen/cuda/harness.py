"""Runs a kernel by its meaning and as CUDA on the virtual machine, and compares memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tilewright.codegen.cuda import CudaSource, emit_cuda
from tilewright.codegen.parameters import list_parameters
from tilewright.ir.instructions.control import ForTiles
from tilewright.ir.interpreter import Machine, interpret
from tilewright.ir.kernel import Kernel
from tilewright.ir.memory import TensorView
from tilewright.ir.numeric import numpy_class
from tilewright.ir.packing import pack_bits, unpack_bits
from tilewright.ir.parser import parse_kernel
from tilewright.ir.targets.cuda import SM_80
from tilewright.ir.targets.devices import DEVICES
from tilewright.ir.targets.record import Target
from tilewright.ir.types import DType, parse_dtype
from tilewright.ir.values import TensorType
from tilewright.ir.verifier import verify
from tilewright.passes.order import passes_for
from tilewright.passes.runner import Context, run_passes
from tilewright.runtime.nvrtc import compile_cuda
from tilewright.runtime.vm import Report, run


@dataclass
class Tensor:
    """A tensor argument: decoded values; `pitch` more elements (or bytes) separate its rows."""

    dtype: DType
    values: Any
    pitch: int = 0
    memory: Any = field(init=False, default=None)
    strides: tuple[int, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        self.values = np.asarray(self.values, numpy_class(self.dtype))

    def view(self) -> TensorView:
        return TensorView(self.values.copy(), self.dtype)

    def place(self) -> None:
        """Lay the codes out in memory, rows `pitch` further apart than they are long."""
        overflow = "infinity" if self.dtype.has_infinity else "default"
        codes = np.asarray(self.dtype.encode(self.values, overflow=overflow))
        if self.dtype.bits < 8:
            codes = pack_bits(codes, self.dtype.bits)
        padded = np.zeros((*codes.shape[:-1], codes.shape[-1] + self.pitch), codes.dtype)
        padded[..., : codes.shape[-1]] = codes
        self.memory = padded
        self.strides = tuple(s // padded.itemsize for s in padded.strides)

    def read(self) -> Any:
        """The decoded values that memory holds now."""
        width = self.values.shape[-1]
        if self.dtype.bits < 8:
            end = -(-width * self.dtype.bits // 8)
            codes = unpack_bits(
                np.ascontiguousarray(self.memory[..., :end]), self.dtype.bits, width
            )
        else:
            codes = np.ascontiguousarray(self.memory[..., :width])
        return self.dtype.decode(codes)


def context(warps: int | None = None, target: Target = SM_80) -> Context:
    config = {} if warps is None else {"warps": warps}
    return Context(target, DEVICES["A100"], config)


def lower(text: str | Kernel, warps: int | None = None, target: Target = SM_80) -> Kernel:
    """A kernel in text through all CUDA passes, verified after each."""
    kernel = parse_kernel(text) if isinstance(text, str) else text
    verify(kernel)
    return run_passes(kernel, passes_for(target), context(warps, target), check=True)


def compile_kernel(kernel: Kernel, target: Target = SM_80) -> tuple[CudaSource, str]:
    """The CUDA source and the PTX of a lowered kernel."""
    source = emit_cuda(kernel, target)
    binary = compile_cuda(
        source.text, arch=target.name, name=f"/{source.entry}.cu", options=source.options
    )
    return source, binary.ptx


def run_both(
    text: str | Kernel,
    args: Sequence[Any],
    *,
    warps: int | None = None,
    target: Target = SM_80,
    tolerance: float = 0.0,
    relative: float = 0.0,
) -> Report:
    """Interpret `text` and run its CUDA; every tensor must hold the same, NaN included."""
    kernel = parse_kernel(text) if isinstance(text, str) else text
    expected = [a.view() if isinstance(a, Tensor) else a for a in args]
    grid = count_tiles(kernel, expected)
    interpret(kernel, expected)
    lowered = lower(kernel, warps, target)
    source, ptx = compile_kernel(lowered, target)
    for arg in args:
        if isinstance(arg, Tensor):
            arg.place()
    report = run(
        ptx, source.entry, grid, source.threads, pack(lowered, args), shared=source.shared_bytes
    )
    for param, arg, view in zip(kernel.params, args, expected, strict=True):
        if isinstance(arg, Tensor):
            compare(arg.read(), view.values, tolerance, relative, f"{param.name}: {arg.dtype}")
    return report


def compare(found: Any, wanted: Any, tolerance: float, relative: float, name: str) -> None:
    if tolerance == 0.0 and relative == 0.0:
        np.testing.assert_array_equal(found, wanted, err_msg=name)
    else:
        np.testing.assert_allclose(found, wanted, rtol=relative, atol=tolerance, err_msg=name)


def pack(kernel: Kernel, args: Sequence[Any]) -> list[Any]:
    """The machine words of a launch."""
    words: list[Any] = []
    for word in list_parameters(kernel):
        arg = args[word.argument]
        match word.kind:
            case "pointer":
                words.append(arg.memory)
            case "extent":
                words.append(arg.values.shape[word.axis])
            case "stride":
                words.append(arg.strides[word.axis])
            case "scalar" if word.dtype.is_float and word.dtype.bits < 32:
                words.append(int(word.dtype.encode(np.asarray(float(arg)))))
            case "scalar":
                words.append(arg)
    return words


def count_tiles(kernel: Kernel, args: Sequence[Any]) -> int:
    """How many blocks a launch has: the product of the grid's extents, at least one."""
    machine = Machine()
    machine.environment.update(
        (p, a if isinstance(a, TensorView) else np.asarray(a))
        for p, a in zip(kernel.params, args, strict=True)
    )
    for item in kernel.body.instructions:
        if isinstance(item, ForTiles):
            return max(1, int(np.prod([int(machine.environment[v]) for v in item.extents])))
        for _ in machine.step(item):
            pass
    return 1


def tensor_text(
    name: str, dtype: str, strides: Sequence[str] = ("1",), *, aligned: bool = False
) -> str:
    """The declaration of a tensor parameter whose extents are unknown."""
    kind = TensorType(parse_dtype(dtype), tuple(strides), ("any",) * len(strides), aligned)  # type: ignore[arg-type]
    extents = ", ".join("any" for _ in kind.strides)
    tail = ", aligned" if aligned else ""
    return f"%{name}: tensor<{dtype}, strides=[{', '.join(strides)}], extents=[{extents}]{tail}>"
