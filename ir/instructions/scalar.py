"""Block-uniform scalars: constants, and facts about tensors."""

from __future__ import annotations

import numpy as np

from tilewright.ir.diagnostics import InterpretError, TypeMismatch
from tilewright.ir.instruction import ANY, Instruction, attribute, instruction, operand
from tilewright.ir.instructions.memory import check_axis
from tilewright.ir.memory import TensorView
from tilewright.ir.numeric import Array, round_to
from tilewright.ir.types import DType, bool_
from tilewright.ir.values import ScalarType, Type, Value, scalar_type


@instruction("const", phases=ANY)
class Const(Instruction):
    """result = value"""

    value: int | float | bool = attribute()
    dtype: DType = attribute()

    def result(self) -> tuple[Type, ...]:
        return (ScalarType(self.dtype),)

    def meaning(self) -> Array:
        kind = np.float64 if self.dtype.is_float else None
        return round_to(self.dtype, np.asarray(self.value, kind))


@instruction("extent", phases=ANY)
class Extent(Instruction):
    """result = the number of elements of `tensor` (of its view) along `axis`"""

    tensor: Value = operand()
    axis: int = attribute()
    dtype: DType = attribute()

    def check(self) -> None:
        check_axis(self.tensor, self.axis)

    def result(self) -> tuple[Type, ...]:
        return (ScalarType(self.dtype),)

    def meaning(self, tensor: TensorView) -> Array:
        return np.asarray(tensor.shape[self.axis])


@instruction("stride", phases=ANY)
class Stride(Instruction):
    """result = the distance, in elements, of neighbours of `tensor` along `axis`"""

    tensor: Value = operand()
    axis: int = attribute()
    dtype: DType = attribute()

    def check(self) -> None:
        check_axis(self.tensor, self.axis)

    def result(self) -> tuple[Type, ...]:
        return (ScalarType(self.dtype),)

    def meaning(self, tensor: TensorView) -> Array:
        return np.asarray(tensor.element_stride(self.axis))


@instruction("assume", phases=ANY)
class Assume(Instruction):
    """Promises that `fact` holds; the interpreter checks it, passes may use it."""

    fact: Value = operand()

    def check(self) -> None:
        if scalar_type(self.fact).dtype != bool_:
            raise TypeMismatch(f"assume wants a bool, not {scalar_type(self.fact).dtype.name}")

    def meaning(self, fact: Array) -> None:
        if not bool(fact):
            raise InterpretError("an assumption of the kernel does not hold")
