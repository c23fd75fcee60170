"""TMA descriptors: how a box of a tensor of rank 1 to 5 lies in global memory.

Passed by value a descriptor is 128 bytes. Their layout here is ours (the hardware's is not
documented), little-endian: magic, rank, bytes per element, element kind, swizzle, interleave, fill;
base address; extents; strides in bytes of the outer axes; box; element strides. Axes are stored
innermost first, as in the driver's interface.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tilewright.runtime.vm.faults import Fault

_FORMAT = "<IBBBBBB6xQ5I4x5q5H5B"
MAGIC = 0x50414D54
KINDS = ("u", "s", "f", "bf", "b")
SIZE = 128


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A decoded descriptor; tuples are innermost axis first, `strides[0]` is the element's
    bytes.
    """

    rank: int
    item: int
    kind: int
    swizzle: int
    interleave: int
    fill: int
    address: int
    extents: tuple[int, ...]
    strides: tuple[int, ...]
    box: tuple[int, ...]
    steps: tuple[int, ...]

    @property
    def element(self) -> str:
        """The PTX type of an element."""
        return f"{KINDS[self.kind]}{8 * self.item}"

    def encode(self) -> bytes:
        """The 128 bytes."""

        def five(values: tuple[int, ...]) -> tuple[int, ...]:
            return (*values, *(1,) * (5 - len(values)))

        raw = struct.pack(
            _FORMAT, MAGIC, self.rank, self.item, self.kind, self.swizzle, self.interleave,
            self.fill, self.address, *five(self.extents), *five(self.strides), *five(self.box),
            *five(self.steps),
        )  # fmt: skip
        return raw.ljust(SIZE, b"\0")


def decode(raw: bytes) -> Descriptor:
    """Reads a descriptor; anything else than one is a fault."""
    magic, rank, item, kind, swizzle, interleave, fill, address, *rest = struct.unpack_from(
        _FORMAT, raw
    )
    if magic != MAGIC or not 1 <= rank <= 5:
        raise Fault("tensor map", "the address does not hold a tensor map")
    parts = [tuple(rest[5 * i : 5 * i + rank]) for i in range(4)]
    return Descriptor(rank, item, kind, swizzle, interleave, fill, address, *parts)


_ELEMENTS = (
    ("u", 1), ("u", 2), ("u", 4), ("s", 4), ("u", 8), ("s", 8), ("f", 2), ("f", 4), ("f", 4),
    ("f", 8), ("bf", 2), ("f", 4), ("f", 4),
)  # fmt: skip
_SWIZZLES = (0, 32, 64, 128)
_SCALARS = {"swizzle_mode": 4, "interleave_layout": 5, "fill_mode": 6, "global_address": 7}
_VECTORS = {"global_dim": 8, "global_stride": 14, "box_dim": 18, "element_stride": 23}
"""Where the fields of `tensormap.replace` stand; the innermost stride has no number there."""


def edit(raw: bytes, field: str, ordinal: int, value: int) -> bytes:
    """A descriptor in memory with one field replaced, coded as the manual's tables say. Where
    nothing but zeros was, a descriptor begins: kernels make them so, field by field.
    """
    if raw.strip(b"\0") and struct.unpack_from("<I", raw) != (MAGIC,):
        raise Fault("tensor map", "the address does not hold a tensor map")
    values = list(struct.unpack_from(_FORMAT, raw))
    values[0] = MAGIC
    if field == "rank":  # one less, as the manual has it
        values[1] = value + 1
    elif field == "elemtype" and value < len(_ELEMENTS):
        kind, values[2] = _ELEMENTS[value]
        values[3], values[13] = KINDS.index(kind), values[2]
    elif field in _SCALARS and not (field == "interleave_layout" and value):
        swizzle = field == "swizzle_mode"
        if swizzle and value >= len(_SWIZZLES):
            raise Fault("unsupported", f"tensormap.replace of swizzle_mode by {value}")
        values[_SCALARS[field]] = _SWIZZLES[value] if swizzle else value
    elif field in _VECTORS:
        axis = ordinal + (field == "global_stride")
        if axis >= (values[1] or 5):
            raise Fault("tensor map", f"axis {ordinal} of a tensor map of rank {values[1]}")
        values[_VECTORS[field] + ordinal] = value
    else:
        raise Fault("unsupported", f"tensormap.replace of {field} by {value}")
    try:
        return struct.pack(_FORMAT, *values).ljust(SIZE, b"\0")
    except struct.error:
        raise Fault("tensor map", f"{value} is out of range for {field}") from None


class TensorMap:
    """A descriptor of `tensor` (NumPy array or CPU torch tensor) for boxes of extents `box`.

    `box` and `element_strides` are in the tensor's own axis order. `swizzle` is 0, 32, 64 or 128
    bytes, `fill` is `zeros` or `nan` for elements outside of the tensor. Of an axis with an element
    stride s a copy takes each s-th element, ⌈box / s⌉ in all; the last axis has none.
    """

    def __init__(
        self, tensor: Any, box: tuple[int, ...], *, swizzle: int = 0,
        element_strides: tuple[int, ...] | None = None, interleave: int = 0, fill: str = "zeros",
    ) -> None:  # fmt: skip
        self.tensor = tensor
        shape = tuple(int(n) for n in tensor.shape)
        item, strides = _layout(tensor)
        kind = _kind(tensor)
        steps = tuple(element_strides or (1,) * len(shape))
        _check_shape(shape, strides, item)
        _check_box(tuple(box), steps, shape)
        _check_modes(box[-1] * item, swizzle, interleave)
        if fill not in ("zeros", "nan"):
            raise ValueError(f"fill={fill!r}: zeros or nan")
        if fill == "nan" and (kind not in ("f", "bf") or item == 1):
            raise ValueError(f"fill='nan' needs floating-point elements, not {tensor.dtype}")
        self.descriptor = Descriptor(
            len(shape), item, KINDS.index(kind), swizzle, interleave, int(fill == "nan"), 0,
            shape[::-1], tuple(strides[::-1]), tuple(box[::-1]), tuple(steps[::-1]),
        )  # fmt: skip

    def encode_descriptor(self, address: int) -> bytes:
        """The 128 bytes, for the tensor at a device address."""
        return replace(self.descriptor, address=address).encode()


def _check_shape(shape: tuple[int, ...], strides: list[int], item: int) -> None:
    """The rules of `cuTensorMapEncodeTiled` for the tensor."""
    if not 1 <= len(shape) <= 5:
        raise ValueError(f"a tensor map of a tensor of rank {len(shape)}; ranks 1 to 5")
    if any(not 1 <= n <= 1 << 32 for n in shape):
        raise ValueError(f"a tensor map of a tensor of shape {shape}; extents are 1 to 2**32")
    if strides[-1] != item:
        raise ValueError(f"strides {strides} in bytes: the last axis must be contiguous")
    if any(s % 16 or not 0 <= s < 1 << 40 for s in strides[:-1]):
        raise ValueError(
            f"strides {strides} in bytes: all but the last must be multiples of 16 below 2**40; "
            "pad the rows"
        )


def _check_box(box: tuple[int, ...], steps: tuple[int, ...], shape: tuple[int, ...]) -> None:
    rank = len(shape)
    if len(box) != rank or len(steps) != rank:
        raise ValueError(
            f"box {box} and element_strides {steps} need one entry per axis of shape {shape}"
        )
    if any(not 1 <= n <= 256 for n in box):
        raise ValueError(f"box {box}: each extent is 1 to 256")
    if any(not 1 <= n <= 8 for n in steps):
        raise ValueError(f"element_strides {steps}: each is 1 to 8")
    if steps[-1] != 1:
        raise ValueError(f"element_strides {steps}: hardware has none along the last axis; give 1")


def _check_modes(inner: int, swizzle: int, interleave: int) -> None:
    """`inner` is the bytes of the box along the last axis."""
    if interleave:
        raise ValueError(f"interleave={interleave} is not modelled; only 0 (no interleaving)")
    if swizzle not in _SWIZZLES:
        raise ValueError(f"swizzle={swizzle}: 0, 32, 64 or 128")
    if inner % 16:
        raise ValueError(f"the box has {inner} bytes along the last axis: not a multiple of 16")
    if swizzle and inner > swizzle:
        raise ValueError(
            f"the box has {inner} bytes along the last axis, more than swizzle={swizzle} allows"
        )


def _layout(tensor: Any) -> tuple[int, list[int]]:
    """Bytes per element, and strides in bytes."""
    if isinstance(tensor, np.ndarray):
        return tensor.dtype.itemsize, [int(s) for s in tensor.strides]
    item = int(tensor.element_size())
    return item, [int(s) * item for s in tensor.stride()]


def _kind(tensor: Any) -> str:
    """The element type's family, one of `KINDS`."""
    name = str(tensor.dtype).removeprefix("torch.")
    return "bf" if name == "bfloat16" else {"i": "s", "f": "f", "u": "u"}.get(name[0], "b")
