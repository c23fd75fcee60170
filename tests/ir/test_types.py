"""Names, records and promotion of data types."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

from tilewright.ir import types
from tilewright.ir.types import (
    NAMED,
    DType,
    bf16,
    bool_,
    cast,
    codebook,
    e8m0,
    f4e2m1,
    f6e2m3,
    f6e3m2,
    f8e4m3,
    f8e5m2,
    f16,
    f32,
    f64,
    i4,
    i8,
    i16,
    i32,
    i64,
    list_small_floats,
    nf4,
    parse_dtype,
    promote,
    tf32,
    u1,
    u4,
    u8,
    u16,
    u32,
    u64,
)

TABLE = codebook(2, [-1.5, 0.0, 0.25, 1e-3])
ALL = [*NAMED.values(), *list_small_floats(), TABLE]


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_text_round_trip_gives_the_same_object(dtype: DType) -> None:
    assert parse_dtype(str(dtype)) is parse_dtype(str(dtype))
    assert parse_dtype(str(dtype)) == dtype
    assert hash(parse_dtype(str(dtype))) == hash(dtype)
    assert pickle.loads(pickle.dumps(dtype)) == dtype
    assert copy.deepcopy(dtype) == dtype


def test_every_named_type_is_an_attribute() -> None:
    for name, dtype in NAMED.items():
        assert getattr(types, "bool_" if name == "bool" else name) is dtype


def test_aliases_are_the_same_object() -> None:
    assert parse_dtype("f4_e2m1") is f4e2m1
    assert parse_dtype("f6_e3m2") is f6e3m2
    assert parse_dtype("f6_e2m3") is f6e2m3
    assert parse_dtype("f5e2m2") is parse_dtype("f5_e2m2")
    assert parse_dtype("codebook2<-1.5,0.0,0.25,0.001>") is TABLE
    assert codebook(2, [-1.5, -0.0, 0.25, 1e-3]) is TABLE
    assert codebook(4, nf4.table) is nf4


def test_small_floats_are_all_there() -> None:
    assert len(list_small_floats()) == 2 + 3 + 4 + 5 + 6 + 7 - 2
    assert all(1 + d.exponent + d.mantissa == d.bits for d in list_small_floats())


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("f8_e4m3", "write f8e4m3"),
        ("f8_e5m2", "write f8e5m2"),
        ("f8e3m4", "write f8_e3m4"),
        ("f6_e3m3", "7 bits, not 6"),
        ("f2_e1m0", "unknown type"),
        ("f8_e0m7", "unknown type"),
        ("u9", "unknown type"),
        ("u0", "unknown type"),
        ("float16", "f16"),
        ("codebook2<0.0, 1.0>", "4 values, not 2"),
        ("codebook1<nan, 1.0>", "finite"),
        ("codebook9<1.0>", "unknown type"),
    ],
)
def test_wrong_names_say_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=r"type|codebook") as error:
        parse_dtype(text)
    assert hint in str(error.value)


def test_containers_and_storage() -> None:
    containers = {u1: 1, i4: 1, nf4: 1, bool_: 1, e8m0: 1, f16: 2, bf16: 2, tf32: 4, f32: 4, i64: 8}
    for dtype, size in containers.items():
        assert dtype.container == np.dtype(f"u{size}")
    assert tf32.bits == 32
    assert tf32.padding == 13


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (u1, 0, 1),
        (i4, -8, 7),
        (u64, 0, 2**64 - 1),
        (i64, -(2**63), 2**63 - 1),
        (f8e4m3, -448.0, 448.0),
        (f8e5m2, -57344.0, 57344.0),
        (f4e2m1, -6.0, 6.0),
        (f6e3m2, -28.0, 28.0),
        (f6e2m3, -7.5, 7.5),
        (f16, -65504.0, 65504.0),
        (bf16, -(2.0**128 - 2.0**120), 2.0**128 - 2.0**120),
        (f32, -float(np.finfo(np.float32).max), float(np.finfo(np.float32).max)),
        (f64, -sys.float_info.max, sys.float_info.max),
        (e8m0, 2.0**-127, 2.0**127),
        (bool_, 0, 1),
        (nf4, -1.0, 1.0),
        (TABLE, -1.5, 0.25),
    ],
    ids=str,
)
def test_ranges(dtype: DType, low: float, high: float) -> None:
    assert (dtype.min, dtype.max) == (low, high)


def test_signs() -> None:
    assert all(d.signed for d in (i4, i64, f16, f8e4m3, nf4, TABLE))
    assert not any(d.signed for d in (u1, u64, e8m0, bool_, codebook(1, [0, 3])))


@pytest.mark.parametrize(
    ("a", "b", "common"),
    [
        (u4, u4, u4),
        (u4, u8, u8),
        (u4, i4, i8),
        (u4, i8, i8),
        (u8, i8, i16),
        (u16, i16, i32),
        (u32, i32, i64),
        (u64, u8, u64),
        (bool_, u1, u1),
        (bool_, f16, f16),
        (i32, f16, f16),
        (u64, e8m0, e8m0),
        (f16, bf16, f32),
        (f8e4m3, f16, f16),
        (f8e4m3, bf16, bf16),
        (f8e4m3, f8e5m2, f16),
        (f4e2m1, f8e4m3, f8e4m3),
        (f6e2m3, f6e3m2, f16),
        (f4e2m1, f6e2m3, f6e2m3),
        (e8m0, f16, f32),
        (e8m0, bf16, bf16),
        (tf32, f16, tf32),
        (tf32, f32, f32),
        (f32, f64, f64),
    ],
    ids=str,
)
def test_promotion(a: DType, b: DType, common: DType) -> None:
    assert promote(a, b) is common
    assert promote(b, a) is common


def test_promotion_within_a_kind_loses_no_value() -> None:
    small = [d for d in ALL if d.bits <= 8 and d.kind not in ("codebook", "bool")]
    for a in small:
        codes = np.arange(1 << a.bits, dtype=np.uint8)
        for b in small:
            if a.is_integer == b.is_integer:
                common, values = promote(a, b), a.decode(codes)
                assert common is promote(b, a) or common.bits == promote(b, a).bits
                np.testing.assert_array_equal(common.decode(cast(codes, a, common)), values)


@pytest.mark.parametrize(("a", "b"), [(u64, i8), (i64, u64), (nf4, f16), (u4, TABLE)], ids=str)
def test_no_common_type_is_an_error(a: DType, b: DType) -> None:
    with pytest.raises(TypeError, match="no common type: cast"):
        promote(a, b)


def test_cast_goes_through_the_value() -> None:
    codes = np.array([0, 7, 8, 15], np.uint8)
    np.testing.assert_array_equal(i4.decode(codes), [0, 7, -8, -1])
    np.testing.assert_array_equal(i8.decode(cast(codes, i4, i8)), [0, 7, -8, -1])
    np.testing.assert_array_equal(f16.decode(cast(codes, i4, f16)), [0, 7, -8, -1])
    np.testing.assert_array_equal(bool_.decode(cast(codes, i4, bool_)), [False, True, True, True])
    halves = f16.encode([-1.5, 2.5, np.nan, 1e4])
    np.testing.assert_array_equal(i4.decode(cast(halves, f16, i4)), [-1, 2, 0, 7])
    rounded = cast(halves, f16, i4, rounding="nearest_even")
    np.testing.assert_array_equal(i4.decode(rounded), [-2, 2, 0, 7])


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(TypeError, match="codes of f16 are uint16"):
        f16.decode(np.zeros(3, np.uint32))
    with pytest.raises(TypeError, match="cannot encode an array of object"):
        u64.encode([2**64])
    with pytest.raises(TypeError, match="cannot encode"):
        f16.encode(["1.0"])
    with pytest.raises(ValueError, match="rounding 'up' is none of"):
        f16.encode([1.0], "up")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="overflow 'clip' is none of"):
        f16.encode([1.0], overflow="clip")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no infinity"):
        u8.encode([1], overflow="infinity")
    with pytest.raises(ValueError, match="does not wrap"):
        f16.encode([1], overflow="wrap")
    with pytest.raises(ValueError, match="floats saturate"):
        u8.encode([1.0], overflow="wrap")
    with pytest.raises(ValueError, match="nearest entry only"):
        nf4.encode([1.0], "truncate")


@pytest.mark.parametrize("dtype", ALL, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 1, 5)], ids=str)
def test_shapes_are_kept(dtype: DType, shape: tuple[int, ...]) -> None:
    for values in (np.ones(shape), np.ones(shape, np.int64), np.ones(shape, np.float32)):
        codes = dtype.encode(values)
        assert codes.shape == dtype.decode(codes).shape == shape
        assert codes.dtype == dtype.container


@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_strided_arrays_mean_the_same(dtype: DType) -> None:
    values = np.arange(24.0).reshape(4, 6) - 7
    for view in (values.T, values[::2, ::-1], values[:, 1:2], np.broadcast_to(values[0], (3, 6))):
        np.testing.assert_array_equal(dtype.encode(view), dtype.encode(view.copy()))
        codes = dtype.encode(values).T[::2]
        np.testing.assert_array_equal(dtype.decode(codes), dtype.decode(codes.copy()))


def test_types_need_only_numpy() -> None:
    code = "import sys, tilewright.ir.types; print(*{'torch', 'sympy', 'lark'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
