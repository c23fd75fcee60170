"""Lay out buffers: every buffer that a kernel declares without a layout gets one.

before:  %s: buffer<[64, 32], f32> = buffer shape=[64, 32], dtype=f32
after:   %s: buffer<[64, 32], f32, #swizzled> = buffer shape=[64, 32], dtype=f32, layout=#swizzled

Needs: register layouts of the tiles that are stored and loaded. Gives: an `addr` layout for every
buffer, and for every view of one. Cost: one search for a swizzle per declared buffer.
Named rules: [exchange] a buffer that tiles go through whole is laid out for its first writer and
reader; [plain] any other is row-major, and so is one whose tiles' layouts are larger than it.
"""

from __future__ import annotations

import dataclasses

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.buffer import Alloc, BufferLoad, BufferStore
from tilewright.ir.kernel import Builder, Kernel, rebuild
from tilewright.ir.layout import Layout, choose_exchange, row_major
from tilewright.ir.values import BufferType, TileType, Value
from tilewright.passes.runner import Context, Pass


def lay_out_buffers(kernel: Kernel, context: Context) -> Kernel:
    """Layouts for declared buffers, then for what is derived from them."""
    chosen = {
        item.results[0]: _choose(item, kernel)
        for item in kernel.walk()
        if isinstance(item, Alloc) and item.layout is None
    }
    if not chosen:
        return kernel

    def visit(item: Instruction, builder: Builder) -> list[Value] | None:
        made: Instruction = item
        if isinstance(item, Alloc) and item.results[0] in chosen:
            made = dataclasses.replace(item, layout=chosen[item.results[0]])
        elif not any(
            isinstance(r.type, BufferType) and r.type.layout is None for r in item.results
        ):
            return None
        return list(
            builder.add(dataclasses.replace(made, results=()), *(r.name for r in item.results))
        )

    return rebuild(kernel, visit)


def _choose(item: Alloc, kernel: Kernel) -> Layout:
    """[exchange] or [plain]"""
    writer = reader = None
    for other in kernel.walk():
        match other:
            case BufferStore(buffer=buffer, value=value) if buffer is item.results[0]:
                writer = writer or _layout(value)
            case BufferLoad(buffer=buffer) if buffer is item.results[0]:
                reader = reader or _layout(other.results[0])
    first, second = writer or reader, reader or writer
    if first is None or second is None or not first.shape == second.shape == item.shape:
        return row_major(item.shape, bits=item.dtype.bits, axis="addr")
    return choose_exchange(first, second, item.dtype.bits).memory


def _layout(value: Value) -> Layout | None:
    assert isinstance(value.type, TileType)
    return value.type.layout


PASS = Pass("lay_out_buffers", lay_out_buffers)
