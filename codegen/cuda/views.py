"""Views of tensors: other C names for pointer, extents and strides."""

from __future__ import annotations

from tilewright.codegen.cuda.elements import pointed_type
from tilewright.codegen.cuda.emitter import Emitter, TensorNames, emits
from tilewright.ir.instructions.memory import Bytes, Rows, Subview
from tilewright.ir.values import Value, element_type


@emits(Rows)
def emit_rows(item: Rows, e: Emitter) -> None:
    e.comment(item)
    old = e.tensors[item.tensor]
    low, high = e.name(item.low), e.name(item.high)
    name = e.fresh(item.results[0].name or f"{old.pointer}_rows")
    pointee = pointee_of(item.tensor, e)
    e.line(f"{pointee} *const {name} = {old.pointer} + (long long){low} * {old.strides[0]};")
    extent = e.fresh(f"{name}_extent0")
    end = e.fresh(f"{name}_end")
    whole = old.extents[0]
    e.line(f"const long long {end} = (long long){high} < {whole} ? (long long){high} : {whole};")
    e.line(f"const long long {extent} = {end} > {low} ? {end} - {low} : 0;")
    e.tensors[item.results[0]] = TensorNames(
        name, (extent, *old.extents[1:]), old.strides, old.constant
    )
    e.alias(item.results[0], name)


@emits(Subview)
def emit_subview(item: Subview, e: Emitter) -> None:
    e.comment(item)
    old = e.tensors[item.tensor]
    name = e.fresh(item.results[0].name or f"{old.pointer}_at")
    pointee = pointee_of(item.tensor, e)
    index, stride = e.name(item.index), old.strides[item.axis]
    e.line(f"{pointee} *const {name} = {old.pointer} + (long long){index} * {stride};")
    keep = [a for a in range(len(old.strides)) if a != item.axis]
    e.tensors[item.results[0]] = TensorNames(
        name,
        tuple(old.extents[a] for a in keep),
        tuple(old.strides[a] for a in keep),
        old.constant,
    )
    e.alias(item.results[0], name)


@emits(Bytes)
def emit_bytes(item: Bytes, e: Emitter) -> None:
    """The same pointer: leading strides of packed tensors are bytes already."""
    e.comment(item)
    old, bits = e.tensors[item.tensor], element_type(item.tensor).bits
    extent = e.fresh(f"{old.pointer}_bytes")
    e.line(f"const long long {extent} = ((long long){old.extents[-1]} * {bits} + 7) / 8;")
    e.tensors[item.results[0]] = TensorNames(
        old.pointer, (*old.extents[:-1], extent), old.strides, old.constant
    )
    e.alias(item.results[0], old.pointer)


def pointee_of(tensor: Value, e: Emitter) -> str:
    """The C type that a tensor's pointer points to."""
    constant = "const " if e.tensors[tensor].constant else ""
    return constant + pointed_type(element_type(tensor))
