"""Every rule of `RULES` is an equation that holds: both sides by the meaning of instructions."""

from __future__ import annotations

import numpy as np
import pytest

from tilewright.ir.instruction import REGISTRY
from tilewright.ir.numeric import numpy_class
from tilewright.ir.rewrite import RULES, Rule, Term
from tilewright.ir.types import bf16, bool_, f16, f32, i8, i32, u4, u8
from tilewright.ir.values import ScalarType, TileType, Value

DTYPES = (f32, f16, bf16, i32, i8, u8, u4, bool_)


def sample(dtype, rng):
    codes = rng.integers(0, 1 << min(dtype.bits, 32), 256, dtype=np.uint64)
    if dtype is bool_:
        codes &= 1
    if dtype.is_float:
        special = dtype.encode(np.array([0.0, -0.0, np.inf, -np.inf, np.nan]))
        codes[: len(special)] = special
    return dtype.decode(codes.astype(dtype.container)).astype(numpy_class(dtype))


def evaluate(term: Term, values, dtype):
    if term.is_number:
        return np.full(256, int(term.head), numpy_class(dtype))
    if not term.arguments:
        return values[term.head]
    cls, op = REGISTRY[term.head]
    arrays = [evaluate(t, values, dtype) for t in term.arguments]
    kinds = [bool_ if term.head == "select" and i == 0 else dtype for i in range(len(arrays))]
    names = [s.name for s in cls.specs if s.kind == "operand"]
    operands = {n: Value(TileType((256,), k)) for n, k in zip(names, kinds, strict=True)}
    made = cls(**({"op": op} if op else {}), **operands)
    made.check()
    made = type(made)(**({"op": op} if op else {}), **operands, results=(Value(made.result()[0]),))
    return made.meaning(*arrays)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.equation)
def test_rule_holds(rule: Rule):
    rng = np.random.default_rng()
    tried = 0
    for dtype in DTYPES:
        if not rule.allows(dtype) or (
            dtype.is_float and rule.sides[0].head in ("and", "or", "not")
        ):
            continue
        values = {"x": sample(dtype, rng), "c": sample(bool_, rng)}
        left, right = (evaluate(side, values, dtype) for side in rule.sides)
        np.testing.assert_array_equal(left, right)
        if dtype.is_float:
            zero = (left == 0) & (right == 0)
            np.testing.assert_array_equal(np.signbit(left[zero]), np.signbit(right[zero]))
        tried += 1
    assert tried


def test_a_wrong_rule_is_found():
    with pytest.raises(AssertionError):
        test_rule_holds(Rule("add(x, 0) = x", "float"))  # -0.0 + 0.0 is 0.0
    assert ScalarType(f32).dtype is f32
