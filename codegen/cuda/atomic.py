"""Atomics on global memory, and signals between blocks.

What the hardware has is one instruction; the rest (f32 maximum, 8- and 16-bit elements) is a
compare-and-swap loop.
"""

from __future__ import annotations

from tilewright.codegen.cuda.elements import (
    integer_type,
    number_type,
    read_code,
    read_number,
    write_code,
    write_number,
)
from tilewright.codegen.cuda.emitter import Emitter, emits, layout_of
from tilewright.codegen.cuda.gather import element_address, once_per_block
from tilewright.codegen.cuda.places import all_of, is_inside_tile, is_representative
from tilewright.ir.diagnostics import InternalError, TypeMismatch
from tilewright.ir.instructions.atomic import Atomic, Signal, SignalWait
from tilewright.ir.types import DType
from tilewright.ir.values import ScalarType, element_type, tile_type

NATIVE = {
    "atomic.add": ("u32", "i32", "u64", "i64", "f32", "f64"),
    "atomic.max": ("u32", "i32", "u64", "i64"),
    "atomic.min": ("u32", "i32", "u64", "i64"),
    "atomic.or": ("u32", "i32", "u64", "i64"),
    "atomic.and": ("u32", "i32", "u64", "i64"),
    "atomic.exchange": ("u32", "i32", "u64", "i64", "f32"),
}
FUNCTIONS = {
    "atomic.add": "atomicAdd",
    "atomic.max": "atomicMax",
    "atomic.min": "atomicMin",
    "atomic.or": "atomicOr",
    "atomic.and": "atomicAnd",
    "atomic.exchange": "atomicExch",
}


@emits(Atomic)
def emit_atomic(item: Atomic, e: Emitter) -> None:
    e.comment(item)
    dtype = element_type(item.value)
    if dtype.bits < 8:
        raise TypeMismatch(f"{item.op} on {dtype.name} would split a byte", "use 8 bits or more")
    if isinstance(item.value.type, ScalarType):
        raise InternalError("a scalar atomic was not lowered: infer_layouts makes it a tile of one")
    if item.order in ("release", "acq_rel"):
        e.line("__threadfence();")
    result = item.results[0]
    name = e.declare(result)
    once = is_representative(e, layout_of(result))
    with e.loop(e.registers(result)) as r:
        held, address = element_address(e, item.tensor, item.index, lambda v: e.element(v, r))
        mask = "" if item.mask is None else e.element(item.mask, r)
        condition = all_of((is_inside_tile(e, tile_type(result), r), once, mask, held))
        e.line(f"{name}[{r}] = {e.literal(dtype, 0)};")
        with e.block(f"if ({condition})" if condition else ""):
            _update(e, item, dtype, address, f"{name}[{r}]", e.element(item.value, r))
    if item.order in ("acquire", "acq_rel"):
        e.line("__threadfence();")


def _update(e: Emitter, item: Atomic, dtype: DType, address: str, old: str, new: str) -> None:
    if dtype.name in NATIVE[item.op]:
        function = FUNCTIONS[item.op]
        if dtype.name == "i64" and item.op not in ("atomic.max", "atomic.min"):
            call = f"{function}((unsigned long long *)({address}), (unsigned long long){new})"
            e.line(f"{old} = (long long){call};")
        else:
            e.line(f"{old} = {function}({address}, {new});")
        return
    _swap_loop(e, item, dtype, address, old, new)


def _swap_loop(e: Emitter, item: Atomic, dtype: DType, address: str, old: str, new: str) -> None:
    """Reads the word, computes, and swaps it in until nothing came between.

    The smallest word has 16 bits: a byte is swapped together with its neighbour.
    """
    bits = max(16, dtype.bits)
    kind = integer_type(bits, signed=False)
    e.line(f"const unsigned long long place = (unsigned long long)({address});")
    e.line(f"{kind} *const word = ({kind} *)(place & ~{bits // 8 - 1}ull);")
    e.line(f"{kind} seen = *(volatile {kind} *)word, expected;")
    if dtype.bits < bits:
        e.line(f"const int shift = (int)(place & {bits // 8 - 1}) * 8;")
    with e.block("do"):
        e.line("expected = seen;")
        code = "expected" if dtype.bits == bits else "(unsigned char)(expected >> shift)"
        e.line(f"{old} = {write_code(e, dtype, code)};")
        result = read_code(e, dtype, f"({_combined(e, item.op, dtype, old, new)})")
        if dtype.bits < bits:
            result = f"({kind})((expected & ~(255 << shift)) | ({result} << shift))"
        e.line(f"seen = atomicCAS(word, expected, {result});")
    e.lines[-1] += " while (seen != expected);"


def _combined(e: Emitter, op: str, dtype: DType, old: str, new: str) -> str:
    x, y = read_number(e, dtype, old), read_number(e, dtype, new)
    match op:
        case "atomic.exchange":
            return new
        case "atomic.add":
            number = f"{x} + {y}"
        case "atomic.max":
            number = f"{y} > {x} ? {y} : {x}"
        case "atomic.min":
            number = f"{y} < {x} ? {y} : {x}"
        case "atomic.or":
            number = f"{x} | {y}"
        case "atomic.and":
            number = f"{x} & {y}"
        case _:
            raise InternalError(f"no template for {op}")
    return write_number(e, dtype, f"({number_type(dtype)})({number})")


@emits(Signal)
def emit_signal(item: Signal, e: Emitter) -> None:
    """The barrier puts all earlier writes of the block before the release."""
    e.comment(item)
    e.line(e.barrier)
    held, address = element_address(e, item.tensor, item.index, e.name)
    with e.block(f"if ({all_of((once_per_block(e), held))})"):
        e.line("__threadfence();")
        kind = element_type(item.tensor)
        cast = "(unsigned long long *)" if kind.name == "i64" else ""
        value = f"(unsigned long long){e.name(item.value)}" if cast else e.name(item.value)
        e.line(f"atomicAdd({cast}({address}), {value});")


@emits(SignalWait)
def emit_signal_wait(item: SignalWait, e: Emitter) -> None:
    """One lane spins with acquire loads; the barrier lets the others follow."""
    e.comment(item)
    dtype = element_type(item.tensor)
    held, address = element_address(e, item.tensor, item.index, e.name)
    bits, letter = dtype.bits, "r" if dtype.bits == 32 else "l"
    kind = "s" if dtype.signed else "u"
    with e.block(f"if ({all_of((once_per_block(e), held))})"):
        e.line(f"{integer_type(bits, dtype.signed)} seen;")
        with e.block("do"):
            load = f'asm volatile("ld.acquire.gpu.global.{kind}{bits} %0, [%1];"'
            e.line(f'{load} : "={letter}"(seen) : "l"({address}) : "memory");')
        e.lines[-1] += f" while (seen < {e.name(item.value)});"
    e.line(e.barrier)
