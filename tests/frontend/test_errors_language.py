"""Errors: Python that the language does not have, and names that mean nothing in a kernel."""

# ruff: noqa: C416, E731, F821, F841, F842

import numpy as np
import pytest

import tilewright as tw
from tilewright.tests.frontend.gallery import check

GALLERY = []


def broken(function):
    GALLERY.append(function)
    return function


ARRAY = np.zeros(3)
GREETING = "hello"


def plain(x):
    return x


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
    compute it before the launch, and pass it as an argument"""
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
def exp_of_numpy(x: tw.Tensor):
    """LanguageError
    exp is a Python function, and kernels run none
    np.exp
    use tw.exp"""
    tw.store(x, 0, np.exp(tw.load(x, 0, 4)))


@broken
def negative_grid(x: tw.Tensor):
    """LanguageError
    an extent of the grid is -1
    tw.grid(-1)
    count from 0 upwards"""
    i = tw.grid(-1)


@broken
def too_few_for_a_starred_name(x: tw.Tensor):
    """TypeMismatch
    1 values for 3 names
    a, *b, d"""
    a, *b, d = (1,)


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


@broken
def bytes_literal(x: tw.Tensor):
    """LanguageError
    b'x' is no number of the language
    b"x\""""
    t = b"x"


@broken
def declaration(x: tw.Tensor):
    """LanguageError
    a declaration without a value
    t: int
    assign a value"""
    t: int


@broken
def assigned_attribute(x: tw.Tensor):
    """LanguageError
    an attribute cannot be assigned
    x.name = 3
    values are immutable"""
    x.name = 3


@broken
def augmented_attribute(x: tw.Tensor):
    """LanguageError
    an attribute cannot be assigned
    x.name += 3
    values are immutable"""
    x.name += 3


@broken
def string_method(x: tw.Tensor):
    """LanguageError
    the method upper of 'hello' does not run in a kernel
    GREETING.upper"""
    t = GREETING.upper()


@broken
def deleted(x: tw.Tensor):
    """LanguageError
    del: not in the language of kernels
    del x
    leave the name: values cost nothing"""
    del x


@broken
def private_name(x: tw.Tensor):
    """LanguageError
    tensor<f32, strides=[1], extents=[any]> has no __len__
    x.__len__"""
    t = x.__len__


@broken
def attribute_of_a_number(size: tw.Static = 64):
    """LanguageError
    64 has no codes
    size.codes"""
    t = size.codes


@pytest.mark.parametrize("function", GALLERY, ids=lambda f: f.__name__)
def test_the_error(function):
    check(function)
