"""What is known while compiling is computed while compiling, and never runs user code."""

import enum
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import tilewright as tw
from tilewright.frontend.capture import source_key, static_key
from tilewright.ir.instructions.control import For, If
from tilewright.ir.types import bool_, f16, f32, i32, u4
from tilewright.ir.values import ScalarType, TensorType
from tilewright.tests.frontend.running import captured, run, tensor

BLOCK = 8
POWERS = (1, 2, 4)


@dataclass(frozen=True)
class Options:
    """Static options."""

    width: int
    dtype: Any


def arithmetic(y: tw.Tensor, *, n: tw.Static = 6):
    half = n // 2
    size = max(half, min(n, 4)) + len(POWERS) - 3
    tw.store(y, 0, tw.full(size, float(half) ** 2 + math.sqrt(BLOCK * 2), tw.f32))


def test_statics_fold_as_python_does():
    assert run(arithmetic, y=(f32, np.zeros(6)))["y"].tolist() == [13, 13, 13, 13, 0, 0]


def starred(x: tw.Tensor, y: tw.Tensor, *, factors: tw.Static = (2, 3, 4)):
    first, *rest = [tw.load(x, 0, 4) * f for f in factors]
    *most, last = x.shape[0], 7, first
    none, *nothing = (5,)
    y[0] = (sum(rest) + last).sum() + most[0] + len(nothing) + none


def test_a_starred_name_takes_the_rest():
    y = run(starred, x=(i32, np.arange(4)), y=(i32, [0]))["y"]
    assert y.tolist() == [6 * 9 + 4 + 5]


def unrolled(y: tw.Tensor):
    total = 0
    for i, p in enumerate(POWERS):
        if p == 2:
            continue
        y[i] = p * 10
        total += p
    for i in range(3, 8):
        if i > 5:
            break
        y[i] = total + i
    for i in tw.static_range(6, 8):
        y[i] = [q * q for q in POWERS if q > 1][i - 6]


def test_static_loops_unroll_with_break_and_continue():
    y = run(unrolled, y=(i32, np.full(8, -1)))["y"]
    assert y.tolist() == [10, -1, 40, 8, 9, 10, 4, 16]
    kernel = captured(unrolled, y=tensor(i32))
    assert not any(isinstance(i, (For, If)) for i in kernel.walk())


def choose(x: tw.Tensor, y: tw.Tensor, *, mode: tw.Static = "double", extra: tw.Static = None):
    t = tw.load(x, 0, 4)
    if mode == "double":
        t = t * 2
    elif mode in ("negate", "flip"):
        t = -t
    else:
        assert mode == "same", "mode"
    t = t if extra is None else t + extra
    tw.store(y, 0, t)


@pytest.mark.parametrize(
    ("statics", "want"),
    [
        ({}, [2, 4, 6, 8]),
        ({"mode": "flip"}, [-1, -2, -3, -4]),
        ({"mode": "same", "extra": 5}, [6, 7, 8, 9]),
    ],
)
def test_static_conditions_leave_one_branch(statics, want):
    y = run(choose, x=(i32, [1, 2, 3, 4]), y=(i32, np.zeros(4)), **statics)["y"]
    assert y.tolist() == want


def sizes(x: tw.Tensor, y: tw.Tensor):
    m, n = x.shape
    tw.store(y, 0, tw.full(x.rank + len(x.shape), m, tw.i32))
    if x.stride(1) == 1:
        y[4] = n
    y[5] = x.stride(0)


def test_a_shape_comes_apart_and_what_the_launch_fixes_is_static():
    y = run(sizes, x=(f32, np.zeros((3, 7))), y=(i32, np.zeros(6)))["y"]
    assert y.tolist() == [3, 3, 3, 3, 7, 7]
    one = TensorType(f32, ("any", "1"), ("1", "any"))
    kernel = captured(sizes, x=one, y=tensor(i32))
    extents = [(i.tensor.name, i.axis) for i in kernel.walk() if i.mnemonic == "extent"]
    assert extents == [("x", 1)]
    assert not any(isinstance(i, If) for i in kernel.walk())


def of_options(y: tw.Tensor, *, options: tw.Static, dtype: tw.Static = f16):
    tile = tw.full(options.width, 1.5, options.dtype).cast(dtype)
    tw.store(y, 0, tile.cast(tw.f32) * (2 if dtype.bits < 16 else 1))


def test_dataclasses_and_dtypes_are_statics():
    y = run(of_options, y=(f32, np.zeros(4)), options=Options(3, f32))["y"]
    assert y.tolist() == [1.5, 1.5, 1.5, 0]
    y = run(of_options, y=(f32, np.zeros(4)), options=Options(3, f32), dtype=u4)["y"]
    assert y.tolist() == [2, 2, 2, 0]


def make_adder(amount, helper):
    def add(x: tw.Tensor, y: tw.Tensor):
        tw.store(y, 0, helper(tw.load(x, 0, 4), amount))

    return add


def test_closures_are_read_at_capture():
    helper = tw.inline(_plus)
    add = make_adder(3, helper)
    assert run(add, x=(i32, [1, 2, 3, 4]), y=(i32, np.zeros(4)))["y"].tolist() == [4, 5, 6, 7]


def _plus(x, amount=1):
    return x + amount


def _minus(x, amount=1):
    return x - amount


def test_the_key_of_a_kernel_covers_constants_and_inline_functions():
    plus, minus = tw.inline(_plus), tw.inline(_minus)
    three, four = make_adder(3, plus), make_adder(4, plus)
    assert source_key(three) == source_key(make_adder(3, plus))
    assert source_key(three) == source_key(make_adder(3, tw.inline(_plus)))
    assert len({source_key(f) for f in (three, four, make_adder(3, minus))}) == 3


def test_the_key_of_a_kernel_covers_constants_of_its_module(monkeypatch):
    before = source_key(arithmetic)
    monkeypatch.setitem(arithmetic.__globals__, "BLOCK", 16)
    assert source_key(arithmetic) != before
    monkeypatch.setitem(arithmetic.__globals__, "BLOCK", 8)
    assert source_key(arithmetic) == before


def test_static_keys_tell_types_apart():
    different = [1, 1.0, True, "1", None, (1,), f32, f16, Options(1, f32), Options(1, f16)]
    different += [tw.inline(_plus), tw.inline(_minus)]
    assert len({static_key(held) for held in different}) == len(different)


def typed(y: tw.Tensor, n: tw.Scalar):
    y[0] = tw.f32(3) + tw.f32(n)
    y[1] = tw.f32(n > 2)
    y[2] = abs(n - 9).cast(tw.f32)
    y[3] = max(n, 5).cast(tw.f32) if n < 5 else 0.0
    y[4] = tw.f32(tw.cdiv(n, 2) + tw.cdiv(7, 2))


def test_dtypes_convert_and_builtins_mean_instructions():
    y = run(typed, y=(f32, np.zeros(5)), n=(i32, 3))["y"]
    assert y.tolist() == [6, 1, 6, 5, 6]


def docstring_only(y: tw.Tensor):
    """A kernel of one block that does nothing."""


def test_a_kernel_without_a_grid_is_one_block():
    kernel = captured(docstring_only, y=tensor(f32))
    assert [i.mnemonic for i in kernel.body.instructions] == ["for_tiles", "yield"]
    assert kernel.body.instructions[0].extents == ()


def test_parameters_stand_in_the_order_of_the_signature():
    def order(a: tw.Scalar, q: Any, b: tw.Tensor):
        tw.check(a > 0)

    inner = {"x": tensor(f32), "inner": {"z": ScalarType(f32), "k": 3}, "y": tensor(f16)}
    kernel = captured(order, b=tensor(f32), q=inner, a=ScalarType(i32))
    assert [p.name for p in kernel.params] == ["a", "q_x", "q_inner_z", "q_y", "b"]


STEPS = [np.int64(2), 3]


class Kind(enum.Enum):
    """A static choice."""

    ADD = "add"
    KEEP = "keep"


def of_module(x: tw.Tensor, y: tw.Tensor, *, kind: tw.Static = Kind.ADD):
    t = tw.load(x, 0, 4)
    total = sum([t * s for s in STEPS]) + sum(STEPS) if kind == Kind.ADD else t
    parts = (*x.shape[:1], 7)
    parts = parts + (x.shape[0], None)  # noqa: RUF005
    y[4] = parts[0] + parts[2]
    y[5] = tw.minimum(3, 2) + tw.where(len(parts) == 4, 1, 0) + tw.ones(1, tw.i32).item().item()
    tw.store(y, 0, total)


def test_lists_numpy_numbers_and_enums_are_statics():
    y = run(of_module, x=(i32, [1, 2, 3, 4]), y=(i32, np.zeros(6)))["y"]
    assert y.tolist() == [10, 15, 20, 25, 8, 4]
    y = run(of_module, x=(i32, [1, 2, 3, 4]), y=(i32, np.zeros(6)), kind=Kind.KEEP)["y"]
    assert y.tolist() == [1, 2, 3, 4, 8, 4]
    assert static_key(Kind.ADD) != static_key(Kind.KEEP)


@tw.inline
def scaled(x, factor=2, *, offset=0):
    return x * factor + offset


def calls(x: tw.Tensor, y: tw.Tensor, flag: tw.Scalar):
    tw.assume(True)
    tw.check(len(POWERS) == 3)
    picked = tw.gather(x, tw.arange(4), mask=flag, other=-1)
    tw.store(y, 0, scaled(picked) + scaled(x[1], offset=3) - scaled(x=x[0], factor=1))
    acc = tw.mma(tw.ones((1, 2), tw.f16), tw.ones((2, 1), tw.f16))
    y[4] = acc.item().cast(tw.i32)


def test_inline_functions_have_defaults_and_keywords():
    y = run(calls, x=(i32, [1, 2, 3, 4]), y=(i32, np.zeros(5)), flag=(bool_, True))["y"]
    assert y.tolist() == [8, 10, 12, 14, 2]
    y = run(calls, x=(i32, [1, 2, 3, 4]), y=(i32, np.zeros(5)), flag=(bool_, False))["y"]
    assert y.tolist() == [4, 4, 4, 4, 2]


def flags(y: tw.Tensor, *, on: tw.Static = True):
    found = False
    for k in tw.range(y.shape[0]):
        found = found or k == 2
    y[0] = 1 if found and on else 0


def test_bools_are_carried_and_join_with_statics():
    assert run(flags, y=(i32, [7, 7, 7]))["y"][0] == 1
    assert run(flags, y=(i32, [7, 7]))["y"][0] == 0
    assert run(flags, y=(i32, [7, 7, 7]), on=False)["y"][0] == 0
