"""Arguments as the launcher sees them: one record per tensor, whatever library holds it.

A `TensorArgument` states pointer, dtype, shape and strides. torch tensors have them; a tensor of
another dtype than torch's is a `PackedTensor`, made by `as_tensor`: bytes plus the dtype that they
hold. Strides count elements; for types of less than 8 bits the last axis has stride one element and
the strides of leading axes count bytes (rows start on whole bytes).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from tilewright.ir.packings import PACKINGS
from tilewright.ir.types import DType, parse_dtype
from tilewright.ir.values import ExtentClass, StrideClass, TensorType
from tilewright.runtime.bindings import torch
from tilewright.runtime.errors import LaunchError

if TYPE_CHECKING:
    from torch import Tensor

TORCH_NAMES = {
    "f64": "float64",
    "f32": "float32",
    "f16": "float16",
    "bf16": "bfloat16",
    "f8e4m3": "float8_e4m3fn",
    "f8e5m2": "float8_e5m2",
    "i64": "int64",
    "i32": "int32",
    "i16": "int16",
    "i8": "int8",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
    "bool": "bool",
}
"""Our dtypes that torch has, by torch's name."""


@dataclass(frozen=True, eq=False)
class PackedTensor:
    """Elements of any dtype in a torch tensor of bytes; `shape` counts elements."""

    storage: Tensor
    dtype: DType
    shape: tuple[int, ...]
    packing: str | None = None

    @property
    def device(self) -> Any:
        return self.storage.device

    def data_ptr(self) -> int:
        return int(self.storage.data_ptr())

    def stride(self) -> tuple[int, ...]:
        """Byte strides of the leading axes, and 1 for the last (elements); (0, 1) if packed."""
        if self.packing is not None:
            return (0, 1)
        if self.dtype.bits < 8:
            return (*self.storage.stride()[:-1], 1)
        size = self.dtype.bits // 8
        return (*(s // size for s in self.storage.stride()[:-1]), 1)


def as_tensor(
    storage: Tensor, dtype: DType | str, shape: tuple[int, ...], packing: str | None = None
) -> PackedTensor:
    """`storage` (uint8, one row of bytes per row of elements) read as `dtype` elements of `shape`.

    The last axis of `storage` has ceil(shape[-1] * bits / 8) bytes and stride 1; elements are dense
    and little-endian in bits. With `packing` the bytes are a matrix in that device order
    (`ir.packings`), flat. Raises `LaunchError` where storage and shape do not fit.
    """
    kind = parse_dtype(dtype) if isinstance(dtype, str) else dtype
    library = torch()
    if storage.dtype != library.uint8:
        raise LaunchError(f"as_tensor wants bytes (torch.uint8), got {storage.dtype}")
    if packing is not None:
        return _as_packed(storage, kind, tuple(shape), packing)
    row = -(-shape[-1] * kind.bits // 8)
    if tuple(storage.shape) != (*shape[:-1], row) or (storage.numel() and storage.stride(-1) != 1):
        raise LaunchError(
            f"{kind.name} elements of shape {tuple(shape)} need bytes of shape "
            f"{(*shape[:-1], row)} with stride 1 in the last axis, got {tuple(storage.shape)}",
            hint="pack them with tilewright.ir.packing.pack_bits",
        )
    return PackedTensor(storage, kind, tuple(shape))


def _as_packed(storage: Tensor, dtype: DType, shape: tuple[int, ...], packing: str) -> PackedTensor:
    if packing not in PACKINGS or len(shape) != 2:
        raise LaunchError(f"no packing {packing!r} of {shape}", f"known: {', '.join(PACKINGS)}")
    size = PACKINGS[packing].size(*shape, dtype.bits)
    if tuple(storage.shape) != (size,) or not storage.is_contiguous():
        raise LaunchError(
            f"{dtype.name} weights of shape {shape} packed as {packing} are {size} contiguous "
            f"bytes, got shape {tuple(storage.shape)}"
        )
    return PackedTensor(storage, dtype, shape, packing)


_dtypes: dict[Any, DType] = {}


def dtype_of(tensor: Any) -> DType:
    """Our dtype of a torch or packed tensor."""
    if isinstance(tensor, PackedTensor):
        return tensor.dtype
    if not _dtypes:
        library = torch()
        for ours, theirs in TORCH_NAMES.items():
            _dtypes[getattr(library, theirs)] = parse_dtype(ours)
    found = _dtypes.get(tensor.dtype)
    if found is None:
        raise LaunchError(
            f"tensors of {tensor.dtype} are not supported", hint="cast it, or view its bytes"
        )
    return found


def torch_dtype(dtype: DType) -> Any:
    """torch's dtype for ours; LaunchError where torch has none."""
    name = TORCH_NAMES.get(dtype.name)
    if name is None:
        raise LaunchError(f"torch has no dtype for {dtype.name}")
    return getattr(torch(), name)


def is_tensor(value: Any) -> bool:
    """Whether `value` is a tensor that a kernel can take."""
    return isinstance(value, (PackedTensor, torch().Tensor))


def storage_of(tensor: Any) -> Any:
    """The torch tensor that holds the memory."""
    return tensor.storage if isinstance(tensor, PackedTensor) else tensor


def classify(tensor: Any) -> TensorType:
    """The specialization class of a tensor: see `ir.values.TensorType`."""
    dtype = dtype_of(tensor)
    shape, strides = tuple(tensor.shape), tuple(tensor.stride())
    packing = getattr(tensor, "packing", None)
    unit = max(1, dtype.bits // 8)
    last = len(shape) - 1
    classes: list[StrideClass] = []
    for axis, (extent, stride) in enumerate(zip(shape, strides, strict=True)):
        bytes_apart = stride * unit
        if extent == 1:
            classes.append("1" if axis == last else "0")
        elif stride == 0:
            classes.append("0")
        elif stride == 1 and (dtype.bits >= 8 or axis == last):
            classes.append("1")
        else:
            classes.append("x16B" if bytes_apart % 16 == 0 else "any")
    extents: list[ExtentClass] = [
        "1" if extent == 1 else "x16" if extent % 16 == 0 and extent else "any" for extent in shape
    ]
    aligned = tensor.data_ptr() % 16 == 0
    if packing is not None:
        return TensorType(dtype, ("0", "1"), tuple(extents), aligned, packing)
    return TensorType(dtype, tuple(classes), tuple(extents), aligned)


def byte_span(tensor: Any) -> int:
    """Bytes from the first element to the end of the last one; 0 for an empty tensor."""
    shape, strides = tuple(tensor.shape), tuple(tensor.stride())
    if 0 in shape:
        return 0
    bits = dtype_of(tensor).bits
    if getattr(tensor, "packing", None) is not None:
        return int(tensor.storage.numel())
    if bits < 8:
        rows = sum((e - 1) * s for e, s in zip(shape[:-1], strides[:-1], strict=True))
        return int(rows + -(-shape[-1] * bits // 8))
    return int((1 + sum((e - 1) * s for e, s in zip(shape, strides, strict=True))) * bits // 8)


def overlaps_itself(tensor: Any) -> bool:
    """Whether two coordinates of `tensor` share memory (by strides; exact for nested strides)."""
    if isinstance(tensor, PackedTensor):
        return False
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    moving = sorted((stride, extent) for extent, stride in pairs if extent > 1)
    reach = 0
    for stride, extent in moving:
        if stride <= reach and prod(tensor.shape) > 0:
            return True
        reach += stride * (extent - 1)
    return False
