"""Stores become wide: a tile whose lanes hold too few neighbours passes through shared memory.

before:  store %c, [%i, %j], %r                 (%r in the fragments of a product: 4 bytes per lane)
after:   %w: tile<..., #coalesced> = convert %r, layout=#coalesced
         store %c, [%i, %j], %w                                         (16 bytes per lane)

The convert costs two trips through shared memory, whose bytes the operands' rings have left free by
then; narrow stores cost a request for every few bytes. Small tiles are not worth the barrier.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from math import prod

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.memory import Store
from tilewright.ir.instructions.shape import Convert
from tilewright.ir.kernel import Builder, Kernel, rebuild
from tilewright.ir.values import ScalarType, Value, tile_type
from tilewright.passes.facts import find_facts
from tilewright.passes.layout_anchors import access_wish
from tilewright.passes.layout_choices import coalesced

WIDE = 16
"""Bytes of the widest access."""
SMALL = 2048
"""Bytes of a tile that is stored as it is."""


def widen_stores(kernel: Kernel) -> Kernel:
    """`kernel` with converts in front of narrow stores that could be wide."""
    facts = find_facts(kernel)
    warps = kernel.warps or 1

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if not isinstance(item, Store) or not all(
            isinstance(offset.type, ScalarType) for offset in item.offsets
        ):
            return None
        kind = tile_type(item.value)
        wish, bits = access_wish(item, facts), kind.dtype.bits
        if wish.vector * bits < WIDE * 8 or prod(kind.shape) * bits < SMALL * 8:
            return None
        assert kind.layout is not None
        fast = wish.order[-1]
        wanted = coalesced(wish, warps).with_bits(bits)
        if kind.layout.contiguity("reg", fast) >= wanted.contiguity("reg", fast):
            return None
        value = builder.value(Convert(operand=item.value, layout=wanted), item.value.name)
        return builder.add(dataclasses.replace(item, value=value))

    return rebuild(kernel, visit)
