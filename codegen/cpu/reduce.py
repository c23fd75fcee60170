"""Reductions along one axis of a tile: one nest, with the accumulator in a register where possible.

Along the innermost axis each result is folded from partial ones in a few registers; along any other
the accumulators are an array that the outer loops sweep. Narrow floats accumulate in f32 and round
once. A maximum or minimum with a NaN among its operands is NaN, as in NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass

from tilewright.codegen.cpu.dtypes import held_type, literal
from tilewright.codegen.cpu.emitter import Emitter, statement, tile_of
from tilewright.codegen.cpu.loops import walk_elements
from tilewright.codegen.cpu.matmul import pack_operands
from tilewright.codegen.cpu.nest import Nest, Term
from tilewright.codegen.cpu.places import Array, dense_strides
from tilewright.codegen.cpu.tensors import read_directly
from tilewright.ir.instructions.reduce import Reduce
from tilewright.ir.types import DType
from tilewright.ir.values import element_type, shape_of

PARTS = 64
"""Partial results of one reduction along the innermost axis: four vectors of f32."""


@dataclass(frozen=True)
class Fold:
    """One kind of reduction on one type: holder, start, step and OpenMP's name of the operator."""

    holder: str
    start: str
    operator: str
    exact: bool
    dtype: DType

    def step(self, acc: str, element: str) -> str:
        """The statement that takes in one element."""
        if self.operator in ("min", "max"):
            sign = "<" if self.operator == "min" else ">"
            return f"{acc} = {element} {sign} {acc} ? {element} : {acc};"
        return f"{acc} = {acc} {self.operator} ({self.holder}){element};"


def make_fold(op: str, dtype: DType) -> Fold:
    """The fold of reduction `op` over elements of `dtype`."""
    held = held_type(dtype)
    floating = held in ("float", "double")
    if op in ("any", "all"):
        return Fold("int", "0" if op == "any" else "1", "|" if op == "any" else "&", True, dtype)
    if op in ("sum", "prod"):
        holder = held if floating else f"uint{64 if dtype.bits == 64 else 32}_t"
        return Fold(holder, "0" if op == "sum" else "1", "+" if op == "sum" else "*", False, dtype)
    if dtype.kind == "bool":
        return Fold("int", "0" if op == "reduce_max" else "1", op[-3:], True, dtype)
    bound = float("-inf") if op == "reduce_max" else float("inf")
    if not floating:
        bound = dtype.min if op == "reduce_max" else dtype.max
    return Fold(held, literal(dtype, bound), op[-3:], not floating, dtype)


@statement(Reduce)
def emit_reduce(emitter: Emitter, item: Reduce) -> None:
    """Fill the result's array."""
    shape, (result,) = shape_of(item.operand), item.results
    fold = make_fold(item.op, element_type(item.operand))
    array = emitter.array(result)
    if all(extent == 1 for extent in shape[item.axis + 1 :]) and shape[item.axis] > 1:
        _reduce_inner(emitter, item, fold, array)
    else:
        _reduce_outer(emitter, item, fold, array)
    pack_operands(emitter, result)


def _finish(emitter: Emitter, fold: Fold, acc: str) -> str:
    held = f"({held_type(fold.dtype)}){acc}"
    return held if fold.exact else emitter.tables.round_held(fold.dtype, held)


def _keeps_nan(fold: Fold) -> bool:
    return fold.holder in ("float", "double") and fold.operator in ("min", "max")


def _step(fold: Fold, acc: str, element: str) -> str:
    """The statement that takes in one element; NaN stays."""
    if not _keeps_nan(fold):
        return fold.step(acc, element)
    sign = "<" if fold.operator == "min" else ">"
    test = f"({element} {sign} {acc}) | ({element} != {element})"
    return f"{acc} = {test} ? {element} : {acc};"


def _reduce_inner(emitter: Emitter, item: Reduce, fold: Fold, array: Array) -> None:
    """Several vectors of partial results hide the latency of one; at the end they are halved."""
    parts = min(PARTS, 1 << (shape_of(item.operand)[item.axis] - 1).bit_length())

    def build(nest: Nest) -> None:
        outer, (axis,) = nest.depth - 1, nest.loops[-1:]
        nest.add(f"{fold.holder} part[{parts}];", outer)
        nest.add(f"for (int p = 0; p < {parts}; ++p) part[p] = {fold.start};", outer)
        element = nest.value(item.operand, nest.index)
        nest.add(_step(fold, f"part[i{axis} - i]", element.text))
        kept = tuple(Term("0") if a == item.axis else i for a, i in enumerate(nest.index))
        halve = _step(fold, "part[p]", "part[p + half]")
        nest.after(f"for (int half = {parts // 2}; half; half /= 2)", outer)
        nest.after(f"  for (int p = 0; p < half; ++p) {halve}", outer)
        nest.after(emitter.put(array, kept, _finish(emitter, fold, "part[0]")), outer)

    walk_elements(emitter, shape_of(item.operand), build, reorder=False, chunk=parts)


def _reduce_outer(emitter: Emitter, item: Reduce, fold: Fold, array: Array) -> None:
    shape, kept_shape = shape_of(item.operand), tile_of(item.results[0]).shape
    with emitter.out.block(""):
        size = max(1, array.size)
        name = emitter.names.fresh("sums")
        emitter.allocate(fold.holder, name, size)
        emitter.out.line(f"for (int i = 0; i < {size}; ++i) {name}[i] = {fold.start};")
        strides = dense_strides(kept_shape)

        def build(nest: Nest) -> None:
            kept = [
                f"{i.text} * {s}"
                for axis, (i, s) in enumerate(zip(nest.index, strides, strict=True))
                if axis != item.axis
            ]
            acc = f"{name}[{' + '.join(kept) or '0'}]"
            element = nest.value(item.operand, nest.index).text
            nest.add(_step(fold, acc, element))

        inner_reduced = all(e == 1 for e in shape[item.axis + 1 :])
        walk_elements(emitter, shape, build, reorder=False, vector=not inner_reduced)
        nest = emitter.nest(kept_shape, read_directly)
        kept = " + ".join(f"{i.text} * {s}" for i, s in zip(nest.index, strides, strict=True))
        held = _finish(emitter, fold, f"{name}[{kept or '0'}]")
        nest.add(emitter.put(array, nest.index, held))
        nest.write()
