"""The number of blocks of a launch, computed on the host.

The scalar prologue of a kernel (`extent`, constants, integer arithmetic) feeds the extents of
`for_tiles`. This module turns exactly that slice of instructions into one Python function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tilewright.ir.diagnostics import InternalError
from tilewright.ir.instruction import Instruction
from tilewright.ir.instructions.control import ForTiles
from tilewright.ir.instructions.elementwise import Binary, Cast, Compare, Select, Unary
from tilewright.ir.instructions.scalar import Const, Extent, Stride
from tilewright.ir.kernel import Kernel, definitions
from tilewright.ir.values import Value

_BINARY = {
    "add": "({} + {})",
    "sub": "({} - {})",
    "mul": "({} * {})",
    "floordiv": "({} // {})",
    "mod": "({} % {})",
    "min": "min({}, {})",
    "max": "max({}, {})",
    "and": "({} & {})",
    "or": "({} | {})",
    "shl": "({} << {})",
    "shr": "({} >> {})",
}
_COMPARE = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}

Grid = Callable[[Sequence[Sequence[int]], Sequence[Sequence[int]], Sequence[int]], int]
"""(shapes, strides, scalars), each indexed by argument → number of blocks."""


def compile_grid(kernel: Kernel) -> Grid:
    """A function that computes how many blocks a launch of `kernel` has."""
    (loop,) = (i for i in kernel.body.instructions if isinstance(i, ForTiles))
    state = _Source(kernel)
    extents = [f"max(0, {state.expression(e)})" for e in loop.extents]
    product = " * ".join(extents) or "1"
    source = f"lambda shapes, strides, scalars: {product}"
    made: Grid = eval(source, {"min": min, "max": max})
    return made


class _Source:
    def __init__(self, kernel: Kernel) -> None:
        self.arguments = {value: i for i, value in enumerate(kernel.params)}
        self.defined = definitions(kernel)

    def expression(self, value: Value) -> str:
        if value in self.arguments:
            return f"scalars[{self.arguments[value]}]"
        return self.instruction(self.defined[value])

    def instruction(self, item: Instruction) -> str:
        match item:
            case Const(value=value):
                return repr(value)
            case Extent(tensor=tensor, axis=axis):
                return f"shapes[{self.arguments[tensor]}][{axis}]"
            case Stride(tensor=tensor, axis=axis):
                return f"strides[{self.arguments[tensor]}][{axis}]"
            case Binary(op=op, left=left, right=right) if op in _BINARY:
                return _BINARY[op].format(self.expression(left), self.expression(right))
            case Compare(op=op, left=left, right=right):
                return f"({self.expression(left)} {_COMPARE[op]} {self.expression(right)})"
            case Select(condition=condition, yes=yes, no=no):
                return (
                    f"({self.expression(yes)} if {self.expression(condition)} "
                    f"else {self.expression(no)})"
                )
            case Unary(op="neg", operand=operand):
                return f"(-{self.expression(operand)})"
            case Cast(operand=operand):
                return self.expression(operand)
        raise InternalError(
            f"the grid depends on {item.mnemonic}, which the host cannot compute",
            "use sizes of tensors and scalar arguments in tw.grid",
            location=item.location,
        )
