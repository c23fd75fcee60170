"""Converts that leave their lanes become a store to a buffer and a load from it.

before:  %y: tile<[64, 64], f16, #blocked> = convert %x, layout=#blocked
after:   %b: buffer<[64, 64], f16, #swizzled> = buffer ...
         buffer.store %b, %x
         %y: tile<[64, 64], f16, #blocked> = buffer.load %b

The memory is planned, and the barriers are placed, like those of any other buffer.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.buffer import Alloc, BufferLoad, BufferStore
from tilewright.ir.instructions.shape import Convert
from tilewright.ir.kernel import Builder, Kernel, rebuild
from tilewright.ir.layout import Layout
from tilewright.ir.layout.construct import row_major
from tilewright.ir.layout.convert import convert
from tilewright.ir.layout.shared import choose_swizzle
from tilewright.ir.targets.shared_access import plan_shared_access
from tilewright.ir.types import DType
from tilewright.ir.values import Value, tile_type


def expand_converts(kernel: Kernel) -> Kernel:
    """`kernel` without converts through shared memory."""
    return rebuild(kernel, _expand)


def _expand(item: Instruction, builder: Builder) -> Sequence[Value] | None:
    if not isinstance(item, Convert):
        return None
    source, result = tile_type(item.operand), item.results[0]
    assert source.layout is not None
    memory = _find_memory(source.layout, item.layout, source.dtype)
    if memory is None:
        return None
    made = Alloc(shape=source.shape, dtype=source.dtype, layout=memory)
    buffer = builder.value(made, f"{result.name or 'x'}_exchange")
    builder.add(BufferStore(buffer=buffer, value=item.operand))
    builder.append(dataclasses.replace(BufferLoad(buffer=buffer), results=item.results))
    return item.results


def _find_memory(source: Layout, target: Layout, dtype: DType) -> Layout | None:
    """The buffer's layout; None where the convert stays within lanes or warps."""
    bits = max(8, dtype.bits)
    if source.shape == target.shape:
        plan = convert(source.with_bits(bits), target.with_bits(bits))
        return None if plan.exchange is None else plan.exchange.memory
    return _cover(source, target, bits)


@functools.cache
def _cover(source: Layout, target: Layout, bits: int) -> Layout:
    """A buffer for layouts that are larger than the tile in different ways."""
    shape = tuple(max(pair) for pair in zip(source.shape, target.shape, strict=True))
    accesses = []
    for registers in (source, target):
        part = row_major(shape, bits=bits).slice((0,) * len(shape), registers.shape)
        plan = plan_shared_access(registers, part, matrices=False)
        accesses += plan.accesses(registers.shape)
    return choose_swizzle(shape, bits, accesses)
