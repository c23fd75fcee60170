"""Errors: dtypes and kinds of values that do not fit."""

# ruff: noqa: B007, F841

import pytest

import tilewright as tw
from tilewright.tests.frontend.gallery import check

GALLERY = []


def broken(function):
    GALLERY.append(function)
    return function


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
def a_float_wins_over_an_integer(x: tw.Tensor, i: tw.Tensor):
    """TypeMismatch
    two dtypes meet: v: f32 and n: i32
    v * n
    cast one of them, e.g. n.cast(tw.f32)"""
    v, n = x[0], i[0]
    x[0] = v * n


@broken
def operands_of_two_types(h: tw.Tensor):
    """TypeMismatch
    mma of f8e4m3 and f16: types of more than 8 bits are equal
    tw.mma(a.cast(tw.f8e4m3), a)
    cast one of them, x.cast(y.dtype) or y.cast(x.dtype)"""
    a = tw.zeros((4, 4), h.dtype)
    b = tw.mma(a.cast(tw.f8e4m3), a)


@broken
def one_element_is_still_a_tile(x: tw.Tensor):
    """TypeMismatch
    a block-uniform scalar is needed here, not t: tile<[1], f32>
    x[0] = t
    take its element: .item()"""
    t = tw.load(x, 0, 1)
    x[0] = t


@broken
def method_of_a_tensor(x: tw.Tensor):
    """LanguageError
    x is a tensor, and tiles have sum
    x.sum
    load one: tw.load(x, offsets, shape).sum"""
    x[0] = x.sum()


@broken
def neither_holds_the_other(x: tw.Tensor, h: tw.Tensor):
    """TypeMismatch
    two dtypes meet: a: tile<[4], f16> and b: tile<[4], bf16>
    a + b
    cast both, e.g. a.cast(tw.f32) and b.cast(tw.f32)"""
    a = tw.load(h, 0, 4)
    b = tw.load(x, 0, 4).cast(tw.bf16)
    tw.store(h, 0, a + b)


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


@broken
def tensor_as_scalar(x: tw.Tensor):
    """TypeMismatch
    a block-uniform scalar is needed here, not tile<[4], f32>
    tw.range(tw.load(x, 0, 4))
    reduce the tile to one element first, e.g. with tw.sum"""
    for k in tw.range(tw.load(x, 0, 4)):
        pass


@broken
def number_meets_bool(flag: tw.Scalar):
    """TypeMismatch
    1 meets a bool
    flag == 1
    compare first, or cast the bool"""
    if flag == 1:
        pass


@broken
def buffer_arithmetic(x: tw.Tensor):
    """TypeMismatch
    b is a buffer, not a tile
    b * 2.0
    read it first with .load()"""
    b = tw.shared(4, tw.f32)
    t = b * 2.0


@broken
def where_of_numbers(n: tw.Scalar):
    """TypeMismatch
    a condition is bool, not n: i32
    tw.where(n, 1, 2)
    compare it: x != 0"""
    t = tw.where(n, 1, 2)


@broken
def fma_of_integers(n: tw.Scalar):
    """TypeMismatch
    tw.fma of i32: it wants floats
    tw.fma(n, n, n)
    write x * y + z"""
    t = tw.fma(n, n, n)


@broken
def mma_of_scalars(n: tw.Scalar):
    """TypeMismatch
    tw.mma multiplies tiles, not i32
    tw.mma(n, n)
    load tiles first: tw.load"""
    t = tw.mma(n, n)


@broken
def mma_into_a_number(h: tw.Tensor):
    """TypeMismatch
    the accumulator of tw.mma is a tile, not 0.0
    tw.mma(t, t, 0.0)
    start with tw.zeros((m, n), tw.f32)"""
    t = tw.load(h, 0, 16).reshape(4, 4)
    t = tw.mma(t, t, 0.0)


@broken
def mma_precision(h: tw.Tensor):
    """LanguageError
    precision='low'
    tw.mma(t, t, precision="low")
    choose "exact" or "tf32\""""
    t = tw.load(h, 0, 16).reshape(4, 4)
    t = tw.mma(t, t, precision="low")


@broken
def load_from_a_tile(x: tw.Tensor):
    """TypeMismatch
    tw.load reads a tensor, not tile<[4], f32>
    tw.load(t, 0, 4)"""
    t = tw.load(x, 0, 4)
    t = tw.load(t, 0, 4)


@broken
def other_dtype(x: tw.Tensor, n: tw.Scalar):
    """TypeMismatch
    other=n: i32 for x of f32
    tw.load(x, 0, 4, other=n)
    cast it: .cast(x.dtype)"""
    t = tw.load(x, 0, 4, other=n)


@broken
def gathered_scalar(x: tw.Tensor, n: tw.Scalar):
    """TypeMismatch
    tw.gather takes index tiles
    tw.gather(x, n)
    read one element with tensor[i, j]"""
    t = tw.gather(x, n)


@broken
def scattered_scalar(x: tw.Tensor, n: tw.Scalar):
    """TypeMismatch
    tw.scatter takes index tiles
    tw.scatter(x, n, 1.0)
    write one element with tensor[i] = x"""
    tw.scatter(x, n, 1.0)


@broken
def scattered_dtype(h: tw.Tensor, s: tw.Scalar):
    """TypeMismatch
    s: f32 into h of f16
    tw.scatter(h, tw.arange(4), s)
    cast it: .cast(h.dtype)"""
    tw.scatter(h, tw.arange(4), s)


@broken
def sum_of_codes(c: tw.Tensor):
    """TypeMismatch
    tw.sum of t: tile<[4], nf4>
    t.sum()
    cast it first, e.g. to tw.i32"""
    t = tw.load(c, 0, 4)
    t = t.sum()


@broken
def mean_of_integers(i: tw.Tensor):
    """TypeMismatch
    tw.mean wants a tile of floats, not tile<[4], i32>
    tw.load(i, 0, 4).mean()
    cast it first"""
    t = tw.load(i, 0, 4).mean()


@broken
def any_of_numbers(x: tw.Tensor):
    """TypeMismatch
    any wants bools
    tw.load(x, 0, 4).any()
    compare first"""
    t = tw.load(x, 0, 4).any()


@broken
def check_of_a_number(n: tw.Scalar):
    """TypeMismatch
    a condition is a bool, not i32
    tw.check(n)
    compare it: x != 0"""
    tw.check(n)


@broken
def float_arange(x: tw.Tensor):
    """TypeMismatch
    tw.arange counts in integers, not f32
    tw.arange(4, dtype=tw.f32)
    cast its result"""
    t = tw.arange(4, dtype=tw.f32)


@broken
def atomic_or_of_floats(x: tw.Tensor):
    """TypeMismatch
    atomic_or of f32: it wants integers
    tw.atomic_or(x, 0, 1.0)"""
    tw.atomic_or(x, 0, 1.0)


@broken
def axis_at_run_time(m: tw.Tensor, n: tw.Scalar):
    """TypeMismatch
    the axis of a reduction is known while compiling
    tw.load(m, (0, 0), (4, 4)).sum(n)"""
    t = tw.load(m, (0, 0), (4, 4)).sum(n)


@broken
def comparison_chain(x: tw.Tensor):
    """LanguageError
    a chain of comparisons of tiles
    0.0 < t < 1.0
    write (a < b) & (b < c)"""
    t = tw.load(x, 0, 4)
    t = 0.0 < t < 1.0


@broken
def value_in_tuple(n: tw.Scalar):
    """LanguageError
    'in' works on statics only
    n in (1, 2)
    compare with == and join with &"""
    t = n in (1, 2)


@broken
def bits_of_floats(x: tw.Tensor):
    """TypeMismatch
    and wants integers, got f32
    t & t"""
    t = tw.load(x, 0, 4)
    t = t & t


@broken
def method_not_called(x: tw.Tensor):
    """TypeMismatch
    method sum, not called is not a tile, scalar or number
    t.sum * 2.0"""
    t = tw.load(x, 0, 4)
    t = t.sum * 2.0


@broken
def bool_of_a_codebook(c: tw.Tensor, h: tw.Tensor):
    """TypeMismatch
    'text' does not become f32
    tw.f32("text")"""
    t = tw.f32("text")


@pytest.mark.parametrize("function", GALLERY, ids=lambda f: f.__name__)
def test_the_error(function):
    check(function)
