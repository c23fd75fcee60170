"""Lay out buffers: every buffer that a kernel declares without a layout gets one.

before:  %s: buffer<[3, 64, 32], f16> = buffer shape=[3, 64, 32], dtype=f16
after:   %s: buffer<[3, 64, 32], f16, #ring> = buffer shape=[3, 64, 32], dtype=f16, layout=#ring

Needs: register layouts of the tiles that are stored and loaded. Gives: an `addr` layout for every
buffer, and for every view of one. Cost: one search for a swizzle per declared buffer.
Named rules: [ring] leading dimensions that most tiles do not span are slots of one stage each;
[staged] a stage that copies fill keeps the order of their tensor, swizzled for its reader;
[exchange] one that tiles go through whole is laid out for its first writer and reader; [plain] any
other is row-major, as is one whose tiles' layouts are larger than it, or that a copy engine fills.
"""

from __future__ import annotations

import dataclasses
from collections import Counter

from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.buffer import Alloc
from tilewright.ir.kernel import Builder, Kernel, rebuild
from tilewright.ir.layout import Layout, choose_exchange, row_major
from tilewright.ir.targets.record import Target
from tilewright.ir.values import BufferType, Value
from tilewright.passes.buffer_uses import BufferUses, TileUse, find_buffer_uses
from tilewright.passes.rings import ALIGNMENT, buffer_bytes, ring_layout
from tilewright.passes.runner import Context, Pass
from tilewright.passes.staging import choose_memory, find_blocks
from tilewright.passes.users import Users, find_users


def lay_out_buffers(kernel: Kernel, context: Context) -> Kernel:
    """Layouts for declared buffers, then for what is derived from them."""
    declared = [i for i in kernel.walk() if isinstance(i, Alloc) and i.layout is None]
    if not declared:
        return kernel
    uses, users = find_buffer_uses(kernel), find_users(kernel)
    chosen = {
        item.results[0]: _choose(item, uses[item.results[0]], users, context.target)
        for item in declared
    }

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


def _choose(item: Alloc, uses: BufferUses, users: Users, target: Target) -> Layout:
    """[ring] around [staged], [exchange] or [plain]"""
    plain = row_major(item.shape, bits=item.dtype.bits)
    depths = Counter(use.depth for use in (*uses.stores, *uses.loads))
    if not depths or uses.linear:
        return plain
    depth = max(depths, key=lambda d: (depths[d], -d))
    memory = _choose_stage(item, uses, depth, users, target)
    if memory is None or (depth and buffer_bytes(memory) < ALIGNMENT):
        return plain  # what fits in a row of banks has no conflicts, and slots are whole rows
    for slots in reversed(item.shape[:depth]):
        memory = ring_layout(memory, slots)
    return memory


def _choose_stage(
    item: Alloc, uses: BufferUses, depth: int, users: Users, target: Target
) -> Layout | None:
    """[staged] or [exchange] for what tiles span: the dimensions behind the first `depth`."""
    stores, loads = ([u for u in some if u.depth == depth] for some in (uses.stores, uses.loads))
    first, second = (*stores, *loads)[0], (*loads, *stores)[0]
    axes = [dim - depth for dim in uses.fast if dim >= depth]
    if axes:
        return _stage(second, axes[0], users, target)
    if first.registers.shape == second.registers.shape == item.shape[depth:]:
        return choose_exchange(first.registers, second.registers, item.dtype.bits).memory
    return None


def _stage(use: TileUse, axis: int, users: Users, target: Target) -> Layout:
    """[staged] as `place_tiles` lays out the operands that it stages itself."""
    blocks = find_blocks(use.value, users, target)
    if blocks is not None:
        dim, size = blocks
        stage_dim = use.dims[dim] - use.depth
        whole = use.registers.shape[stage_dim] % size == 0
        blocks = (stage_dim, size) if whole else None
    return choose_memory(use.registers, axis, target.has("ldmatrix"), blocks)


PASS = Pass("lay_out_buffers", lay_out_buffers)
