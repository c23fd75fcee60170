"""Atomics on global memory, element by element, and signals between blocks."""

from __future__ import annotations

from tilewright.codegen.cpu.dtypes import literal, stored_type
from tilewright.codegen.cpu.emitter import Emitter, statement
from tilewright.codegen.cpu.loops import walk_elements
from tilewright.codegen.cpu.memory import element_text, inside_tests
from tilewright.codegen.cpu.nest import Nest
from tilewright.codegen.cpu.places import Tensor
from tilewright.codegen.cpu.tensors import offset_text
from tilewright.ir.diagnostics import LanguageError
from tilewright.ir.instructions.atomic import Atomic, Signal, SignalWait
from tilewright.ir.values import ScalarType, element_type, shape_of

_OPERATION = {
    "atomic.add": "add",
    "atomic.max": "most",
    "atomic.min": "least",
    "atomic.or": "|",
    "atomic.and": "&",
    "atomic.exchange": "",
}


def update_text(emitter: Emitter, tensor: Tensor, op: str, at: list[str], value: str) -> str:
    """An expression that updates one element indivisibly and gives its old value, held."""
    dtype, operation = tensor.dtype, _OPERATION[op]
    emitter.headers.add("update.h")
    old = emitter.tables.from_memory(dtype, "old")
    if operation in ("|", "&"):
        combined = f"({old} {operation} {value})"
    elif operation:
        combined = emitter.tables.round_held(dtype, f"tw::{operation}({old}, {value})")
    else:
        combined = value
    code = emitter.tables.to_memory(dtype, combined)
    kind = stored_type(dtype)
    place = f"&{element_text(emitter, tensor, at)}"
    function = f"[&]({kind} old) {{ return {code}; }}"
    updated = f"tw::update({place}, {function})"
    return emitter.tables.from_memory(dtype, updated)


@statement(Atomic)
def emit_atomic(emitter: Emitter, item: Atomic) -> None:
    """Row-major, one update per element, or once per block for scalars."""
    tensor, (result,) = emitter.tensors[item.tensor], item.results
    if tensor.dtype.bits < 8:
        raise LanguageError(
            f"atomics on {tensor.dtype.name}: elements share bytes", location=item.location
        )
    if isinstance(result.type, ScalarType):
        at = [offset_text(emitter, i) for i in item.index]
        tests = inside_tests(tensor, at)
        if item.mask is not None:
            tests = [emitter.scalar(item.mask), *tests]
        update = update_text(emitter, tensor, item.op, at, emitter.scalar(item.value))
        zero = literal(result.type.dtype, 0)
        emitter.define_scalar(result, f"{' && '.join(tests) or 'true'} ? {update} : {zero}")
        return
    array = emitter.array(result) if emitter.plan.uses.get(result) else None

    def build(nest: Nest) -> None:
        at = [nest.value(i, nest.index).text for i in item.index]
        tests = inside_tests(tensor, at)
        if item.mask is not None:
            tests = [nest.value(item.mask, nest.index).text, *tests]
        value = nest.value(item.value, nest.index).text
        update = update_text(emitter, tensor, item.op, at, value)
        test = " && ".join(tests) or "true"
        if array is None:
            nest.add(f"if ({test}) (void){update};")
        else:
            zero = literal(element_type(item.value), 0)
            nest.add(emitter.put(array, nest.index, f"({test} ? {update} : {zero})"))

    walk_elements(emitter, shape_of(item.value), build, reorder=False, vector=False)


@statement(Signal)
def emit_signal(emitter: Emitter, item: Signal) -> None:
    """An atomic addition that releases everything before it."""
    tensor = emitter.tensors[item.tensor]
    at = [offset_text(emitter, i) for i in item.index]
    update = update_text(emitter, tensor, "atomic.add", at, emitter.scalar(item.value))
    emitter.out.line(f"if ({' && '.join(inside_tests(tensor, at)) or 'true'}) (void){update};")


@statement(SignalWait)
def emit_signal_wait(emitter: Emitter, item: SignalWait) -> None:
    """Spin until the value has been reached, or until no block can reach it any more."""
    emitter.headers.add("update.h")
    tensor = emitter.tensors[item.tensor]
    at = [offset_text(emitter, i) for i in item.index]
    place = f"&{element_text(emitter, tensor, at)}"
    held = emitter.tables.from_memory(tensor.dtype, f"tw::acquire({place})")
    name = item.tensor.name or "a tensor"
    with emitter.out.block("for (launch.waiting(+1);;)"):
        emitter.out.line(f"if ({held} >= {emitter.scalar(item.value)}) break;")
        emitter.out.line(
            f'if (launch.is_stuck()) {{ launch.fail("deadlock: every running block waits for a '
            f'signal, one of them in {name}"); return; }}'
        )
        emitter.out.line("_mm_pause();")
    emitter.out.line("launch.waiting(-1);")
