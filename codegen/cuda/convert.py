"""Layout changes within a warp: renamed registers or shuffles; and views, which keep every bit.

What has to leave its warp went through a buffer before (`passes.exchange`).
"""

from __future__ import annotations

from math import gcd

from tilewright.codegen.cuda.elements import code_type, read_code, write_code
from tilewright.codegen.cuda.emitter import Emitter, emits, layout_of
from tilewright.codegen.cuda.places import emit_renaming, find_register_map, register_expression
from tilewright.ir.diagnostics import InternalError
from tilewright.ir.instructions.shape import Convert, View
from tilewright.ir.layout import convert
from tilewright.ir.layout.convert import ConvertPlan
from tilewright.ir.layout.shuffles import Shuffle
from tilewright.ir.types import DType
from tilewright.ir.values import element_type, tile_type

LANES = 32


@emits(Convert)
def emit_convert(item: Convert, e: Emitter) -> None:
    e.comment(item)
    result = item.results[0]
    if find_register_map(tile_type(item.operand), tile_type(result)) is not None:
        emit_renaming(e, item.operand, result)
        return
    bits = max(8, element_type(result).bits)
    source, target = layout_of(item.operand), layout_of(result)
    plan = None
    if source.shape == target.shape:
        plan = convert(source.with_bits(bits), target.with_bits(bits))
    if plan is None or plan.kind != "lanes":
        raise InternalError(f"{result!r} has to pass through shared memory: place_tiles")
    _emit_shuffles(e, item, plan)


def _emit_shuffles(e: Emitter, item: Convert, plan: ConvertPlan) -> None:
    dtype = element_type(item.operand)
    source, name = e.name(item.operand), e.declare(item.results[0])
    word = "unsigned long long" if dtype.bits > 32 else "unsigned"
    with e.block(""):
        e.line(f"{word} moved;")
        for step in plan.shuffles:
            _emit_step(e, dtype, step, plan.unit, source, name)


def _emit_step(e: Emitter, dtype: DType, step: Shuffle, unit: int, source: str, name: str) -> None:
    words = {place: _pack(e, dtype, source, place * unit, unit) for place in set(step.send)}
    sent = choose_by_lane(step.send, words)
    if step.is_local:
        e.line(f"moved = {sent};")
    else:
        origin = lane_expression(e, step.source_lane)
        e.line(f"moved = __shfl_sync(0xffffffffu, {sent}, {origin});")
    for place in sorted(set(step.receive) - {-1}):
        mask = sum(1 << lane for lane, r in enumerate(step.receive) if r == place)
        with e.block("" if mask == (1 << LANES) - 1 else f"if ({_in_mask(mask)})"):
            for i in range(unit):
                code = _part(dtype, i, unit)
                e.line(f"{name}[{place * unit + i}] = {write_code(e, dtype, code)};")


def _pack(e: Emitter, dtype: DType, source: str, first: int, unit: int) -> str:
    bits = max(8, dtype.bits)
    kind = "unsigned long long" if bits > 32 else "unsigned"
    parts = [
        f"({kind})({read_code(e, dtype, f'{source}[{first + i}]')})"
        + (f" << {i * bits}" if i else "")
        for i in range(unit)
    ]
    return " | ".join(parts) if unit == 1 else f"({' | '.join(parts)})"


def _part(dtype: DType, i: int, unit: int) -> str:
    bits = max(8, dtype.bits)
    if unit == 1 and bits >= 32:
        return "moved"
    return f"({code_type(dtype)})(moved >> {i * bits})" if i else f"({code_type(dtype)})moved"


def _in_mask(mask: int) -> str:
    return f"{mask:#x}u >> lane & 1"


def choose_by_lane(table: tuple[int, ...], words: dict[int, str]) -> str:
    """The word that each lane's entry of `table` names, by selects on the lane number."""
    ordered = sorted(words)
    text = words[ordered[0]]
    for entry in ordered[1:]:
        mask = sum(1 << lane for lane, wanted in enumerate(table) if wanted == entry)
        text = f"({_in_mask(mask)} ? {words[entry]} : {text})"
    return text


def lane_expression(e: Emitter, table: tuple[int, ...]) -> str:
    """`table[lane]` as arithmetic where it is an xor or a sum of digits, else as a lookup."""
    flips = {lane ^ origin for lane, origin in enumerate(table)}
    if len(flips) == 1:
        return f"lane ^ {flips.pop()}"
    found = register_expression(table, "lane")
    if found is not None:
        return found
    return f"{e.array('unsigned char', [str(lane) for lane in table])}[lane]"


@emits(View)
def emit_view(item: View, e: Emitter) -> None:
    """Registers are one string of bits per lane, cut anew."""
    e.comment(item)
    source, target = element_type(item.operand), item.dtype
    result = item.results[0]
    if source == target:
        e.alias(result, e.name(item.operand))
        return
    name, origin = e.declare(result), e.name(item.operand)
    period = source.bits * target.bits // gcd(source.bits, target.bits)
    into, out = period // target.bits, period // source.bits
    total = e.registers(result)
    with e.loop(total // into, index="group") as group:
        for i in range(into):
            code = _cut(e, source, target, origin, group, out, i)
            e.line(f"{name}[{_place(group, into, i)}] = {write_code(e, target, code)};")


def _place(group: str, size: int, i: int) -> str:
    if group == "0":
        return str(i)
    base = group if size == 1 else f"{group} * {size}"
    return f"{base} + {i}" if i else base


def _cut(
    e: Emitter, source: DType, target: DType, origin: str, group: str, out: int, i: int
) -> str:
    """The code of target element `i` of a group, from the source elements that hold its bits."""
    first, end = i * target.bits, (i + 1) * target.bits
    kind = "unsigned long long" if max(source.bits, target.bits) > 32 else "unsigned"
    parts = []
    for j in range(first // source.bits, -(-end // source.bits)):
        stored = f"{origin}[{_place(group, out, j)}]"
        code = f"({kind})({read_code(e, source, stored)})"
        shift = j * source.bits - first
        parts.append(
            f"{code} << {shift}" if shift > 0 else f"{code} >> {-shift}" if shift else code
        )
    joined = " | ".join(f"({part})" for part in parts)
    if end < -(-end // source.bits) * source.bits or target.bits < 8:
        joined = f"({joined}) & {hex((1 << target.bits) - 1)}{'ull' if target.bits > 32 else 'u'}"
    return f"({code_type(target)})({joined})"
