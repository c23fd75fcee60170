"""Load operands: a product of buffers becomes a product of the tiles that they hold.

before:  %r: tile<[64, 64], f32> = mma %x_buffer, %y_buffer, %acc
after:   %x: tile<[64, 64], f16> = buffer.load %x_buffer
         %y: tile<[64, 64], f16> = buffer.load %y_buffer
         %r: tile<[64, 64], f32> = mma %x, %y, %acc

Needs: nothing. Gives: operands that have layouts; `slice_products` reads them step by step again.
Cost: linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.buffer import BufferLoad
from tilewright.ir.instructions.matmul import Mma
from tilewright.ir.kernel import Builder, Kernel, rebuild
from tilewright.ir.values import BufferType, Value
from tilewright.passes.runner import Context, Pass


def load_operands(kernel: Kernel, context: Context) -> Kernel:
    """`kernel` whose products read tiles."""
    del context

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if not isinstance(item, Mma):
            return None
        x, y = (_as_tile(value, builder) for value in (item.x, item.y))
        if x is item.x and y is item.y:
            return None
        builder.append(replace(item, x=x, y=y))
        return item.results

    return rebuild(kernel, visit)


def _as_tile(value: Value, builder: Builder) -> Value:
    if isinstance(value.type, BufferType):
        return builder.value(BufferLoad(buffer=value), value.name)
    return value


PASS = Pass("load_operands", load_operands)
