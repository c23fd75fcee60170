"""How many neighbours in a tensor one access may cover, from the tensor's type and the offsets.

Facts used: the base is a multiple of 16 bytes (`aligned`); strides of class "x16B" keep that along
other axes; the offset along the fast axis is divisible (`facts`). Elements of less than 8 bits go
in groups of whole bytes, which start on a byte where the offset is a multiple of the group.
"""

from __future__ import annotations

from math import gcd

from tilewright.ir.index import divisor
from tilewright.ir.values import ScalarType, TensorType, Value, tensor_type
from tilewright.passes.facts import Facts

WIDEST_BITS = 128


def whole_bytes(bits: int) -> int:
    """The smallest number of elements of `bits` bits that fill whole bytes."""
    return 8 // gcd(8, bits)


def find_width(tensor: Value, offsets: tuple[Value, ...], facts: Facts) -> int:
    """Elements of the widest legal access at `offsets` plus multiples of that many."""
    kind = tensor_type(tensor)
    bits = kind.dtype.bits
    if not kind.rank or kind.strides[kind.fast_axis] != "1":
        return 1
    offset = offsets[kind.fast_axis]
    if not isinstance(offset.type, ScalarType):
        return 1
    steps = divisor(facts.of(offset))
    if bits < 8:
        return _sub_byte_width(kind, steps)
    most = WIDEST_BITS // bits if _keeps_alignment(kind) else 1
    return gcd(most, steps) if steps else most


def _sub_byte_width(kind: TensorType, steps: int) -> int:
    group = whole_bytes(kind.dtype.bits)
    if steps % group:
        return 1
    width = group
    while _keeps_alignment(kind) and 2 * width * kind.dtype.bits <= WIDEST_BITS:
        if steps % (2 * width):
            break
        width *= 2
    return width


def _keeps_alignment(kind: TensorType) -> bool:
    """Whether element (i, 0) is a multiple of 16 bytes away from memory aligned to 16 bytes."""
    axes = (a for a in range(kind.rank) if a != kind.fast_axis and kind.extents[a] != "1")
    return kind.aligned and all(kind.strides[a] in ("0", "x16B") for a in axes)
