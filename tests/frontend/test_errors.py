"""Every kind of error: its class, its words, the source it marks, and its hint.

Each kernel of the gallery breaks one rule. Its docstring says what the error must be:
class, message, marked text, hint, one line each (no hint: the line is missing).
"""

# ruff: noqa: C416, E731, F821, F841, RET503

import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import tilewright as tw
from tilewright.frontend.capture import capture
from tilewright.ir import diagnostics
from tilewright.ir.diagnostics import LanguageError, ShapeError, TilewrightError, TypeMismatch
from tilewright.ir.types import f16, f32, i32, nf4
from tilewright.ir.values import ScalarType
from tilewright.tests.frontend.running import tensor

ARRAY = np.zeros(3)
GALLERY = []
ARGUMENTS = {
    "x": tensor(f32),
    "h": tensor(f16),
    "i": tensor(i32),
    "m": tensor(f32, 2),
    "c": tensor(nf4),
    "n": ScalarType(i32),
    "s": ScalarType(f32),
}


def broken(function):
    GALLERY.append(function)
    return function


def plain(x):
    return x


@tw.inline
def recursive(x):
    return recursive(x)


@tw.inline
def half_returns(n):
    if n > 0:
        return 1
    n = n + 1


@tw.inline
def two_shapes(n):
    if n > 0:
        return tw.zeros(4, tw.f32)
    return tw.zeros(2, tw.f32)


# Syntax


@broken
def f_string(n: tw.Scalar):
    """LanguageError
    f-strings: not in the language of kernels
    f"{n}"
    write tw.print("text {}", value)"""
    tw.print(f"{n}")


@broken
def try_statement(x: tw.Tensor):
    """LanguageError
    try: not in the language of kernels
    try:
    a kernel raises nothing: use tw.check"""
    try:
        pass
    finally:
        pass


@broken
def open_file(x: tw.Tensor):
    """LanguageError
    open is a Python function, and kernels run none
    open
    decorate it with @tw.inline: its body becomes part of the kernel"""
    with open("file"):
        pass


@broken
def with_other(x: tw.Tensor):
    """LanguageError
    with: only `with tw.role(...):` is in the language of kernels
    with tw.exactly(3):
    write with tw.role("load", warps=4):"""
    with tw.exactly(3):
        pass


@broken
def lambda_expression(x: tw.Tensor):
    """LanguageError
    lambda: not in the language of kernels
    lambda v: v
    write a function decorated with @tw.inline"""
    f = lambda v: v


@broken
def dynamic_comprehension(n: tw.Scalar):
    """TypeMismatch
    i32 is no sequence that is known while compiling
    [k for k in n]
    use tw.range for a loop of the kernel"""
    t = [k for k in n]


@broken
def mutated_list(x: tw.Tensor):
    """LanguageError
    (1, 2) has no append
    items.append"""
    items = [1, 2]
    items.append(3)


@broken
def global_statement(x: tw.Tensor):
    """LanguageError
    global: not in the language of kernels
    global ARRAY
    a kernel changes only tensors; pass and return values"""
    global ARRAY


@broken
def nested_function(x: tw.Tensor):
    """LanguageError
    a function inside a kernel: not in the language of kernels
    def inner():
    define it outside, with @tw.inline"""

    def inner():
        pass


@broken
def walrus(n: tw.Scalar):
    """LanguageError
    assignment inside an expression (:=): not in the language of kernels
    m := n
    assign on a line of its own"""
    if (m := n) > 2:
        tw.print("{}", m)


@broken
def matmul_operator(m: tw.Tensor):
    """LanguageError
    the operator @ is not in the language
    t @ t.T
    write tw.mma(x, y, acc) for a matrix product"""
    t = tw.load(m, (0, 0), (4, 4))
    t = t @ t.T


@broken
def loop_else(n: tw.Scalar):
    """LanguageError
    else of a loop
    for k in tw.range(n):
    set a flag before `break` and test it afterwards"""
    for k in tw.range(n):
        tw.print("{}", k)
    else:
        pass


@broken
def dropped_value(x: tw.Tensor):
    """LanguageError
    this line computes a value and drops it
    x[0] + 1.0
    assign it to a name"""
    x[0] + 1.0


@broken
def returned_value(n: tw.Scalar):
    """LanguageError
    a kernel returns nothing
    return n
    store the result into a tensor argument"""
    return n


@broken
def return_in_loop(n: tw.Scalar):
    """LanguageError
    return inside a loop, or a branch that is not the function's end
    return
    return stands only at the end: carry the result in a variable"""
    for k in tw.range(n):
        if k > 3:
            return
        tw.print("{}", k)


@broken
def starred(x: tw.Tensor):
    """LanguageError
    a starred name in an assignment
    a, *b
    name each item"""
    a, *b = (1, 2)


# Names


@broken
def misspelled(x: tw.Tensor):
    """LanguageError
    tilewright has no loda
    tw.loda
    did you mean load?"""
    tw.loda(x, 0, 4)


@broken
def misspelled_name(value: tw.Scalar = 2):
    """LanguageError
    vlaue is not defined
    vlaue"""
    tw.print("{}", vlaue)


@broken
def misspelled_method(x: tw.Tensor):
    """LanguageError
    tile<[4], f32> has no suum
    t.suum
    did you mean sum?"""
    t = tw.load(x, 0, 4)
    t.suum()


@broken
def too_early(x: tw.Tensor):
    """LanguageError
    late is read before it is assigned
    late"""
    tw.store(x, 0, late)
    late = tw.load(x, 0, 4)


@broken
def foreign_array(x: tw.Tensor):
    """LanguageError
    ARRAY is a numpy.ndarray from outside the kernel
    ARRAY
    a kernel sees numbers, strings, dtypes, tuples and @tw.inline functions of its surroundings; \
pass everything else as an argument"""
    tw.store(x, 0, ARRAY)


@broken
def plain_function(x: tw.Tensor):
    """LanguageError
    plain is a Python function, and kernels run none
    plain
    decorate it with @tw.inline: its body becomes part of the kernel"""
    plain(x)


@broken
def one_branch(n: tw.Scalar):
    """LanguageError
    a is assigned in only one branch (line {a = 1})
    a
    assign a before the if"""
    if n > 0:
        a = 1
    tw.print("{}", a)


@broken
def after_loop(n: tw.Scalar):
    """LanguageError
    last is assigned only inside the loop of line {for k in}, which may not run
    last
    assign last before the loop"""
    for k in tw.range(n):
        last = k
    tw.print("{}", last)


@broken
def index_after_loop(n: tw.Scalar):
    """LanguageError
    k is assigned only inside the loop of line {for k in}, which may not run
    k
    assign k before the loop"""
    for k in tw.range(n):
        tw.print("{}", k)
    tw.print("{}", k)


# Control


@broken
def changing_type(x: tw.Tensor):
    """TypeMismatch
    acc changes its type in the loop: it is tile<[4], f32> before (line {acc = tw.load}) and \
tile<[2], f32> after (line {acc = acc[:2]})
    for k in tw.range(3):
    give acc one type, e.g. by tw.zeros before the loop or .cast inside it"""
    acc = tw.load(x, 0, 4)
    for k in tw.range(3):
        tw.print("{} {}", k, acc)
        acc = acc[:2]


@broken
def number_becomes_tile(x: tw.Tensor):
    """TypeMismatch
    acc changes its type in the loop: it is f32 before (line {acc = 0.0}) and tile<[4], f32> \
after (line {acc = acc + tw})
    for k in tw.range(3):
    give acc one type, e.g. by tw.zeros before the loop or .cast inside it"""
    acc = 0.0
    for k in tw.range(3):
        acc = acc + tw.load(x, k, 4)
    tw.store(x, 0, acc)


@broken
def none_becomes_tile(x: tw.Tensor):
    """TypeMismatch
    last changes its type in the loop: it is None before (line {last = None}) and tile<[4], f32> \
after (line {last = tw.load})
    for k in tw.range(3):
    give last one type, e.g. by tw.zeros before the loop or .cast inside it"""
    last = None
    for k in tw.range(3):
        if last is not None:
            tw.store(x, 0, last)
        last = tw.load(x, k, 4)


@broken
def two_types_after_if(n: tw.Scalar):
    """TypeMismatch
    a has two types after the if: tile<[4], f32> (line {a = tw.zeros(4}) and tile<[2], f32> \
(line {a = tw.zeros(2})
    a
    make both branches give one type, e.g. with .cast or tw.full"""
    if n > 0:
        a = tw.zeros(4, tw.f32)
    else:
        a = tw.zeros(2, tw.f32)
    tw.print("{}", a)


@broken
def tile_steers(x: tw.Tensor):
    """TypeMismatch
    a tile steers nothing: tile<[4], bool>
    tw.load(x, 0, 4) > 0.0
    use tw.where or & | ~ elementwise, or reduce it with tw.any or tw.all"""
    if tw.load(x, 0, 4) > 0.0:
        pass


@broken
def number_steers(n: tw.Scalar):
    """TypeMismatch
    a condition is a bool, not n: i32
    n
    compare it: x != 0"""
    while n:
        n -= 1


@broken
def break_outside(n: tw.Scalar):
    """LanguageError
    break of an unrolled loop under a condition that is decided at run time
    break
    use tw.range for a loop of the kernel"""
    for _ in range(3):
        if n > 0:
            break


@broken
def downwards(n: tw.Scalar):
    """LanguageError
    the step of a loop is at least 1, not -1
    tw.range(n, 0, -1)
    count upwards and compute the other index from it"""
    for k in tw.range(n, 0, -1):
        tw.print("{}", k)


@broken
def too_many_iterations(x: tw.Tensor):
    """LanguageError
    5000 iterations are unrolled while compiling, at most 1024
    for k in range(5000):
    use tw.range for a loop of the kernel"""
    for k in range(5000):
        x[k] = 0.0


@broken
def dynamic_static_range(n: tw.Scalar):
    """LanguageError
    tw.static_range is unrolled while compiling and got (i32)
    tw.static_range(n)
    use tw.range for a loop of the kernel"""
    for k in tw.static_range(n):
        tw.print("{}", k)


@broken
def two_grids(n: tw.Scalar):
    """LanguageError
    tw.grid stands once, on the kernel's own level
    tw.grid(n)
    open the grid at the top of the kernel: i, j = tw.grid(m, n)"""
    i = tw.grid(n)
    j = tw.grid(n)
    tw.print("{} {}", i, j)


@broken
def device_grid(i: tw.Tensor):
    """LanguageError
    an extent of the grid is computed by blocks, and the host launches them
    tw.grid(i[0])
    compute it from sizes of tensors and scalar arguments"""
    at = tw.grid(i[0])
    tw.print("{}", at)


@broken
def store_before_grid(x: tw.Tensor):
    """LanguageError
    element.store before tw.grid: every block would do it
    x[0] = 1.0
    open the grid first"""
    x[0] = 1.0
    i = tw.grid(x.shape[0])
    tw.print("{}", i)


@broken
def calls_itself(n: tw.Scalar):
    """LanguageError
    recursive calls itself: calls_itself → recursive → recursive
    recursive(x)
    an inline function becomes part of its caller: write a loop"""
    recursive(n)


@broken
def returns_in_one_branch(n: tw.Scalar):
    """LanguageError
    only one branch returns a value
    half_returns(n)
    return one in both"""
    half_returns(n)


@broken
def two_types_by_choice(n: tw.Scalar):
    """TypeMismatch
    the two sides of a choice differ: tile<[4], f32> and tile<[2], f32>
    tw.zeros(4, tw.f32) if n > 0 else tw.zeros(2, tw.f32)
    make them one type, e.g. with .cast or tw.full"""
    t = tw.zeros(4, tw.f32) if n > 0 else tw.zeros(2, tw.f32)
    tw.print("{}", t)


@broken
def returns_two_types(n: tw.Scalar):
    """TypeMismatch
    the result has two types after the if: tile<[4], f32> (line 0) and tile<[2], f32> (line 0)
    two_shapes(n)
    make both branches give one type, e.g. with .cast or tw.full"""
    two_shapes(n)


@broken
def false_assertion(n: tw.Scalar):
    """LanguageError
    assertion failed: 2 + 2 == 5
    assert 2 + 2 == 5"""
    assert 2 + 2 == 5


# Types


@broken
def mixed_dtypes(x: tw.Tensor, h: tw.Tensor):
    """TypeMismatch
    two dtypes meet: a: tile<[4], f16> and b: tile<[4], f32>
    a + b
    cast one of them, e.g. a.cast(tw.f32)"""
    a = tw.load(h, 0, 4)
    b = tw.load(x, 0, 4)
    tw.store(x, 0, a + b)


@broken
def scalar_dtype(h: tw.Tensor, s: tw.Scalar):
    """TypeMismatch
    two dtypes meet: tile<[4], f16> and s: f32
    tw.load(h, 0, 4) * s
    cast one of them, e.g. x.cast(tw.f32)"""
    tw.store(h, 0, tw.load(h, 0, 4) * s)


@broken
def float_meets_integers(i: tw.Tensor):
    """TypeMismatch
    the float 0.5 meets integers of i32
    tw.load(i, 0, 4) * 0.5
    cast the integers first, e.g. x.cast(tw.f32)"""
    tw.store(i, 0, tw.load(i, 0, 4) * 0.5)


@broken
def too_large(n: tw.Scalar):
    """TypeMismatch
    300 does not fit u8 (0 … 255)
    n.cast(tw.u8) + 300
    cast the other side to a wider type"""
    n = n.cast(tw.u8) + 300


@broken
def integer_division(n: tw.Scalar):
    """TypeMismatch
    / of integers (i32)
    n / 2
    write // for whole numbers, or cast to tw.f32 first"""
    n = n / 2


@broken
def adding_bools(n: tw.Scalar):
    """TypeMismatch
    + of bools
    (n > 0) + (n > 1)
    cast them first, e.g. to tw.i32"""
    n = (n > 0) + (n > 1)


@broken
def codebook_arithmetic(c: tw.Tensor):
    """TypeMismatch
    * of nf4, which only stores
    t * t
    cast it to tw.f32"""
    t = tw.load(c, 0, 4)
    t = t * t


@broken
def exp_of_integers(i: tw.Tensor):
    """TypeMismatch
    exp wants a float, got i32
    tw.exp(tw.load(i, 0, 4))
    cast it to f32 first"""
    t = tw.exp(tw.load(i, 0, 4))


@broken
def tensor_arithmetic(x: tw.Tensor):
    """TypeMismatch
    x is a tensor, not a tile
    x + 1.0
    load a tile of it first: tw.load(x, offsets, shape)"""
    y = x + 1.0


@broken
def stored_dtype(x: tw.Tensor, h: tw.Tensor):
    """TypeMismatch
    store of f32 into h of f16
    tw.store(h, 0, tw.load(x, 0, 4))
    cast the tile: .cast(h.dtype)"""
    tw.store(h, 0, tw.load(x, 0, 4))


@broken
def stored_element(i: tw.Tensor, s: tw.Scalar):
    """TypeMismatch
    a f32 into i of i32
    i[0] = s
    cast it: .cast(i.dtype)"""
    i[0] = s


@broken
def stored_scalar(x: tw.Tensor, s: tw.Scalar):
    """TypeMismatch
    tw.store writes a tile, not f32
    tw.store(x, 0, s)
    write one element with tensor[i] = value, or make a tile with tw.full"""
    tw.store(x, 0, s)


@broken
def accumulator(h: tw.Tensor):
    """TypeMismatch
    mma of f16 accumulates in f32 or f16, not i32
    tw.mma(t, t, tw.zeros((4, 4), tw.i32))
    start with tw.zeros(..., tw.f32)"""
    t = tw.load(h, 0, 16).reshape(4, 4)
    tw.mma(t, t, tw.zeros((4, 4), tw.i32))


@broken
def float_offset(x: tw.Tensor, s: tw.Scalar):
    """TypeMismatch
    an offset is an integer, not f32
    tw.load(x, s, 4)
    use // for whole numbers, or .cast(tw.i32)"""
    t = tw.load(x, s, 4)


@broken
def not_a_dtype(x: tw.Tensor):
    """TypeMismatch
    the argument of cast is a dtype such as tw.f32, not 'f16'
    tw.load(x, 0, 4).cast("f16")"""
    t = tw.load(x, 0, 4).cast("f16")


@broken
def python_float(n: tw.Scalar):
    """LanguageError
    float() runs while compiling and got i32
    float(n)
    write x.cast(tw.f32)"""
    t = float(n)


@broken
def tile_and(x: tw.Tensor):
    """TypeMismatch
    a tile steers nothing: tile<[4], bool>
    (t > 0.0) and (t < 1.0)
    use tw.where or & | ~ elementwise, or reduce it with tw.any or tw.all"""
    t = tw.load(x, 0, 4)
    t = (t > 0.0) and (t < 1.0)


@broken
def division_by_zero(x: tw.Tensor):
    """LanguageError
    ZeroDivisionError while compiling: integer division or modulo by zero
    1 // 0"""
    x[1 // 0] = 1.0


# Shapes


@broken
def no_broadcast(x: tw.Tensor):
    """ShapeError
    shapes do not broadcast: a: tile<[4], f32> and b: tile<[8], f32>
    a + b
    axes are aligned from the last; insert an axis with x[:, None]"""
    a = tw.load(x, 0, 4)
    b = tw.load(x, 0, 8)
    a = a + b


@broken
def mma_shapes(h: tw.Tensor):
    """ShapeError
    mma of (4, 8) and (4, 8) into (4, 4): want (m, k), (k, n) and (m, n)
    tw.mma(t, t, tw.zeros((4, 4), tw.f32))
    transpose an operand with .T"""
    t = tw.load(h, 0, 32).reshape(4, 8)
    tw.mma(t, t, tw.zeros((4, 4), tw.f32))


@broken
def dynamic_shape(x: tw.Tensor, n: tw.Scalar):
    """LanguageError
    a tile's shape is known while compiling, not i32
    tw.zeros((4, n), tw.f32)
    use a literal or a tw.Static argument"""
    t = tw.zeros((4, n), tw.f32)


@broken
def offsets_count(m: tw.Tensor):
    """ShapeError
    1 offsets for m of rank 2
    tw.load(m, 0, (4, 4))
    give one offset per axis of the tensor"""
    t = tw.load(m, 0, (4, 4))


@broken
def tile_rank(x: tw.Tensor):
    """ShapeError
    a tile of shape (4, 4) for x of rank 1
    tw.load(x, 0, (4, 4))
    a tile has at most as many axes as the tensor; reshape it"""
    t = tw.load(x, 0, (4, 4))


@broken
def element_rank(m: tw.Tensor):
    """ShapeError
    1 indices for m of rank 2
    m[0] = 1.0
    an element has one scalar index per axis; tiles move by tw.load and tw.store"""
    m[0] = 1.0


@broken
def tile_index(x: tw.Tensor):
    """TypeMismatch
    an index of x is a scalar, not tile<[4], i32>
    x[tw.arange(4)]
    take a tile of elements with tw.gather(x, index) or rows with tw.load"""
    t = x[tw.arange(4)]


@broken
def dynamic_tile_index(x: tw.Tensor, n: tw.Scalar):
    """LanguageError
    an index into t: tile<[4], f32> is known while compiling, not i32
    t[n]
    gather from the tensor with tw.gather, or select with tw.where"""
    t = tw.load(x, 0, 4)
    t = t[n]


@broken
def assigned_tile(x: tw.Tensor):
    """LanguageError
    tile<[4], f32> is immutable
    t[0] = 1.0
    tiles and tuples are values: make a new one, e.g. with tw.where"""
    t = tw.load(x, 0, 4)
    t[0] = 1.0


@broken
def axis_out_of_range(x: tw.Tensor):
    """ShapeError
    axis 1 of t: tile<[4], f32>
    t.sum(axis=1)
    it has axes 0 … 0"""
    t = tw.load(x, 0, 4)
    t = t.sum(axis=1)


@broken
def bad_reshape(x: tw.Tensor):
    """ShapeError
    a tile of shape (4,) does not reshape to (3, 2)
    tw.load(x, 0, 4).reshape(3, 2)"""
    t = tw.load(x, 0, 4).reshape(3, 2)


@broken
def unpacking(x: tw.Tensor):
    """TypeMismatch
    3 values for 2 names
    a, b"""
    a, b = (1, 2, 3)


# Calls


@broken
def missing_argument(x: tw.Tensor):
    """LanguageError
    tw.load: missing a required argument: 'shape'
    tw.load(x, 0)
    its signature is tw.load(tensor, offsets, shape, other=None, layout=None)"""
    t = tw.load(x, 0)


@broken
def unknown_keyword(x: tw.Tensor):
    """LanguageError
    .sum: got an unexpected keyword argument 'dim'
    tw.load(x, 0, 4).sum(dim=0)
    its signature is .sum(axis=None, keep=False)"""
    t = tw.load(x, 0, 4).sum(dim=0)


@broken
def holes(n: tw.Scalar):
    """LanguageError
    2 {} in the text of tw.print for 1 values
    tw.print("{} {}", n)"""
    tw.print("{} {}", n)


@broken
def max_of_two(x: tw.Tensor):
    """TypeMismatch
    tw.max reduces a tile, not f32
    tw.max(x[0], x[1])
    tw.maximum(x, y) compares two values"""
    t = tw.max(x[0], x[1])


@broken
def bad_mask(x: tw.Tensor):
    """TypeMismatch
    a mask is a bool tile, not tile<[4], f32>
    tw.gather(x, tw.arange(4), mask=t)
    compare first"""
    t = tw.load(x, 0, 4)
    t = tw.gather(x, tw.arange(4), mask=t)


@broken
def many_to_one(x: tw.Tensor):
    """ShapeError
    t: tile<[4], f32> at one place of x
    tw.atomic_add(x, 0, t)
    give index tiles (tw.arange), or reduce the tile first"""
    t = tw.load(x, 0, 4)
    tw.atomic_add(x, 0, t)


# The explicit level


@broken
def tile_crosses_roles(x: tw.Tensor):
    """LanguageError
    t is a tile of other warps: role load cannot see it
    t
    pass it through a shared buffer: buffer.store(x) outside, buffer.load() inside"""
    t = tw.load(x, 0, 4)
    with tw.role("load"):
        tw.store(x, 4, t)


@broken
def role_keeps_names(x: tw.Tensor):
    """LanguageError
    t is assigned inside a role and not visible after it
    t
    pass it through a shared buffer"""
    with tw.role("load"):
        t = x[0]
    x[1] = t


@broken
def break_in_role(n: tw.Scalar):
    """LanguageError
    break outside of a loop
    break
    a role's body is left at its end"""
    for k in tw.range(n):
        with tw.role("load"):
            if k > 1:
                break


@broken
def copy_between_tiles(x: tw.Tensor):
    """TypeMismatch
    tw.copy goes between a tensor and a buffer, not from tensor<f32, strides=[1], extents=[any]> \
to tile<[4], f32>
    tw.copy(x, 0, t)
    write tw.copy(tensor, offsets, buffer) or tw.copy(buffer, offsets, tensor)"""
    t = tw.load(x, 0, 4)
    tw.copy(x, 0, t)


@broken
def copied_dtype(x: tw.Tensor):
    """TypeMismatch
    a copy between x of f32 and b of f16
    tw.copy(x, 0, b)
    a copy moves bits: give both one dtype"""
    b = tw.shared(4, tw.f16)
    tw.wait(tw.copy(x, 0, b))


@broken
def waits_for_a_tile(x: tw.Tensor):
    """TypeMismatch
    tw.wait waits for tokens of tw.copy, or a barrier, not tile<[4], f32>
    tw.wait(tw.load(x, 0, 4))"""
    tw.wait(tw.load(x, 0, 4))


@broken
def layout_shape(x: tw.Tensor):
    """TypeMismatch
    layout= is a layout of tilewright.ir.layout, not 'row'
    tw.load(x, 0, 4, layout="row")"""
    t = tw.load(x, 0, 4, layout="row")


def expected(function):
    """Class, message, marked text and hint from the docstring; `{text}` is that text's line."""
    lines = inspect.getdoc(function).split("\n")
    source, first = inspect.getsourcelines(function)

    def line_of(match):
        return str(first + next(n for n, s in enumerate(source) if s.strip().startswith(match[1])))

    message = re.sub(r"(?<=line )\{([^{}]+)\}", line_of, lines[1])
    return lines[0], message, lines[2], lines[3] if len(lines) > 3 else None


@pytest.mark.parametrize("function", GALLERY, ids=lambda f: f.__name__)
def test_the_gallery(function):
    kind, message, marked, hint = expected(function)
    names = inspect.signature(function).parameters
    with pytest.raises(TilewrightError) as caught:
        capture(function, {n: ARGUMENTS[n] for n in names if n in ARGUMENTS})
    error = caught.value
    found = error.message
    if "(line 0)" in message:  # lines of another function
        found = re.sub(r"\(line \d+\)", "(line 0)", found)
    assert (found, error.hint) == (message, hint)
    assert type(error) is getattr(diagnostics, kind)
    assert error.location.file == __file__
    lines = Path(__file__).read_text().splitlines()
    text = lines[error.location.line - 1][error.location.column : error.location.end_column]
    assert text == marked


def test_an_error_is_a_picture_of_the_source():
    with pytest.raises(TypeMismatch) as caught:
        capture(float_meets_integers, {"i": ARGUMENTS["i"]})
    _, first = inspect.getsourcelines(float_meets_integers)
    line = first + 6
    gutter = " " * (len(str(line)) + 1)
    assert str(caught.value) == "\n".join(
        [
            "the float 0.5 meets integers of i32",
            f"  --> {__file__}:{line}:20",
            f"{gutter}|",
            f"{line} |     tw.store(i, 0, tw.load(i, 0, 4) * 0.5)",
            f"{gutter}|                    ^^^^^^^^^^^^^^^^^^^^^^",
            "  = hint: cast the integers first, e.g. x.cast(tw.f32)",
        ]
    )


@tw.inline
def inner(x):
    return x + "text"


@tw.inline
def outer(x):
    return inner(x)


def chain(x: tw.Tensor):
    tw.store(x, 0, outer(tw.load(x, 0, 4)))


def test_an_error_inside_inline_functions_tells_who_called_them():
    with pytest.raises(TypeMismatch, match="'text' is not a tile, scalar or number") as caught:
        capture(chain, {"x": ARGUMENTS["x"]})
    assert caught.value.location.line == inspect.getsourcelines(inner.function)[1] + 2
    notes = caught.value.__notes__
    assert [n.partition(",")[0] for n in notes] == ["in inner", "in outer"]
    assert notes[1].endswith(f":{inspect.getsourcelines(chain)[1] + 1}:20")


def test_arguments_are_checked_by_name():
    with pytest.raises(LanguageError, match="chain has no parameter z"):
        capture(chain, {"x": ARGUMENTS["x"], "z": 1})
    with pytest.raises(LanguageError, match="chain misses its argument x"):
        capture(chain, {})
    with pytest.raises(LanguageError, match=r"x is a numpy\.ndarray from outside"):
        capture(chain, {"x": ARRAY})


def test_shape_and_type_errors_are_pythons_too():
    assert issubclass(ShapeError, ValueError)
    assert issubclass(TypeMismatch, TypeError)
