"""Errors: buffers, copies, barriers, roles, layouts."""

# ruff: noqa: F841

import pytest

import tilewright as tw
from tilewright.ir.layout import spatial
from tilewright.tests.frontend.gallery import check

GALLERY = []
LAYOUT = spatial(8)


def broken(function):
    GALLERY.append(function)
    return function


@broken
def forgotten_copy(x: tw.Tensor):
    """VerifyError
    nobody waits for this copy
    tw.copy(x, 0, buffer)
    keep its token, t = tw.copy(...), and tw.wait(t) before what it copied is used"""
    buffer = tw.shared(4, x.dtype)
    tw.copy(x, 0, buffer)
    tw.store(x, 4, buffer.load())


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


@broken
def stored_number(x: tw.Tensor):
    """TypeMismatch
    a buffer takes a tile, not 1.0
    tw.shared(4, tw.f32).store(1.0)"""
    tw.shared(4, tw.f32).store(1.0)


@broken
def assigned_number(x: tw.Tensor):
    """TypeMismatch
    a buffer takes a tile, not 1.0
    b[0] = 1.0"""
    b = tw.shared((2, 4), tw.f32)
    b[0] = 1.0


@broken
def unknown_path(x: tw.Tensor):
    """LanguageError
    path='carrier' is unknown
    tw.copy(x, 0, b, path="carrier")
    choose one of cp_async, tma, bulk"""
    b = tw.shared(4, tw.f32)
    tw.copy(x, 0, b, path="carrier")


@broken
def store_signals(x: tw.Tensor):
    """LanguageError
    a copy into a tensor signals no barrier
    tw.copy(b, 0, x, barrier=tw.barrier(1, 1))
    wait for its token"""
    b = tw.shared(4, tw.f32)
    tw.copy(b, 0, x, barrier=tw.barrier(1, 1))


@broken
def no_barrier(x: tw.Tensor):
    """TypeMismatch
    barrier= is a barrier, not 0
    tw.copy(x, 0, b, barrier=0)"""
    b = tw.shared(4, tw.f32)
    tw.copy(x, 0, b, barrier=0)


@broken
def buffer_rank(x: tw.Tensor):
    """ShapeError
    a buffer of 2 axes for x of rank 1
    tw.copy(x, 0, b)"""
    b = tw.shared((2, 4), tw.f32)
    tw.copy(x, 0, b)


@broken
def copied_rows(m: tw.Tensor):
    """ShapeError
    an index tile stands at an axis that the buffer lacks
    tw.copy(m, (tw.arange(4), 0), b)"""
    b = tw.shared(4, tw.f32)
    tw.copy(m, (tw.arange(4), 0), b)


@broken
def empty_barrier(x: tw.Tensor):
    """LanguageError
    tw.barrier(0, 1): both are at least 1
    tw.barrier(0, 1)"""
    b = tw.barrier(0, 1)


@broken
def arrives_at_a_buffer(x: tw.Tensor):
    """TypeMismatch
    tw.arrive wants a barrier, not buffer<[4], f32>
    tw.arrive(tw.shared(4, tw.f32))"""
    tw.arrive(tw.shared(4, tw.f32))


@broken
def waits_without_parity(x: tw.Tensor):
    """LanguageError
    tw.wait(barrier, slot, parity) takes three arguments
    tw.wait(tw.barrier(1, 1), 0)"""
    tw.wait(tw.barrier(1, 1), 0)


@broken
def waits_for_nothing(x: tw.Tensor):
    """LanguageError
    tw.wait without anything to wait for
    tw.wait()
    pass the token of tw.copy"""
    tw.wait()


@broken
def small_layout(x: tw.Tensor, layout: tw.Static = LAYOUT):
    """ShapeError
    a layout of shape (8,) for a tile of shape (4,)
    tw.load(x, 0, 4, layout=layout)"""
    t = tw.load(x, 0, 4, layout=layout)


@broken
def converted_layout(x: tw.Tensor, layout: tw.Static = LAYOUT):
    """ShapeError
    a layout of shape (8,) for a tile of shape (4,)
    tw.load(x, 0, 4).convert(layout)"""
    t = tw.load(x, 0, 4).convert(layout)


@broken
def view_without_layout(x: tw.Tensor, layout: tw.Static = LAYOUT):
    """TypeMismatch
    view wants an operand with a layout
    tw.load(x, 0, 8).view(tw.i32, layout)
    give it layout="""
    t = tw.load(x, 0, 8).view(tw.i32, layout)


@broken
def role_name(x: tw.Tensor):
    """LanguageError
    a role's name is a word, not 3
    tw.role(3)"""
    with tw.role(3):
        pass


@broken
def role_without_warps(x: tw.Tensor):
    """LanguageError
    role load: warps=0, registers=0
    tw.role("load", warps=0)"""
    with tw.role("load", warps=0):
        pass


@broken
def equal_roles(x: tw.Tensor):
    """LanguageError
    two roles of one name: load, load
    with tw.role("load"):
    name each role once"""
    with tw.role("load"):
        pass
    with tw.role("load"):
        pass


@broken
def return_in_role(x: tw.Tensor):
    """LanguageError
    return inside a loop, or a branch that is not the function's end
    return
    return stands only at the end: carry the result in a variable"""
    with tw.role("load"):
        return


@broken
def two_buffers(n: tw.Scalar):
    """TypeMismatch
    b stands for one of two buffers, and which one is decided at run time
    b
    decide an offset or a slot instead: x[slot] of one tensor or buffer"""
    b = tw.shared(4, tw.f32)
    if n > 0:
        b = tw.shared(4, tw.f32)
    b.store(tw.zeros(4, tw.f32))


@pytest.mark.parametrize("function", GALLERY, ids=lambda f: f.__name__)
def test_the_error(function):
    check(function)
