"""Runs a kernel given as IR text on the cpu target and by the interpreter, on the same memory."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tilewright.codegen.cpu import emit_cpu
from tilewright.codegen.parameters import list_parameters
from tilewright.ir.interpreter import interpret
from tilewright.ir.kernel import Kernel
from tilewright.ir.memory import TensorView
from tilewright.ir.numeric import Array, numpy_class, poison
from tilewright.ir.packing import pack_bits, unpack_bits
from tilewright.ir.parser import parse_kernel
from tilewright.ir.types import DType, parse_dtype
from tilewright.ir.verifier import verify
from tilewright.runtime.cxx import compile_cpp
from tilewright.runtime.isa import cpu_features, find_isas, request_amx

FOUND = [isa for isa in find_isas(cpu_features()) if isa != "amx" or request_amx()]
ISAS = list(dict.fromkeys(["avx2", FOUND[0]])) if "avx2" in FOUND else FOUND


@dataclass
class Memory:
    """A tensor argument: its codes in memory (bytes of rows for less than 8 bits) and its shape."""

    dtype: DType
    codes: Array
    shape: tuple[int, ...]

    @property
    def pointer(self) -> int:
        return int(self.codes.__array_interface__["data"][0])

    @property
    def strides(self) -> list[int]:
        if self.dtype.bits < 8:
            return [*self.codes.strides[:-1], 1]
        return [s // self.codes.itemsize for s in self.codes.strides]

    def values(self) -> Array:
        """What the memory means."""
        codes = self.codes
        if self.dtype.bits < 8:
            codes = unpack_bits(codes, self.dtype.bits, self.shape[-1])
        return np.array(self.dtype.decode(np.array(codes)), numpy_class(self.dtype))


def memory(values: Array, name: str, form: str = "row") -> Memory:
    """Memory that holds `values` row-major, column-major ("column") or with gaps ("strided")."""
    dtype = parse_dtype(name)
    codes = np.asarray(dtype.encode(np.asarray(values)))
    if dtype.bits < 8:
        return Memory(dtype, pack_bits(codes, dtype.bits), codes.shape)
    if form == "column":
        codes = np.ascontiguousarray(codes.T).T
    elif form == "strided":
        wide = np.zeros([2 * e for e in codes.shape], codes.dtype)
        view = wide[tuple(slice(None, None, 2) for _ in codes.shape)]
        view[...] = codes
        codes = view
    else:
        codes = np.array(codes, order="C")
    return Memory(dtype, codes, codes.shape)


def output(shape: tuple[int, ...], name: str, form: str = "row") -> Memory:
    """Poisoned memory."""
    dtype = parse_dtype(name)
    if dtype.is_integer or dtype.is_float or dtype.kind == "bool":
        return memory(poison(shape, dtype), name, form)
    return memory(np.full(shape, dtype.max), name, form)


def parse(text: str) -> Kernel:
    """The kernel, verified."""
    kernel = parse_kernel(text)
    verify(kernel)
    return kernel


Entry = tuple[object, Kernel]


@functools.cache
def build(text: str, isa: str) -> Entry:
    """The loaded function and the kernel."""
    kernel = parse(text)
    source = emit_cpu(kernel, isa)
    library = compile_cpp(source.text, name=kernel.name, isa=isa, flags=source.flags).load()
    function = getattr(library, source.entry)
    function.restype = ctypes.c_char_p
    return function, kernel


def pack_words(kernel: Kernel, args: Sequence[Memory | float]) -> list[int]:
    """The words of a launch."""
    words = []
    for parameter in list_parameters(kernel):
        arg = args[parameter.argument]
        if isinstance(arg, Memory):
            words.append(
                {
                    "pointer": lambda arg=arg, axis=0: arg.pointer,
                    "extent": lambda arg=arg, axis=parameter.axis: arg.shape[axis],
                    "stride": lambda arg=arg, axis=parameter.axis: arg.strides[axis],
                }[parameter.kind]()
            )
        elif parameter.dtype.name == "f32":
            words.append(int(np.float32(arg).view(np.uint32)))
        else:
            words.append(int(arg))
    return words


def run_cpu(text: str, args: Sequence[Memory | float], isa: str, threads: int = 2) -> str | None:
    """Launch; gives the text of a failed check."""
    function, kernel = build(text, isa)
    words = pack_words(kernel, args)
    packed = (ctypes.c_int64 * len(words))(*words)
    found = function(packed, ctypes.c_int64(0), ctypes.c_int(threads))  # type: ignore[operator]
    return found.decode() if found else None


def run_interpreter(text: str, args: Sequence[Memory | float]) -> list[Array]:
    """The values of all tensors afterwards, as the instructions' meanings say."""
    kernel = parse(text)
    views = [TensorView(a.values(), a.dtype) if isinstance(a, Memory) else a for a in args]
    interpret(kernel, views)
    return [v.values for v in views if isinstance(v, TensorView)]


def check_equal(
    text: str,
    args: Sequence[Memory | float],
    isa: str,
    *,
    relative: float = 0.0,
    absolute: float = 0.0,
) -> list[Array]:
    """Both agree: bit for bit, or within relative · |expected| + absolute."""
    expected = run_interpreter(text, args)
    failed = run_cpu(text, args, isa)
    assert failed is None, failed
    found = [a.values() for a in args if isinstance(a, Memory)]
    for left, right in zip(found, expected, strict=True):
        if relative == absolute == 0.0:
            np.testing.assert_array_equal(left, right)
        else:
            np.testing.assert_allclose(left, right, rtol=relative, atol=absolute)
    return found
