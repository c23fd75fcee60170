"""Runs PTX on a GPU with the arguments of `vm.run`: arrays are copied there and back."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch

from tilewright.runtime.bindings import checked, driver
from tilewright.runtime.vm.arguments import _encode_number, _is_array, _span
from tilewright.runtime.vm.parser import parse
from tilewright.runtime.vm.tensor_map import KINDS, Descriptor, TensorMap

ALIGN = 256
DEFAULT_SHARED = 48 << 10
"""Bytes of shared memory that a block may have without asking."""


@dataclass(frozen=True)
class Finished:
    """What a GPU says of a run: nothing but that it has ended."""

    races: list[Any] = field(default_factory=list)
    warnings: list[Any] = field(default_factory=list)


@dataclass
class Copy:
    """A range of host memory and its copy on the GPU, equally aligned."""

    start: int
    size: int
    writable: bool
    memory: torch.Tensor

    @property
    def address(self) -> int:
        """The GPU's address of the first byte."""
        return int(self.memory.data_ptr())

    @classmethod
    def of(cls, start: int, size: int, writable: bool) -> Copy:
        room = torch.empty(size + 2 * ALIGN, dtype=torch.uint8, device="cuda")
        first = (start - room.data_ptr()) % ALIGN
        memory = room[first : first + size]
        memory.copy_(torch.from_numpy(_bytes_at(start, size).copy()))
        return cls(start, size, writable, memory)

    def bring_back(self) -> None:
        if self.writable:
            _bytes_at(self.start, self.size)[:] = self.memory.cpu().numpy()


def _bytes_at(start: int, size: int) -> np.ndarray[Any, Any]:
    if not size:
        return np.empty(0, np.uint8)
    return np.frombuffer(memoryview((ctypes.c_uint8 * size).from_address(start)), np.uint8)


def run(
    ptx: str, entry: str, grid: Any, block: Any, args: Sequence[Any], *,
    cluster: tuple[int, int, int] = (1, 1, 1), shared: int = 0, seed: int = 0, checks: str = "",
) -> Finished:  # fmt: skip
    """`vm.run` without checks: `seed` and `checks` mean nothing here."""
    torch.zeros(1, device="cuda")  # makes torch's context the current one
    library = driver()
    major, minor = torch.cuda.get_device_capability()
    suffix = "a" if (major, minor) == (9, 0) else ""
    text = ptx.replace(".target sm_90a", f".target sm_{major}{minor}{suffix}")
    error, module = library.cuModuleLoadData(text.encode() + b"\0")
    if int(error):
        pytest.skip(f"the driver does not take this PTX for sm_{major}{minor} ({error.name})")
    try:
        function = checked(library.cuModuleGetFunction(module, entry.encode()), "finding the entry")
        params = parse(ptx).functions[entry].params
        _launch(library, function, (_triple(grid), _triple(block), cluster), params, args, shared)
    finally:
        checked(library.cuModuleUnload(module), "unloading")
    return Finished()


def _triple(value: Any) -> tuple[int, int, int]:
    values = (value,) if isinstance(value, int) else tuple(value)
    x, y, z = (*values, 1, 1)[:3]
    return x, y, z


def _launch(
    library: Any, function: Any, shape: Any, params: Any, args: Sequence[Any], shared: int
) -> None:
    copies = _copy(args)
    blobs = []
    for param, arg in zip(params, args, strict=True):
        raw = _encode(library, param, arg, copies)
        blobs.append(ctypes.create_string_buffer(raw, len(raw) + 64))
    # A descriptor must lie at a multiple of 64 bytes on the host.
    starts = [-(-ctypes.addressof(blob) // 64) * 64 for blob in blobs]
    for start, blob in zip(starts, blobs, strict=True):
        ctypes.memmove(start, bytes(blob.raw[: len(blob) - 64]), len(blob) - 64)
    pointers = (ctypes.c_void_p * len(starts))(*starts)
    if shared > DEFAULT_SHARED:
        name = library.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        checked(library.cuFuncSetAttribute(function, name, shared), "asking for shared memory")
    config = _configure(library, shape, shared)
    checked(library.cuLaunchKernelEx(config, function, ctypes.addressof(pointers), 0), "launching")
    torch.cuda.synchronize()
    for copy in copies:
        copy.bring_back()


def _configure(library: Any, shape: Any, shared: int) -> Any:
    """Grid, block, cluster and shared memory of a launch."""
    config = library.CUlaunchConfig()
    for kind, extents in zip(("grid", "block"), shape[:2], strict=True):
        for axis, extent in zip("XYZ", extents, strict=True):
            setattr(config, f"{kind}Dim{axis}", extent)
    config.sharedMemBytes = shared
    if shape[2] != (1, 1, 1):
        attribute = library.CUlaunchAttribute()
        attribute.id = library.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
        size = attribute.value.clusterDim
        size.x, size.y, size.z = shape[2]
        config.attrs, config.numAttrs = [attribute], 1
    return config


def _copy(args: Sequence[Any]) -> list[Copy]:
    """Copies of all arrays; those that overlap share one."""
    arrays = [a.tensor if isinstance(a, TensorMap) else a for a in args]
    merged: list[list[Any]] = []
    for start, size, writable in sorted(_span(a) for a in arrays if _is_array(a)):
        if merged and start < merged[-1][0] + merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], start + size - merged[-1][0])
            merged[-1][2] = merged[-1][2] and writable
        else:
            merged.append([start, size, writable])
    return [Copy.of(*span) for span in merged]


def _encode(library: Any, param: Any, arg: Any, copies: list[Copy]) -> bytes:
    """One argument as the bytes of its parameter."""
    if _is_array(arg):
        return struct.pack("<Q", _address(arg, copies))
    if isinstance(arg, TensorMap):
        return _describe(library, arg.descriptor, _address(arg.tensor, copies))
    if isinstance(arg, (bytes, bytearray)):
        return bytes(arg)
    return _encode_number(param, arg)


def _address(array: Any, copies: list[Copy]) -> int:
    start, size, _ = _span(array)
    copy = next(c for c in copies if c.start <= start and start + size <= c.start + c.size)
    return copy.address + start - copy.start


_TYPES = {
    ("u", 2): "UINT16", ("u", 4): "UINT32", ("s", 4): "INT32", ("u", 8): "UINT64",
    ("s", 8): "INT64", ("f", 2): "FLOAT16", ("f", 4): "FLOAT32", ("f", 8): "FLOAT64",
    ("bf", 2): "BFLOAT16", ("s", 2): "UINT16",
}  # fmt: skip


def _describe(library: Any, found: Descriptor, address: int) -> bytes:
    """The driver's descriptor for the same tensor and box."""

    def words(values: Sequence[int], bits: int) -> list[Any]:
        word = library.cuuint64_t if bits == 64 else library.cuuint32_t
        return [word(value) for value in values]

    kind = _TYPES.get((KINDS[found.kind], found.item), "UINT8")
    swizzle = f"{found.swizzle}B" if found.swizzle else "NONE"
    fill = "NAN_REQUEST_ZERO_FMA" if found.fill else "NONE"
    made = library.cuTensorMapEncodeTiled(
        getattr(library.CUtensorMapDataType, f"CU_TENSOR_MAP_DATA_TYPE_{kind}"),
        found.rank,
        address,
        words(found.extents, 64),
        words(found.strides[1:], 64),
        words(found.box, 32),
        words(found.steps, 32),
        library.CUtensorMapInterleave.CU_TENSOR_MAP_INTERLEAVE_NONE,
        getattr(library.CUtensorMapSwizzle, f"CU_TENSOR_MAP_SWIZZLE_{swizzle}"),
        library.CUtensorMapL2promotion.CU_TENSOR_MAP_L2_PROMOTION_NONE,
        getattr(library.CUtensorMapFloatOOBfill, f"CU_TENSOR_MAP_FLOAT_OOB_FILL_{fill}"),
    )
    return ctypes.string_at(checked(made, "making a descriptor").getPtr(), 128)
