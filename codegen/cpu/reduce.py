"""Reductions along one axis of a tile: one nest, with the accumulator in a register where possible.

Along the innermost axis each result is a vector reduction of a register; along any other the
accumulators are an array that the outer loops sweep. Narrow floats accumulate in f32 and round
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


def _reduce_inner(emitter: Emitter, item: Reduce, fold: Fold, array: Array) -> None:
    nan = _keeps_nan(fold)
    clauses = f" reduction({fold.operator}:acc)" + (" reduction(|:nan)" if nan else "")

    def build(nest: Nest) -> None:
        outer = nest.depth - 1
        nest.add(f"{fold.holder} acc = {fold.start};", outer)
        if nan:
            nest.add("int nan = 0;", outer)
        element = nest.value(item.operand, nest.index)
        if nan:
            nest.add(f"nan |= {element.text} != {element.text};")
        nest.add(fold.step("acc", element.text))
        kept = tuple(
            Term("0") if axis == item.axis else i for axis, i in enumerate(nest.index)
        )
        if nan:
            suffix = "f" if fold.holder == "float" else ""
            nest.after(f'if (nan) acc = __builtin_nan{suffix}("");', outer)
        nest.after(emitter.put(array, kept, _finish(emitter, fold, "acc")), outer)

    walk_elements(emitter, shape_of(item.operand), build, reorder=False, clauses=clauses)


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
            if _keeps_nan(fold):
                sign = "<" if fold.operator == "min" else ">"
                test = f"({element} {sign} {acc}) | ({element} != {element})"
                nest.add(f"{acc} = {test} ? {element} : {acc};")
            else:
                nest.add(fold.step(acc, element))

        inner_reduced = all(e == 1 for e in shape[item.axis + 1 :])
        walk_elements(emitter, shape, build, reorder=False, vector=not inner_reduced)
        nest = emitter.nest(kept_shape, read_directly)
        kept = " + ".join(f"{i.text} * {s}" for i, s in zip(nest.index, strides, strict=True))
        held = _finish(emitter, fold, f"{name}[{kept or '0'}]")
        nest.add(emitter.put(array, nest.index, held))
        nest.write()


