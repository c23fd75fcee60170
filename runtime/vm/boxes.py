"""Boxes of tensors: which global bytes a tensor copy touches, and where they lie in shared
memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilewright.runtime.vm.memory import UNITS, Array
from tilewright.runtime.vm.swizzle import swizzle
from tilewright.runtime.vm.tensor_map import Descriptor


@dataclass(frozen=True, slots=True)
class Box:
    """Units of `unit` bytes in the order of the box: addresses in global memory, whether inside of
    the tensor.
    """

    unit: int
    addresses: Array
    inside: Array

    @property
    def bytes(self) -> int:
        """Bytes of the whole box, as transaction counts see it."""
        return self.unit * len(self.addresses)

    def places(self, start: int, span: int) -> Array:
        """Physical shared offsets of the units for a box stored at `start` with a swizzle."""
        linear = start + np.arange(len(self.addresses)) * self.unit
        if self.unit == 16:
            return swizzle(linear, span)
        found: Array = swizzle(linear & ~15, span) | (linear & 15)
        return found


def find_box(map_: Descriptor, corner: tuple[int, ...]) -> Box:
    """The box whose first element has the coordinates `corner` (innermost axis first)."""
    address: Array = np.array([map_.address], np.int64)
    inside: Array = np.array([True])
    item = map_.item
    wide = 0 <= corner[0] <= map_.extents[0] - map_.box[0]
    wide = wide and corner[0] * item % 16 == 0 and map_.box[0] * item % 16 == 0
    for axis in range(map_.rank - 1, 0, -1):
        index = corner[axis] + np.arange(-(-map_.box[axis] // map_.steps[axis])) * map_.steps[axis]
        address = (address[:, None] + index * map_.strides[axis]).ravel()
        inside = (inside[:, None] & (index >= 0) & (index < map_.extents[axis])).ravel()
    if wide:
        index = np.arange(map_.box[0] * item // 16)
        address = (address[:, None] + corner[0] * item + index * 16).ravel()
        return Box(16, address, np.repeat(inside, len(index)))
    index = corner[0] + np.arange(map_.box[0])  # the innermost axis has no element stride
    address = (address[:, None] + index * item).ravel()
    inside = (inside[:, None] & (index >= 0) & (index < map_.extents[0])).ravel()
    return Box(item, address, inside)


def gather(box: Box, memory: dict[int, Array], base: int, fill: int | None) -> Array:
    """The units of a box; `fill` is the pattern of 64 bits (None: zeros) outside."""
    view = memory[box.unit]
    data = np.zeros(len(box.addresses), UNITS[box.unit])
    shift = box.unit.bit_length() - 1
    data[box.inside] = view[(box.addresses[box.inside] - base) >> shift]
    if fill is not None:
        word = min(box.unit, 8)
        outside = data.view(f"u{word}").reshape(len(data), -1)
        outside[~box.inside] = fill & ((1 << 8 * word) - 1)
    return data
