"""Errors: shapes, indices and slices."""

# ruff: noqa: F841, PLE0643, RUF059

import pytest

import tilewright as tw
from tilewright.tests.frontend.gallery import check

GALLERY = []


def broken(function):
    GALLERY.append(function)
    return function


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


@broken
def rank_of_a_tile_index(x: tw.Tensor):
    """ShapeError
    an index tile of a load or store has one axis: rows: tile<[2, 2], i32>
    tw.load(x, rows, 4)
    use tw.gather or tw.scatter for index tiles of more axes"""
    rows = tw.arange(4).reshape(2, 2)
    t = tw.load(x, rows, 4)


@broken
def index_tile_without_axis(m: tw.Tensor):
    """ShapeError
    an index tile stands at an axis that shape (8,) lacks
    tw.load(m, (tw.arange(4), 0), 8)
    give one extent per axis of the tensor"""
    t = tw.load(m, (tw.arange(4), 0), 8)


@broken
def slice_of_a_tensor(x: tw.Tensor):
    """ShapeError
    a slice of x is no tile
    x[0:4] = 1.0
    an element has one scalar index per axis; tiles move by tw.load and tw.store"""
    x[0:4] = 1.0


@broken
def index_from_the_end(m: tw.Tensor):
    """ShapeError
    index -2 lies before the start of m
    m[0, -2]
    count from the end by m.shape[1] - 2"""
    m[0, 0] = m[0, -2]


@broken
def stage_outside_of_the_ring(x: tw.Tensor):
    """ShapeError
    index 2 of ring: buffer<[2, 4], f32>
    ring[2]
    it has 0 ... 1"""
    ring = tw.shared((2, 4), tw.f32)
    tw.store(x, 0, ring[2].load())


@broken
def gather_rank(m: tw.Tensor):
    """ShapeError
    1 indices for m of rank 2
    tw.gather(m, tw.arange(4))
    give one index tile or scalar per axis of the tensor"""
    t = tw.gather(m, tw.arange(4))


@broken
def axis_of_a_stride(m: tw.Tensor):
    """ShapeError
    axis 2 of m of rank 2
    m.stride(2)"""
    t = m.stride(2)


@broken
def axis_of_a_shape(m: tw.Tensor):
    """ShapeError
    axis 2 of m of rank 2
    m.shape[2]"""
    t = m.shape[2]


@broken
def arange_of_nothing(x: tw.Tensor):
    """ShapeError
    tw.arange(4, 4) has no elements
    tw.arange(4, 4)"""
    t = tw.arange(4, 4)


@broken
def dynamic_arange(n: tw.Scalar):
    """LanguageError
    the length of tw.arange is known while compiling, not of (0, i32)
    tw.arange(n)
    start at 0 and add: tw.arange(size) + start"""
    t = tw.arange(n)


@broken
def uneven_reshape(x: tw.Tensor):
    """ShapeError
    tile<[4], f32> does not reshape to (3, -1)
    tw.load(x, 0, 4).reshape(3, -1)"""
    t = tw.load(x, 0, 4).reshape(3, -1)


@broken
def transposed_row(x: tw.Tensor):
    """ShapeError
    .T exchanges the last two axes; tile<[4], f32> has 1
    tw.load(x, 0, 4).T"""
    t = tw.load(x, 0, 4).T


@broken
def twice_the_axis(m: tw.Tensor):
    """ShapeError
    axes (0, 0) do not permute a tile of rank 2
    tw.load(m, (0, 0), (4, 4)).transpose(0, 0)"""
    t = tw.load(m, (0, 0), (4, 4)).transpose(0, 0)


@broken
def item_of_many(x: tw.Tensor):
    """ShapeError
    item() of a tile of shape (4,)
    tw.load(x, 0, 4).item()
    reduce it"""
    t = tw.load(x, 0, 4).item()


@broken
def element_of_a_scalar(n: tw.Scalar):
    """TypeMismatch
    n: i32 has no elements to take
    n[0]"""
    n = n[0]


@broken
def element_of_a_number(x: tw.Tensor):
    """TypeMismatch
    3 has no elements to take
    t[0]"""
    t = 3
    t = t[0]


@broken
def dynamic_tuple_index(n: tw.Scalar):
    """LanguageError
    an index into a tuple is known while compiling, not i32
    (1, 2)[n]
    tuples live at compile time: use tw.static_range for the index"""
    t = (1, 2)[n]


@broken
def tuple_index(x: tw.Tensor):
    """ShapeError
    index 2 of a tuple of length 2
    (1, 2)[2]"""
    t = (1, 2)[2]


@broken
def many_indices(x: tw.Tensor):
    """ShapeError
    2 indices for t: tile<[4], f32> of rank 1
    t[0, 1]"""
    t = tw.load(x, 0, 4)
    t = t[0, 1]


@broken
def dynamic_slice(x: tw.Tensor, n: tw.Scalar):
    """LanguageError
    a slice of t: tile<[4], f32> has static bounds
    t[n:]
    load the part that you need at a dynamic offset instead"""
    t = tw.load(x, 0, 4)
    t = t[n:]


@broken
def strided_slice(x: tw.Tensor):
    """ShapeError
    a slice of t: tile<[4], f32> takes at least 1 element, with step 1
    t[::2]"""
    t = tw.load(x, 0, 4)
    t = t[::2]


@broken
def tile_index_range(x: tw.Tensor):
    """ShapeError
    index 4 of an axis of extent 4
    t[4]"""
    t = tw.load(x, 0, 4)
    t = t[4]


@broken
def slice_of_columns(m: tw.Tensor):
    """LanguageError
    a slice of m is along its first axis, with step 1
    m[:, 0:4]
    load a tile of it: tw.load(tensor, offsets, shape)"""
    t = m[:, 0:4]


@broken
def empty_tile(x: tw.Tensor):
    """ShapeError
    a tile's shape is (0,): extents are at least 1
    tw.load(x, 0, 0)"""
    t = tw.load(x, 0, 0)


@broken
def shape_of_a_tensor(x: tw.Tensor):
    """LanguageError
    a tile's shape is known while compiling, not the shape of x
    tw.zeros(x.shape, tw.f32)
    use a literal or a tw.Static argument"""
    t = tw.zeros(x.shape, tw.f32)


@broken
def view_within_a_byte(c: tw.Tensor, n: tw.Scalar):
    """ShapeError
    a view of c of nf4 that starts within a byte
    tw.rows(c, n, 8)
    load at an offset instead, which may be any"""
    view = tw.rows(c, n, 8)


@broken
def slice_within_a_byte(c: tw.Tensor):
    """ShapeError
    a view of c of nf4 that starts within a byte
    c[3:]
    load at an offset instead, which may be any"""
    view = c[3:]


@broken
def tile_comes_apart(x: tw.Tensor):
    """TypeMismatch
    tile<[4], f32> does not come apart into 2 names
    a, b"""
    a, b = tw.load(x, 0, 4)


@pytest.mark.parametrize("function", GALLERY, ids=lambda f: f.__name__)
def test_the_error(function):
    check(function)
