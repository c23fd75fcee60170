"""A kernel may not write memory that another argument reads: found before the launch.

Exempt is the in-place use that is provably safe: both arguments have equal pointer, shape and
strides, and the kernel loads and stores them only at the very same offsets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.memory import Load, Rows, Store, Subview
from tilewright.ir.kernel import Kernel
from tilewright.ir.values import TensorType, Value
from tilewright.passes.simplify import share_equal
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.tensors import byte_span, overlaps_itself


def find_written(kernel: Kernel) -> tuple[int, ...]:
    """Indices of the tensor parameters that the kernel writes, through whatever view."""
    numbers = {value: i for i, value in enumerate(kernel.params)}
    found = set()
    for item in kernel.walk():
        if isinstance(item, (Rows, Subview)):
            numbers[item.results[0]] = numbers[item.tensor]
        for effect in item.effects():
            if effect.action in ("write", "atomic") and effect.on in numbers:
                found.add(numbers[effect.on])
    return tuple(sorted(found))


def may_share(spans: Sequence[int], pointers: Mapping[int, int], written: Sequence[int]) -> bool:
    """Whether a written tensor's bytes meet those of another argument."""
    for target in written:
        start = pointers[target]
        end = start + spans[target]
        for other, begin in pointers.items():
            if other != target and begin < end and start < begin + spans[other]:
                return True
    return False


def check_overlap(
    kernel: Kernel, names: Sequence[str], tensors: Sequence[Any], written: Sequence[int]
) -> None:
    """Raise LaunchError naming both arguments of an unsafe overlap."""
    for target in written:
        tensor = tensors[target]
        if overlaps_itself(tensor):
            raise LaunchError(
                f"{names[target]} is written by {kernel.name} but its elements share memory",
                f"pass {names[target]}.contiguous()",
            )
        for other, read in enumerate(tensors):
            if read is None or other == target or not _share(tensor, read):
                continue
            if _same_place(tensor, read) and _is_elementwise(kernel, target, other):
                continue
            raise LaunchError(
                f"{names[target]} is written by {kernel.name} and overlaps {names[other]}",
                f"pass a copy: {names[other]}.clone()",
            )


def _share(left: Any, right: Any) -> bool:
    a, b = left.data_ptr(), right.data_ptr()
    return bool(a < b + byte_span(right) and b < a + byte_span(left))


def _same_place(left: Any, right: Any) -> bool:
    return bool(
        left.data_ptr() == right.data_ptr()
        and tuple(left.shape) == tuple(right.shape)
        and tuple(left.stride()) == tuple(right.stride())
    )


def _is_elementwise(kernel: Kernel, written: int, read: int) -> bool:
    """Whether all accesses to both tensors are loads and stores of one shape at equal offsets."""
    kernel = share_equal(kernel)  # equal offsets become one value
    pair = (kernel.params[written], kernel.params[read])
    places = {_place(item) for item in kernel.walk() if _touches(item, pair)}
    return len(places) == 1 and None not in places


def _touches(item: Instruction, tensors: tuple[Value, Value]) -> bool:
    return any(e.on in tensors for e in item.effects()) or (
        isinstance(item, (Rows, Subview)) and item.tensor in tensors
    )


def _place(item: Instruction) -> object:
    match item:
        case Load(offsets=offsets, shape=shape):
            return (offsets, shape)
        case Store(offsets=offsets, value=value) if not isinstance(value.type, TensorType):
            return (offsets, getattr(value.type, "shape", ()))
    return None
