"""Errors: loops, branches, grids and inline functions."""

# ruff: noqa: B007, F841, RET503

import pytest

import tilewright as tw
from tilewright.tests.frontend.gallery import check

GALLERY = []


def broken(function):
    GALLERY.append(function)
    return function


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


@broken
def unknown_order(n: tw.Scalar):
    """LanguageError
    order='spiral' is unknown
    tw.grid(n, order="spiral")
    choose one of row_major, column_major, grouped"""
    i = tw.grid(n, order="spiral")


@broken
def grid_in_branch(n: tw.Scalar):
    """LanguageError
    tw.grid stands once, on the kernel's own level
    tw.grid(n)
    open the grid at the top of the kernel: i, j = tw.grid(m, n)"""
    if n > 0:
        i = tw.grid(n)


@broken
def range_of_nothing(x: tw.Tensor):
    """LanguageError
    tw.range takes a stop, or start, stop and step
    tw.range()"""
    for k in tw.range():
        pass


@broken
def no_stages(n: tw.Scalar):
    """LanguageError
    stages=0, unroll=1: both are at least 1
    tw.range(n, stages=0)"""
    for k in tw.range(n, stages=0):
        pass


@broken
def index_comes_apart(n: tw.Scalar):
    """LanguageError
    the index of a tw.range is one name
    for i, j in tw.range(n):"""
    for i, j in tw.range(n):
        pass


@broken
def branch_before_grid(n: tw.Scalar):
    """LanguageError
    if before tw.grid: every block would do it
    if n > 2:
    open the grid first"""
    if n > 2:
        n = n + 1
    i = tw.grid(n)


@broken
def token_leaves_only_half(x: tw.Tensor, n: tw.Scalar):
    """LanguageError
    token is assigned in only one branch (line {token = tw.copy})
    token
    assign token before the if"""
    b = tw.shared(4, tw.f32)
    if n > 0:
        token = tw.copy(x, 0, b)
    tw.wait(token)


@broken
def torn_in_loop(n: tw.Scalar):
    """TypeMismatch
    t has two types after the if: tile<[2], f32> (line {t = tw.zeros(2}) and tile<[4], f32> \
(line {t = tw.zeros(4})
    for k in tw.range(n):
    make both branches give one type, e.g. with .cast or tw.full"""
    t = tw.zeros(4, tw.f32)
    for k in tw.range(n):
        tw.print("{}", t)
        if k > 2:
            t = tw.zeros(2, tw.f32)


@broken
def tuple_grows(n: tw.Scalar):
    """TypeMismatch
    t changes its type in the loop: it is (i32, i32) before (line {t = (n, n)}) and \
(i32, i32, i32) after (line {t = (n, *t)})
    for k in tw.range(n):
    give t one type, e.g. by tw.zeros before the loop or .cast inside it"""
    t = (n, n)
    for k in tw.range(n):
        t = (n, *t)
    tw.print("{}", t[0])


@broken
def two_views(m: tw.Tensor):
    """TypeMismatch
    row stands for one of two tensors, and which one is decided at run time
    for k in tw.range(3):
    decide an offset or a slot instead: x[slot] of one tensor or buffer"""
    row = m[0]
    for k in tw.range(3):
        tw.store(row, 0, tw.zeros(4, tw.f32))
        row = m[k]


@broken
def inline_arguments(n: tw.Scalar):
    """LanguageError
    half_returns: too many positional arguments
    half_returns(n, 2)"""
    half_returns(n, 2)


@broken
def while_else(n: tw.Scalar):
    """LanguageError
    else of a loop
    while n > 0:
    set a flag before `break` and test it afterwards"""
    while n > 0:
        n = n - 1
    else:
        pass


@broken
def choice_with_a_number(n: tw.Scalar):
    """TypeMismatch
    the two sides of a choice differ: tile<[4], f32> and 0.0
    tw.zeros(4, tw.f32) if n > 0 else 0.0
    make a tile of the number with tw.full"""
    t = tw.zeros(4, tw.f32) if n > 0 else 0.0


@broken
def choice_of_dtypes(n: tw.Scalar):
    """TypeMismatch
    a choice at run time between dtype f16 and dtype f32
    tw.f16 if n > 0 else tw.f32
    both sides are tiles or scalars of one type"""
    t = tw.f16 if n > 0 else tw.f32


@broken
def condition_of_a_comprehension(n: tw.Scalar):
    """LanguageError
    a condition at run time in a comprehension
    [k for k in (1, 2) if k < n]
    use tw.where"""
    t = [k for k in (1, 2) if k < n]


@pytest.mark.parametrize("function", GALLERY, ids=lambda f: f.__name__)
def test_the_error(function):
    check(function)
