"""Vectorize: the widest legal access for every load and store of global memory.

before:  %x: tile<[1024], f32, #0> = load %a, [%o], shape=[1024]
after:   %x: tile<[1024], f32, #0> = load %a, [%o], shape=[1024], vector=4

Needs: phase laid_out or scheduled. Gives: `vector` on loads and stores. Cost: linear.
[run] registers that lie along the tensor's fast axis, as many as divide the tile's extent (a ghost
is never half of an access). [aligned] the address is a multiple of the access (`access_widths`).
[bytes] elements of less than 8 bits are stored in whole bytes only; a layout that splits one is
refused, because two lanes would write the same byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import gcd

from tilewright.ir.diagnostics import ShapeError
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.memory import Load, Store
from tilewright.ir.kernel import Builder, Kernel, rebuild
from tilewright.ir.values import TileType, Value, tensor_type, tile_type
from tilewright.passes.access_widths import find_width, whole_bytes
from tilewright.passes.facts import Facts, find_facts
from tilewright.passes.runner import Context, Pass


def vectorize(kernel: Kernel, context: Context) -> Kernel:
    """`kernel` with the widest accesses."""
    del context
    facts = find_facts(kernel)

    def visit(item: Instruction, builder: Builder) -> Sequence[Value] | None:
        if not isinstance(item, (Load, Store)):
            return None
        value = item.results[0] if isinstance(item, Load) else item.value
        width = _width(item, tile_type(value), facts)
        builder.append(replace(item, vector=width))
        return item.results

    return rebuild(kernel, visit)


def _width(item: Load | Store, kind: TileType, facts: Facts) -> int:
    tensor = tensor_type(item.tensor)
    if not tensor.rank:
        return 1
    assert kind.layout is not None
    fast = tensor.fast_axis
    run = gcd(kind.layout.contiguity("reg", fast), kind.shape[fast])
    width = gcd(find_width(item.tensor, item.offsets, facts), run)
    group = whole_bytes(tensor.dtype.bits)
    if width % group == 0:
        return width
    if isinstance(item, Store):
        raise ShapeError(
            f"this store into {item.tensor.name or 'a tensor'} splits a byte: elements have "
            f"{tensor.dtype.bits} bits, so {group} neighbours are written at once",
            f"let the tile's last extent and its offset be multiples of {group}",
        )
    return 1


PASS = Pass("vectorize", vectorize)
