"""What is known about a kernel's integer scalars: each as an index expression with its facts.

A loop index is `low + step * t` with t >= 0; that it stays below the loop's end is kept beside it,
as the replacement t -> trips - 1 - s with s >= 0, and tried where a bound from above is wanted.
Assumptions of the form `extent % n == 0` become divisors of the extent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tilewright.ir.index import (
    Index,
    as_index,
    maximum,
    minimum,
    prove_nonnegative,
    substitute,
    variable,
)
from tilewright.ir.instruction import Body, Instruction
from tilewright.ir.instructions.control import For, ForTiles
from tilewright.ir.instructions.elementwise import Binary, Cast, Compare
from tilewright.ir.instructions.scalar import Assume, Const, Extent, Stride
from tilewright.ir.kernel import Kernel, definitions
from tilewright.ir.values import ScalarType, Value, tensor_type

_LARGEST = 2**40


@dataclass
class Facts:
    """Index expressions of scalar values, and from where loop indices count down."""

    expressions: dict[Value, Index] = field(default_factory=dict)
    countdowns: dict[Index, Index] = field(default_factory=dict)
    divisors: dict[tuple[Value, int], int] = field(default_factory=dict)
    parameters: frozenset[Value] = frozenset()

    def of(self, value: Value) -> Index:
        """The expression of an integer scalar; a fresh variable where nothing is known."""
        if value not in self.expressions:
            self.expressions[value] = variable(f"{value.name or 'v'}.{len(self.expressions)}")
        return self.expressions[value]

    def extent(self, tensor: Value, axis: int) -> Index | None:
        """The extent of a tensor parameter along `axis`; None for views, which have their own."""
        return _extent(tensor, axis, self) if tensor in self.parameters else None

    def is_nonnegative(self, value: Index) -> bool:
        """Whether `value` >= 0 always holds, also by what loops promise about their indices."""
        if prove_nonnegative(value):
            return True
        return bool(self.countdowns) and prove_nonnegative(substitute(value, self.countdowns))


def find_facts(kernel: Kernel) -> Facts:
    """Facts about all integer scalars of `kernel`."""
    facts = Facts(divisors=dict(_assumed_divisors(kernel)), parameters=frozenset(kernel.params))
    for param in kernel.params:
        if isinstance(param.type, ScalarType) and param.type.dtype.is_integer:
            facts.expressions[param] = variable(f"{param.name}.arg")
    _visit(kernel.body, facts)
    return facts


def _assumed_divisors(kernel: Kernel) -> Iterator[tuple[tuple[Value, int], int]]:
    defined = definitions(kernel)
    for item in kernel.walk():
        if not isinstance(item, Assume):
            continue
        match defined.get(item.fact):
            case Compare(op="eq", left=left, right=right):
                if _constant(defined.get(right)) != 0:
                    continue
                match defined.get(left):
                    case Binary(op="mod", left=extent, right=n):
                        source, number = defined.get(extent), _constant(defined.get(n))
                        if isinstance(source, Extent) and number:
                            yield (source.tensor, source.axis), number


def _constant(item: Instruction | None) -> int | None:
    return int(item.value) if isinstance(item, Const) else None


def _visit(body: Body, facts: Facts) -> None:
    for item in body.instructions:
        _define(item, facts)
        if isinstance(item, For):
            low, high, step = (facts.of(v) for v in (item.low, item.high, item.step))
            _count(item.body.args[0], low, high, step, facts)
        elif isinstance(item, ForTiles):
            for arg, extent in zip(item.body.args, item.extents, strict=True):
                _count(arg, as_index(0), facts.of(extent), as_index(1), facts)
        for nested in item.nested:
            _visit(nested, facts)


def _count(index: Value, low: Index, high: Index, step: Index, facts: Facts) -> None:
    number = len(facts.expressions)
    if not prove_nonnegative(step - 1):
        return
    turn = variable(f"{index.name or 'i'}.{number}", 0)
    left = variable(f"{index.name or 'i'}.{number}.left", 0)
    facts.expressions[index] = low + step * turn
    trips = (high - low + step - 1) // step
    facts.countdowns[turn] = trips - 1 - left


def _define(item: Instruction, facts: Facts) -> None:
    if len(item.results) != 1:
        return
    (result,) = item.results
    if not isinstance(result.type, ScalarType) or not result.type.dtype.is_integer:
        return
    found = _expression(item, facts)
    if found is not None:
        facts.expressions[result] = found


def _expression(item: Instruction, facts: Facts) -> Index | None:
    match item:
        case Const(value=value):
            return as_index(int(value))
        case Extent(tensor=tensor, axis=axis):
            return facts.extent(tensor, axis)
        case Stride(tensor=tensor, axis=axis):
            return variable(f"{tensor.name}.stride{axis}", 0, _LARGEST)
        case Binary(op=op, left=left, right=right):
            return _binary(op, facts.of(left), facts.of(right))
        case Cast(operand=operand) if isinstance(operand.type, ScalarType):
            return facts.of(operand) if operand.type.dtype.is_integer else None
    return None


def _extent(tensor: Value, axis: int, facts: Facts) -> Index:
    kind = tensor_type(tensor)
    if kind.extents[axis] == "1":
        return as_index(1)
    divisor = 16 if kind.extents[axis] == "x16" else 1
    assumed = facts.divisors.get((tensor, axis), 1)
    best = max(divisor, assumed) if max(divisor, assumed) % min(divisor, assumed) == 0 else assumed
    return variable(f"{tensor.name}.extent{axis}", 0, _LARGEST, best)


def _binary(op: str, left: Index, right: Index) -> Index | None:
    match op:
        case "add":
            return left + right
        case "sub":
            return left - right
        case "mul":
            return left * right
        case "floordiv" if prove_nonnegative(right - 1):
            return left // right
        case "mod" if prove_nonnegative(right - 1):
            return left % right
        case "min":
            return minimum(left, right)
        case "max":
            return maximum(left, right)
    return None
