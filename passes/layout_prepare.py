"""What `infer_layouts` does to a kernel before it looks at layouts.

[rematerialize] constants, `arange` and broadcasts are made anew in front of each use: they cost
nothing there, and a shared one would tie unrelated tiles to one layout. [one lane] a scalar atomic
becomes an atomic on a tile of one element, so that one lane does it; its result, where anything
reads it, reaches the other lanes as any tile does.

before:  %old: i32 = atomic.add %counter, [%zero], %one
after:   %i: tile<[1], i32> = full %zero, shape=[1]
         %v: tile<[1], i32> = full %one, shape=[1]
         %t: tile<[1], i32> = atomic.add %counter, [%i], %v
         %old: i32 = item %t
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.atomic import Atomic
from tilewright.ir.instructions.shape import Arange, Broadcast, Full, Item
from tilewright.ir.kernel import Builder, Kernel, definitions, rebuild, use_counts
from tilewright.ir.values import ScalarType, Value, tile_type

CHEAP = (Full, Arange, Broadcast)


def prepare_layouts(kernel: Kernel) -> Kernel:
    """`kernel` ready for its tiles to be grouped."""
    return rematerialize(spread_scalar_atomics(kernel))


def rematerialize(kernel: Kernel) -> Kernel:
    """[rematerialize] a copy of every cheap producer in front of each of its uses."""
    made = definitions(kernel)

    def copy(value: Value, builder: Builder) -> Value:
        item = made.get(value)
        if not isinstance(item, CHEAP) or _has_layout(item):
            return value
        if isinstance(item, Broadcast):
            operand = copy(item.operand, builder)
            return builder.value(Broadcast(operand=operand, shape=item.shape), value.name)
        return builder.value(replace(item, results=()), value.name)

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if isinstance(item, CHEAP) and not _has_layout(item):
            return item.results
        changes: dict[str, object] = {}
        for spec in item.specs:
            held = getattr(item, spec.name)
            if spec.kind == "operand" and held is not None:
                changes[spec.name] = copy(held, builder)
            elif spec.kind == "operands":
                changes[spec.name] = tuple(copy(v, builder) for v in held)
        builder.append(replace(item, **changes))  # type: ignore[arg-type]
        return item.results

    return rebuild(kernel, visit)


def _has_layout(item: Instruction) -> bool:
    return any(tile_type(v).layout is not None for v in item.results)


def spread_scalar_atomics(kernel: Kernel) -> Kernel:
    """[one lane] scalar atomics as atomics on tiles of one element."""
    uses = use_counts(kernel)

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if not isinstance(item, Atomic) or not isinstance(item.value.type, ScalarType):
            return None

        def spread(value: Value) -> Value:
            return builder.value(Full(value=value, shape=(1,)), value.name)

        tile = replace(
            item,
            results=(),
            index=tuple(spread(i) for i in item.index),
            value=spread(item.value),
            mask=None if item.mask is None else spread(item.mask),
        )
        old = builder.value(tile, item.results[0].name)
        if not uses.get(item.results[0]):
            return item.results
        return [builder.value(Item(operand=old), item.results[0].name)]

    return rebuild(kernel, visit)
