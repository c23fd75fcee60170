"""Buffers in shared memory: where they are, and register tiles that come from them or go there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np

from tilewright.codegen.cuda.elements import stored_type
from tilewright.codegen.cuda.emitter import Emitter, emits, layout_of
from tilewright.codegen.cuda.places import (
    digit,
    is_inside_tile,
    is_representative,
    sum_of,
)
from tilewright.codegen.cuda.prelude import add_snippets
from tilewright.codegen.cuda.shared import emit_addresses, whole_block
from tilewright.ir.instructions.buffer import (
    Alloc,
    At,
    Block,
    BufferLoad,
    BufferStore,
    BufferTranspose,
    Part,
)
from tilewright.ir.layout import Layout
from tilewright.ir.targets.shared_access import SharedPlan, plan_shared_access
from tilewright.ir.values import TileType, Value, buffer_type, element_type

add_snippets(r"""
//@ tw_ldmatrix
// COUNT 8 x 8 matrices of 16 bits: 32 bits of each per lane.
template <int COUNT, bool TRANSPOSED>
__device__ __forceinline__ void tw_ldmatrix(void *registers, unsigned address) {
    unsigned *to = (unsigned *)registers;
    if constexpr (COUNT == 4 && TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(address));
    else if constexpr (COUNT == 4)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(address));
    else if constexpr (COUNT == 2 && TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                     : "=r"(to[0]), "=r"(to[1]) : "r"(address));
    else if constexpr (COUNT == 2)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                     : "=r"(to[0]), "=r"(to[1]) : "r"(address));
    else if constexpr (TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                     : "=r"(to[0]) : "r"(address));
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
                     : "=r"(to[0]) : "r"(address));
}
""")


def memory_of(buffer: Value) -> Layout:
    """The layout of a buffer, which every buffer has by now."""
    layout = buffer_type(buffer).layout
    assert layout is not None
    return layout


@emits(Alloc)
def emit_alloc(item: Alloc, e: Emitter) -> None:
    e.comment(item)
    e.alias(item.results[0], str(item.offset))


@emits(At)
def emit_at(item: At, e: Emitter) -> None:
    e.comment(item)
    memory = memory_of(item.buffer)
    size = memory.bits // 8
    terms = [
        digit(
            e.name(item.index[t.dim]),
            memory.shape[t.dim],
            t.divisor,
            t.modulus,
            t.coefficient * size,
        )
        for t in memory.address_terms()
        if t.dim < len(item.index)
    ]
    name = e.fresh(item.results[0].name or "slot")
    e.line(f"const unsigned {name} = {sum_of((e.name(item.buffer), *terms))};")
    e.alias(item.results[0], name)


@emits(Block)
def emit_block(item: Block, e: Emitter) -> None:
    """Blocks of one buffer are whole periods of its swizzle apart (`passes.staging`)."""
    e.comment(item)
    memory = memory_of(item.buffer)
    corner = [item.size if d == item.axis else 0 for d in range(memory.rank)]
    plain = memory.swizzled(0, 0, 0)
    stride = int(plain.address(*corner) - plain.start("addr")) * memory.bits // 8
    name = e.fresh(item.results[0].name or "block")
    start = f"{e.name(item.index)} * {stride}"
    e.line(f"const unsigned {name} = {sum_of((e.name(item.buffer), start))};")
    e.alias(item.results[0], name)


@emits(Part, BufferTranspose)
def emit_part(item: Part | BufferTranspose, e: Emitter) -> None:
    """The same storage: the type's layout knows where the part is."""
    e.comment(item)
    e.alias(item.results[0], e.name(item.buffer))


@emits(BufferLoad)
def emit_buffer_load(item: BufferLoad, e: Emitter) -> None:
    e.comment(item)
    result = item.results[0]
    kind = stored_type(element_type(result))
    name = e.fresh(result.name or "v")
    e.line(f"__align__(16) {kind} {name}[{e.registers(result)}];")
    e.alias(result, name)
    layout, memory = layout_of(result), memory_of(item.buffer)
    plan = plan_shared_access(layout, memory, matrices=e.target.has("ldmatrix"))
    transposed = "true" if plan.kind == "transposed" else "false"

    def access(registers: tuple[int, ...], address: str) -> None:
        if plan.kind != "vector":
            count = len(registers) * memory.bits // 32
            place = e.call("tw_address", f"tw_shared + {address}")
            e.line(
                e.call(f"tw_ldmatrix<{count}, {transposed}>", f"&{name}[{registers[0]}]", place)
                + ";"
            )
        elif is_run(registers):
            wide = e.call(
                f"tw_load<{plan.width}>", f"&{name}[{registers[0]}]", f"tw_shared + {address}"
            )
            e.line(f"{wide};")
        else:
            words = e.fresh("words")
            e.line(f"__align__(16) {kind} {words}[{len(registers)}];")
            e.line(e.call(f"tw_load<{plan.width}>", words, f"tw_shared + {address}") + ";")
            moves = (f"{name}[{r}] = {words}[{i}];" for i, r in enumerate(registers))
            e.line(" ".join(moves))

    with e.block(""):
        _emit_plan(e, item.buffer, layout, plan, access)


@emits(BufferStore)
def emit_buffer_store(item: BufferStore, e: Emitter) -> None:
    e.comment(item)
    kind = stored_type(element_type(item.value))
    name = e.name(item.value)
    layout = layout_of(item.value)
    plan = plan_shared_access(layout, memory_of(item.buffer), matrices=False)
    once = is_representative(e, layout)

    def access(registers: tuple[int, ...], address: str) -> None:
        if len(registers) == 1:
            e.line(f"*({kind} *)(tw_shared + {address}) = {name}[{registers[0]}];")
            return
        if is_run(registers):
            place = f"&{name}[{registers[0]}]"
            e.line(e.call(f"tw_store<{plan.width}>", f"tw_shared + {address}", place) + ";")
            return
        words = e.fresh("words")
        values = ", ".join(f"{name}[{r}]" for r in registers)
        e.line(f"__align__(16) const {kind} {words}[{len(registers)}] = {{{values}}};")
        e.line(e.call(f"tw_store<{plan.width}>", f"tw_shared + {address}", words) + ";")

    with e.block(f"if ({once})" if once else ""):
        _emit_plan(e, item.buffer, layout, plan, access)


def _emit_plan(
    e: Emitter,
    buffer: Value,
    layout: Layout,
    plan: SharedPlan,
    access: Callable[[tuple[int, ...], str], None],
) -> None:
    """All accesses; lanes that hold a ghost take no part in one."""
    memory = memory_of(buffer)
    inside = TileType(memory.shape, element_type(buffer), layout)
    tables = [group.elements for group in plan.groups]
    active = [whole_block(e, group.active).astype(np.bool_) for group in plan.groups]
    addresses = emit_addresses(e, e.name(buffer), memory, tables, active=active)
    for group, mask, address in zip(plan.groups, active, addresses, strict=True):
        holds = "" if mask.all() else is_inside_tile(e, inside, str(group.registers[0]))
        with e.block(f"if ({holds})") if holds else nullcontext():
            access(group.registers, address)


def is_run(registers: tuple[int, ...]) -> bool:
    """Whether registers are neighbours, aligned to their number."""
    first = registers[0]
    return registers == tuple(range(first, first + len(registers))) and first % len(registers) == 0
