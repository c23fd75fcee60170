"""`mma.scaled`: codes in device order are contracted where they lie in memory.

The tile of codes, its scales and its zero points are never loaded: the instruction passes their
places to `tw::mma_scaled` (prelude/mma_scaled.h), which decodes in registers. x is read from
memory, too, where it is a plain load, else from its array. Tiles that come from elsewhere (codes
that are dense along K, computed scales) take plain loops over their arrays.

Needs: offsets of rows that are multiples of 16 and of columns that are multiples of 8 (`divides`),
tiles of whole panels, groups of whole units.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tilewright.codegen.cpu.dtypes import stored_type
from tilewright.codegen.cpu.emitter import Emitter, statement, tile_of
from tilewright.codegen.cpu.loops import fill_array
from tilewright.codegen.cpu.places import Array
from tilewright.codegen.cpu.plan import Plan, resolve
from tilewright.codegen.cpu.rows import fill_rows, settle
from tilewright.codegen.cpu.tensors import is_checked, is_nonnegative, offset_text
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.instructions.control import For
from tilewright.ir.instructions.elementwise import Binary
from tilewright.ir.instructions.matmul import MmaScaled
from tilewright.ir.instructions.memory import Load
from tilewright.ir.instructions.scalar import Const
from tilewright.ir.instructions.shape import Full
from tilewright.ir.types import DType, bf16
from tilewright.ir.values import Value, shape_of, tensor_type

ROWS, UNIT_K = 16, 8


@dataclass(frozen=True)
class Source:
    """Where the x of a product begins: pointer, strides, and what its view has left."""

    pointer: str
    strides: tuple[str, str]
    left: tuple[str, str]


@statement(MmaScaled)
def emit_mma_scaled(emitter: Emitter, item: MmaScaled) -> None:
    """Add the product to the accumulator, in place where it is free, else to a copy of it."""
    acc = emitter.array(item.results[0])
    if item.acc in emitter.plan.virtual or emitter.array(item.acc) is not acc:
        fill_array(emitter, item.acc, acc)
    emitter.headers.add("mma_scaled.h")
    codes = packed_load(emitter.plan, item.y)
    with emitter.out.block(""):
        if codes is None:
            _emit_arrays(emitter, item, acc)
        else:
            _emit_packed(emitter, item, codes, acc)


def packed_load(plan: Plan, value: Value) -> Load | None:
    """The load of packed weights that `value` is the transpose of."""
    base, swapped = resolve(plan, value)
    load = plan.definition.get(base)
    if not isinstance(load, Load) or tensor_type(load.tensor).packing is None:
        return None
    if not swapped or load.other is not None:
        raise _unfit(load, "mma takes packed weights transposed and without `other`")
    return load


def _unfit(item: Load | MmaScaled, rule: str) -> LanguageError:
    return LanguageError(f"packed weights do not fit their mma: {rule}", location=item.location)


def divides(plan: Plan, value: Value, step: int) -> bool:
    """Whether an index scalar is a multiple of `step` by how it is computed."""
    item = plan.definition.get(value)
    match item:
        case Const(value=number):
            return int(number) % step == 0
        case Binary(op="mul", left=left, right=right):
            return divides(plan, left, step) or divides(plan, right, step)
        case Binary(op="add" | "sub", left=left, right=right):
            return divides(plan, left, step) and divides(plan, right, step)
    owner = plan.owner.get(plan.home[value])
    if isinstance(owner, For) and value is owner.body.args[0]:
        return divides(plan, owner.low, step) and divides(plan, owner.step, step)
    return False


def _emit_packed(emitter: Emitter, item: MmaScaled, codes: Load, acc: Array) -> None:
    scales = packed_load(emitter.plan, item.scale)
    if scales is None:
        raise _unfit(item, "the scales of packed codes are packed, too (rows16)")
    (m, k), (groups, n) = shape_of(item.x), shape_of(item.scale)
    _check_tiles(emitter.plan, item, codes, scales)
    tensor, rates = emitter.tensors[codes.tensor], emitter.tensors[scales.tensor]
    zeros, zero = _find_zeros(emitter, item, scales)
    table = _emit_table(emitter, tensor.dtype)
    x = _find_left(emitter, item)
    out = emitter.out
    if x.left[1] != str(k):
        out.line(f"if ({_columns_of(emitter, item)} > {tensor.extents[1]}) {{")
        out.line('  launch.fail("x of mma has more columns than its packed weights");')
        out.line("  return;")
        out.line("}")
    groups_text = f"{{{rates.pointer}, {zeros}, {zero}, {rates.extents[1]}}}"
    parts = (f"(const uint8_t*){tensor.pointer}", *tensor.extents, groups_text, table or "nullptr")
    kind = f"const tw::Weights<{stored_type(rates.dtype)}>"
    out.line(f"{kind} weights = {{{', '.join(parts)}}};")
    places = [offset_text(emitter, o) for o in (*codes.offsets, *scales.offsets)]
    out.line(f"const tw::Corner corner = {{{', '.join(places)}}};")
    flags = (bool(table), item.zero is not None, _is_exact(tensor.dtype))
    with_table, with_zero, exact = (str(flag).lower() for flag in flags)
    out.line(
        f"tw::mma_scaled<{tensor.dtype.bits}, {with_table}, {m}, {n}, {k}, {k // groups}, "
        f"{with_zero}, {exact}>({acc.name}, {x.pointer}, {x.strides[0]}, {x.strides[1]}, "
        f"{x.left[0]}, {x.left[1]}, weights, corner);"
    )


def _check_tiles(plan: Plan, item: MmaScaled, codes: Load, scales: Load) -> None:
    (_, k), (groups, n) = shape_of(item.x), shape_of(item.scale)
    kinds = tensor_type(codes.tensor).packing, tensor_type(scales.tensor).packing
    if kinds != ("panel16", "rows16"):
        raise _unfit(codes, f"codes are panel16 and scales rows16, not {kinds}")
    if tensor_type(scales.tensor).dtype.name not in ("f32", "bf16", "f16"):
        raise _unfit(scales, "scales are f32, bf16 or f16")
    if n % ROWS or k // groups % UNIT_K:
        raise _unfit(item, f"tiles have whole panels ({ROWS} rows) and units ({UNIT_K} columns)")
    steps = (*zip(codes.offsets, (ROWS, UNIT_K), strict=True), (scales.offsets[0], ROWS))
    if not all(divides(plan, offset, step) for offset, step in steps):
        raise _unfit(codes, f"offsets are multiples of {ROWS} rows and {UNIT_K} columns")
    if not all(is_nonnegative(plan, o) for o in (*codes.offsets, *scales.offsets)):
        raise _unfit(codes, "offsets are not negative")


def _find_zeros(emitter: Emitter, item: MmaScaled, scales: Load) -> tuple[str, str]:
    """The pointer to zero points, or null and the one that holds for all groups."""
    if item.zero is None:
        return "nullptr", "0"
    definition = emitter.plan.definition.get(item.zero)
    if isinstance(definition, Full):
        return "nullptr", f"(float){emitter.scalar(definition.value)}"
    load = packed_load(emitter.plan, item.zero)
    kind = None if load is None else tensor_type(load.tensor)
    if load is None or kind is None or (kind.packing, kind.dtype.name) != ("rows16", "u8"):
        raise _unfit(item, "zero points of packed codes are packed u8 (rows16), or one number")
    places = [[offset_text(emitter, o) for o in part.offsets] for part in (load, scales)]
    if places[0] != places[1]:
        raise _unfit(item, "zero points and scales are loaded at the same place")
    return emitter.tensors[load.tensor].pointer, "0"


def _emit_table(emitter: Emitter, dtype: DType) -> str | None:
    """The name of a table of the numbers that codes mean; None for unsigned integers."""
    if dtype.kind == "uint":
        return None
    name = emitter.names.fresh("numbers")
    values = ", ".join(_number(v) for v in _numbers(dtype))
    emitter.out.line(f"alignas(64) static const float {name}[{1 << dtype.bits}] = {{{values}}};")
    return name


def _numbers(dtype: DType) -> np.ndarray:
    every = np.arange(1 << dtype.bits).astype(dtype.container)
    return np.asarray(dtype.decode(every), np.float32)


def _number(value: float) -> str:
    if np.isnan(value):
        return '__builtin_nanf("")'
    if np.isinf(value):
        return f"{'-' if value < 0 else ''}__builtin_inff()"
    return f"{float(value)!r}f"


def _is_exact(dtype: DType) -> bool:
    """Whether all numbers of the codes are finite bf16 numbers."""
    numbers = _numbers(dtype)
    finite = bool(np.isfinite(numbers).all())
    return finite and bool((bf16.decode(bf16.encode(numbers)) == numbers).all())


def _find_left(emitter: Emitter, item: MmaScaled) -> Source:
    load = emitter.plan.definition.get(item.x)
    if item.x not in emitter.plan.streamed or not isinstance(load, Load):
        array, (m, k) = settle(emitter, item.x), shape_of(item.x)
        return Source(array.name, (str(array.strides[0]), str(array.strides[1])), (str(m), str(k)))
    tensor = emitter.tensors[load.tensor]
    at = [offset_text(emitter, o) for o in load.offsets]
    moved = [f"(int64_t){o} * {s}" for o, s in zip(at, tensor.strides, strict=True)]
    left = [
        f"{tensor.extents[a]} - {at[a]}" if is_checked(load.bounds, a) else str(load.shape[a])
        for a in (0, 1)
    ]
    pointer = f"{tensor.pointer} + {moved[0]} + {moved[1]}"
    return Source(pointer, (tensor.strides[0], tensor.strides[1]), (left[0], left[1]))


def _columns_of(emitter: Emitter, item: MmaScaled) -> str:
    load = emitter.plan.definition[item.x]
    assert isinstance(load, Load)
    return emitter.tensors[load.tensor].extents[1]


def _emit_arrays(emitter: Emitter, item: MmaScaled, acc: Array) -> None:
    """Plain loops over arrays, for tiles that are not packed weights."""
    named = [("x", item.x), ("y", item.y), ("scale", item.scale)]
    if item.zero is not None:
        named.append(("zero", item.zero))
    found = [_place(emitter, value) for _, value in named]
    (m, k), (groups, n) = shape_of(item.x), shape_of(item.scale)
    strides = ", ".join(f"{s[0]}, {s[1]}" for _, s in found[:3])
    zero, zero_strides = found[3] if len(found) > 3 else ("(const uint8_t*)nullptr", (0, 0))
    names = ", ".join(array for array, _ in found[:3])
    emitter.out.line(
        f"tw::mma_scaled_arrays<{m}, {n}, {k}, {k // groups}, {strides}, {zero_strides[0]}, "
        f"{zero_strides[1]}>({acc.name}, {acc.strides[0]}, {names}, {zero});"
    )


def _place(emitter: Emitter, value: Value) -> tuple[str, tuple[int, int]]:
    """The name and strides of a tile's array, filled here if it has none yet."""
    base, swapped = resolve(emitter.plan, value)
    load = emitter.plan.definition.get(base)
    if base in emitter.plan.streamed and isinstance(load, Load):
        kind = tile_of(base)
        array = emitter.local(base.name or "tile", "float", kind)
        fill_rows(emitter, load, array)
    else:
        array = settle(emitter, base)
    first, second = array.strides
    return array.name, (second, first) if swapped else (first, second)
