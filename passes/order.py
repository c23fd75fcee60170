"""The passes of each target family, in order, and why each stands where it does.

cuda: `simplify` first, so that all others see folded scalars and proved bounds; `split_loops` reads
the bounds and must come before layouts, which differ with and without masks. `load_operands` makes
all operands tiles, `choose_atoms` fixes the fragments that `infer_layouts` starts from; declared
buffers follow the layouts of their tiles, and copies that a kernel starts itself become groups.
Reductions are split once layouts say which cross warps; the converts that this leaves are expanded
by `place_tiles`, with the operands of products. `overlap` needs the copies, `plan_shared` the
rings, `insert_sync` the offsets: two buffers in the same bytes are ordered like two accesses to
one. `vectorize` needs final layouts, and `select` decides nothing.
"""

from __future__ import annotations

from tilewright.ir.targets.record import Target
from tilewright.passes import (
    choose_atoms,
    commit_copies,
    infer_layouts,
    insert_sync,
    lay_out_buffers,
    load_operands,
    overlap,
    place_tiles,
    plan_shared,
    select,
    simplify,
    split_loops,
    split_reductions,
    unpack_bits,
    vectorize,
)
from tilewright.passes.runner import Pass

CUDA: tuple[Pass, ...] = (
    simplify.PASS,
    split_loops.PASS,
    load_operands.PASS,
    choose_atoms.PASS,
    infer_layouts.PASS,
    unpack_bits.PASS,
    lay_out_buffers.PASS,
    commit_copies.PASS,
    split_reductions.PASS,
    place_tiles.PASS,
    overlap.PASS,
    plan_shared.PASS,
    insert_sync.PASS,
    vectorize.PASS,
    select.PASS,
)
CPU: tuple[Pass, ...] = (simplify.PASS,)


def passes_for(target: Target) -> tuple[Pass, ...]:
    """The passes that bring a kernel in phase `tile` to what `target`'s code generator takes."""
    return CUDA if target.family == "cuda" else CPU
