"""Compiled kernels, one class per way to run them, all launched the same way.

`launch(blocks, words, tensors)` runs `blocks` blocks. `words` are the machine words of
`codegen.parameters`, in order; `tensors` the tensor arguments by index, for the ways that need more
than their address.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from tilewright.codegen.parameters import Parameter, list_parameters
from tilewright.ir.interpreter import interpret
from tilewright.ir.kernel import Kernel
from tilewright.ir.memory import TensorView
from tilewright.ir.numeric import numpy_class
from tilewright.ir.packing import pack_bits, unpack_bits
from tilewright.ir.packings import PACKINGS
from tilewright.ir.types import DType
from tilewright.runtime import vm
from tilewright.runtime.bindings import torch
from tilewright.runtime.cuda import CudaKernel
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.nvrtc import CudaBinary
from tilewright.runtime.overlap import find_written
from tilewright.runtime.tensors import PackedTensor, byte_span, dtype_of, storage_of

Word = int | float


class Program(Protocol):
    """One compiled kernel on one target."""

    def launch(self, blocks: int, words: Sequence[Word], tensors: Mapping[int, Any]) -> object:
        """Run it; what comes back is the target's report, if it makes one."""


@dataclass(frozen=True)
class CpuProgram:
    """A function of a shared library: `entry(words, blocks, threads)` runs the whole grid.

    It returns the text of a failed `tw.check`, or null.
    """

    function: Any
    codes: tuple[str, ...]

    def launch(self, blocks: int, words: Sequence[Word], tensors: Mapping[int, Any]) -> None:
        self.run(self.pack(words), blocks)

    def pack(self, words: Sequence[Word]) -> Any:
        """The words as an array in memory."""
        return (ctypes.c_int64 * len(words))(
            *(float_bits(w) if c == "f" else int(w) for c, w in zip(self.codes, words, strict=True))
        )

    def run(self, packed: Any, blocks: int) -> None:
        """Run it on words from `pack`."""
        failure = self.function(packed, blocks, torch().get_num_threads())
        if failure:
            raise LaunchError(f"the kernel stopped: {failure.decode()}")


def float_bits(value: float) -> int:
    """The bits of `value` as f32."""
    return int(np.float32(value).view(np.uint32))


@dataclass
class CudaProgram:
    """A cubin, loaded once per GPU at its first launch there."""

    binary: CudaBinary
    entry: str
    codes: tuple[str, ...]
    threads: int
    shared: int
    loaded: dict[int, CudaKernel] = field(default_factory=dict)

    def launch(self, blocks: int, words: Sequence[Word], tensors: Mapping[int, Any]) -> None:
        ordinal = next(iter(tensors.values())).device.index or 0
        kernel = self.loaded.get(ordinal)
        if kernel is None:
            kernel = self.loaded[ordinal] = CudaKernel(
                self.binary,
                self.entry,
                self.codes,
                threads=self.threads,
                shared=self.shared,
                device=ordinal,
            )
        kernel.launch((blocks, 1, 1), words)


@dataclass(frozen=True)
class VmProgram:
    """PTX on the virtual machine; `launch` returns its report."""

    binary: CudaBinary
    entry: str
    parameters: tuple[Parameter, ...]
    threads: int
    shared: int
    checks: str = "all"
    seed: int = 0

    def launch(self, blocks: int, words: Sequence[Word], tensors: Mapping[int, Any]) -> Any:
        memory = {argument: span_of(tensor) for argument, tensor in tensors.items()}
        args = [
            memory[p.argument] if p.kind == "pointer" else w
            for p, w in zip(self.parameters, words, strict=True)
        ]
        try:
            report = vm.run(
                self.binary.ptx,
                self.entry,
                (blocks, 1, 1),
                (self.threads, 1, 1),
                args,
                shared=self.shared,
                seed=self.seed,
                checks=self.checks,
            )
        except vm.Fault as fault:
            if fault.kind != "assert":
                raise
            raise LaunchError(f"the kernel stopped: {fault}") from fault
        except MemoryError:
            size = sum(span.nbytes for span in memory.values())
            raise LaunchError(
                f"the virtual machine has no memory to watch tensors that span {size:,} bytes",
                "launch on a part of them",
            ) from None
        report.resources = self.binary.resources[self.entry]
        print("".join(report.output), end="")
        return report


def span_of(tensor: Any) -> Any:
    """The memory of `tensor` as one flat array of bytes that aliases it (at least one byte)."""
    library = torch()
    storage = storage_of(tensor)
    if storage.device.type != "cpu":
        raise TypeError("the virtual machine reads CPU tensors")
    length = byte_span(tensor)
    if length == 0:
        return library.zeros(1, dtype=library.uint8).numpy()
    whole = library.empty(0, dtype=library.uint8).set_(storage.untyped_storage())
    start = storage.storage_offset() * storage.element_size()
    return whole[start : start + length].numpy()


@dataclass(frozen=True)
class InterpretProgram:
    """The tile kernel by the meaning of its instructions: slow, and the definition."""

    kernel: Kernel

    def launch(self, blocks: int, words: Sequence[Word], tensors: Mapping[int, Any]) -> None:
        views = {argument: _view(tensor) for argument, tensor in tensors.items()}
        kinds = [p.kind for p in list_parameters(self.kernel)]
        scalars = (word for word, kind in zip(words, kinds, strict=True) if kind == "scalar")
        args = [
            views[i] if i in views else np.asarray(next(scalars))
            for i, _ in enumerate(self.kernel.params)
        ]
        interpret(self.kernel, args)
        for argument in find_written(self.kernel):
            _write_back(tensors[argument], views[argument])


def _view(tensor: Any) -> TensorView:
    dtype = dtype_of(tensor)
    codes = codes_from(tensor, dtype)
    return TensorView(np.array(dtype.decode(codes), numpy_class(dtype)), dtype)


def codes_from(tensor: Any, dtype: DType) -> Any:
    """The codes of a CPU tensor's elements, in its logical shape."""
    storage = storage_of(tensor).detach()
    if getattr(tensor, "packing", None) is not None:
        rows, columns = tensor.shape
        return PACKINGS[tensor.packing].unpack(storage.numpy(), rows, columns, dtype.bits)
    if dtype.bits < 8:
        return unpack_bits(storage.numpy(), dtype.bits, tensor.shape[-1])
    if isinstance(tensor, PackedTensor):
        return storage.contiguous().numpy().view(dtype.container).reshape(tensor.shape)
    signed = {1: "int8", 2: "int16", 4: "int32", 8: "int64"}[storage.element_size()]
    return storage.contiguous().view(getattr(torch(), signed)).numpy().view(dtype.container)


def _write_back(tensor: Any, view: TensorView) -> None:
    library = torch()
    storage = storage_of(tensor).detach()
    codes = np.ascontiguousarray(view.dtype.encode(view.values))
    if view.dtype.bits < 8:
        storage.copy_(library.from_numpy(pack_bits(codes, view.dtype.bits)))
        return
    signed = codes.view(f"i{codes.itemsize}")
    found = library.from_numpy(signed)
    if isinstance(tensor, PackedTensor):
        storage.copy_(found.view(library.uint8).reshape(storage.shape))
    else:
        storage.copy_(found.view(storage.dtype))
