"""Errors: arguments of the language's functions."""

# ruff: noqa: F841

import pytest

import tilewright as tw
from tilewright.tests.frontend.gallery import check

GALLERY = []


def broken(function):
    GALLERY.append(function)
    return function


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


@broken
def print_without_text(n: tw.Scalar):
    """LanguageError
    the first argument of tw.print is its text, not i32
    tw.print(n)
    write tw.print("x = {}", x)"""
    tw.print(n)


@broken
def print_brace(n: tw.Scalar):
    """LanguageError
    the text of tw.print: Single '}' encountered in format string
    tw.print("}", n)
    write {{ for a brace"""
    tw.print("}", n)


@broken
def named_hole(n: tw.Scalar):
    """LanguageError
    a hole of tw.print is {}, without a name
    tw.print("{n}", n)
    write {} for each value"""
    tw.print("{n}", n)


@broken
def check_text(n: tw.Scalar):
    """LanguageError
    the text of tw.check is a string, not 3
    tw.check(n > 0, 3)"""
    tw.check(n > 0, 3)


@broken
def false_assumption(n: tw.Scalar):
    """LanguageError
    tw.assume of what is false while compiling
    tw.assume(1 > 2)"""
    tw.assume(1 > 2)


@broken
def arange_of_three(x: tw.Tensor):
    """LanguageError
    tw.arange takes a stop, or start and stop
    tw.arange(0, 8, 2)"""
    t = tw.arange(0, 8, 2)


@broken
def atomic_order(i: tw.Tensor):
    """LanguageError
    order='any' is unknown
    tw.atomic_add(i, 0, 1, order="any")
    choose of relaxed, acquire, release, acq_rel"""
    tw.atomic_add(i, 0, 1, order="any")


@broken
def double_star(n: tw.Scalar):
    """LanguageError
    ** in a call
    tw.print(**n)
    name each argument"""
    tw.print(**n)


@broken
def called_number(n: tw.Scalar):
    """LanguageError
    n cannot be called in a kernel
    n(3)"""
    n(3)


@broken
def dtype_of_two(n: tw.Scalar):
    """LanguageError
    tw.f32(x) takes one argument
    tw.f32(n, n)"""
    tw.f32(n, n)


@broken
def isinstance_call(n: tw.Scalar):
    """LanguageError
    isinstance() is not in the language of kernels
    isinstance(n, int)"""
    isinstance(n, int)


@broken
def signal_at_places(i: tw.Tensor):
    """TypeMismatch
    a signal has one place
    tw.signal(i, tw.arange(4))
    give scalar indices"""
    tw.signal(i, tw.arange(4))


@pytest.mark.parametrize("function", GALLERY, ids=lambda f: f.__name__)
def test_the_error(function):
    check(function)
