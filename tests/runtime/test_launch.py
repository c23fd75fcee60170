"""Launching kernels: what works with any arguments, and every error with its text."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import tilewright as tw
from tilewright.ir.diagnostics import LanguageError, ResourceError, TilewrightError
from tilewright.runtime.errors import BuildError, LaunchError


@tw.kernel
def double(x: tw.Tensor, y: tw.Tensor, *, block: tw.Static = 32):
    """y[i] = 2 x[i]"""
    i = tw.grid(tw.cdiv(x.shape[0], block))
    tile = tw.load(x, (i * block,), (block,))
    tw.store(y, (i * block,), tile + tile)


@tw.kernel
def reverse(x: tw.Tensor, y: tw.Tensor, n: tw.Scalar, *, block: tw.Static = 32):
    """y[n - 1 - i] = x[i]"""
    i = tw.grid(tw.cdiv(x.shape[0], block))
    at = i * block + tw.arange(block)
    tw.scatter(y, (n - 1 - at,), tw.load(x, (i * block,), (block,)), mask=at < n)


@tw.kernel
def add_rows(x: tw.Tensor, y: tw.Tensor, *, bm: tw.Static = 8, bn: tw.Static = 16):
    """y[i, j] += x[i, j]"""
    i, j = tw.grid(tw.cdiv(x.shape[0], bm), tw.cdiv(x.shape[1], bn))
    at = (i * bm, j * bn)
    tw.store(y, at, tw.load(x, at, (bm, bn)) + tw.load(y, at, (bm, bn)))


WAYS = ("interpret", "cpu", "vm:sm_80")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 100])
def test_any_length(way, count):
    x, y = torch.randn(count), torch.full((count,), float("nan"))
    double(x, y, target=way)
    assert torch.equal(y, 2 * x)


@pytest.mark.parametrize("way", WAYS)
def test_any_strides(way):
    base, out = torch.randn(60, 46), torch.full((46, 40), float("nan"))
    x, y = base[3:43:2, 5:37].T, out[4:36, :20]
    y.fill_(1.0)
    add_rows(x, y, target=way)
    torch.testing.assert_close(y, x + 1.0, rtol=0, atol=0)
    assert out[:4].isnan().all()
    assert out[36:].isnan().all()
    assert out[:, 20:].isnan().all()


@pytest.mark.parametrize("way", WAYS)
def test_expanded_inputs_and_nan_and_infinity_pass_through(way):
    x = torch.tensor([[1.0, float("nan"), float("inf"), -float("inf")]]).expand(7, 4)
    y = torch.zeros(7, 4)
    add_rows(x, y, target=way)
    torch.testing.assert_close(y, x, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("way", WAYS)
def test_scalars_are_not_compiled_in_and_plans_do_not_mix_them_up(way):
    for n in (5, 9, 1, 0, 33):
        x, y = torch.randn(max(n, 1)), torch.full((max(n, 1),), 7.0)
        reverse(x, y, n, target=way)
        wanted = torch.flip(x[:n], (0,)) if n else torch.full((1,), 7.0)
        assert torch.equal(y, wanted)


@tw.kernel
def shift(x: tw.Tensor, y: tw.Tensor, s: tw.Scalar, *, by: tw.Static = 0.5, block: tw.Static = 32):
    """y[i] = s x[i] + by"""
    i = tw.grid(tw.cdiv(x.shape[0], block))
    tw.store(y, (i * block,), tw.load(x, (i * block,), (block,)) * s + by)


@dataclasses.dataclass(frozen=True)
class Line:
    values: torch.Tensor
    slope: float


@tw.kernel
def follow(line: Line, y: tw.Tensor, *, block: tw.Static = 32):
    """y[i] = slope values[i]"""
    i = tw.grid(tw.cdiv(y.shape[0], block))
    tw.store(y, (i * block,), tw.load(line.values, (i * block,), (block,)) * line.slope)


@pytest.mark.parametrize("way", WAYS)
def test_float_statics_are_not_mixed_up_by_plans_nor_by_compilations(way):
    x, y = torch.randn(45), torch.full((45,), float("nan"))
    for by in (0.5, 0.75, 0.5, 1, 1.0):
        shift(x, y, 2.0, by=by, target=way)
        assert torch.equal(y, 2.0 * x + by)
    for slope in (0.5, 0.25):
        follow(Line(x, slope), y, target=way)
        assert torch.equal(y, slope * x)


def test_new_scalars_compile_nothing_new_but_other_statics_do():
    x, y = torch.randn(45), torch.empty(45)
    shift(x, y, 2.5, target="interpret")
    before = len(shift._compiled)
    for s in (3.5, -0.0, float("inf")):
        shift(x, y, s, target="interpret")
    assert len(shift._compiled) == before
    for n in (5, 9, 17):
        reverse(x, y, n, target="interpret")
    count = len(reverse._compiled)
    reverse(x, y, 33, target="interpret")
    assert len(reverse._compiled) == count
    shift(x, y, 2.5, by=-0.0, target="interpret")
    shift(x, y, 2.5, by=0.0, target="interpret")
    assert len(shift._compiled) == before + 2


def test_too_many_arguments_are_found_on_a_known_plan_too():
    x, y = torch.randn(8), torch.zeros(8)
    double(x, y, block=32, target="interpret")
    with pytest.raises(LaunchError, match="double takes 2 arguments by place"):
        double(x, y, 32, 3, target="interpret")


def test_in_place_is_allowed_where_it_is_elementwise():
    x = torch.randn(50)
    wanted = 2 * x
    double(x, x, target="interpret")
    assert torch.equal(x, wanted)


def test_overlap_is_refused_naming_both():
    base = torch.randn(70)
    with pytest.raises(LaunchError, match=r"y is written by double and overlaps x") as caught:
        double(base[:50], base[10:60], target="interpret")
    assert "x.clone()" in str(caught.value)


def test_overlap_is_found_again_on_a_known_plan():
    x, y = torch.randn(32), torch.randn(96)
    double(x, y[:32], target="interpret")
    with pytest.raises(LaunchError, match="overlaps"):
        double(y[16:48], y[:32], target="interpret")


def test_output_that_shares_memory_with_itself_is_refused():
    with pytest.raises(LaunchError, match="its elements share memory") as caught:
        double(torch.randn(8), torch.zeros(1).expand(8), target="interpret")
    assert "y.contiguous()" in str(caught.value)


def test_wrong_arguments_name_themselves():
    x = torch.randn(8)
    with pytest.raises(LaunchError, match="double misses its argument y"):
        double(x)
    with pytest.raises(LaunchError, match="double has no parameter z"):
        double(x, x, z=3)
    with pytest.raises(LaunchError, match="double got x twice"):
        double(x, x=x)
    with pytest.raises(LaunchError, match="x is a list, want a tensor"):
        double([1.0], x)
    with pytest.raises(LaunchError, match="n is a Tensor, want a number"):
        reverse(x, torch.zeros(8), torch.tensor(3))
    with pytest.raises(LaunchError, match="double takes 2 arguments by place"):
        double(x, x, 1, 2, 3)


def test_wrong_rank_and_dtype_point_at_the_line():
    with pytest.raises(TilewrightError) as caught:
        double(torch.randn(4, 4), torch.randn(4, 4), target="interpret")
    assert "test_launch.py" in str(caught.value)
    assert "x" in caught.value.message
    with pytest.raises(TypeError, match="f32") as wrong:
        double(torch.randn(4), torch.zeros(4, dtype=torch.float16), target="interpret")
    assert "cast" in str(wrong.value)


@tw.kernel
def pick(x: tw.Tensor, y: tw.Tensor, step: tw.Scalar):
    """y[k] = x[k] for k = 0, step, …"""
    for k in tw.range(0, 8, step):
        y[k] = x[k]


@pytest.mark.parametrize("way", WAYS)
def test_loops_whose_step_is_not_positive_stop_instead_of_running_on(way):
    x, y = torch.randn(8), torch.zeros(8)
    pick(x, y, 3, target=way)
    assert torch.equal(y[::3], x[::3])
    for step in (-1, -7):
        with pytest.raises(TilewrightError, match="step of a loop is at least 1"):
            pick(x, y, step, target=way)


@tw.kernel
def outer(a: tw.Tensor, b: tw.Tensor, c: tw.Tensor, *, bm: tw.Static = 16, bk: tw.Static = 32):
    """c[i, j] = sum_k a[i, k] b[j, k]"""
    i, j = tw.grid(tw.cdiv(a.shape[0], bm), tw.cdiv(b.shape[0], bm))
    acc = tw.zeros((bm, bm), tw.f32)
    for k in tw.range(0, a.shape[1], bk, stages=3):
        x, y = tw.load(a, (i * bm, k), (bm, bk)), tw.load(b, (j * bm, k), (bm, bk))
        acc = tw.mma(x, y.T, acc)
    tw.store(c, (i * bm, j * bm), acc)


def test_a_call_may_name_stages_and_warps_and_nothing_else():
    x, y = torch.randn(16, 70).half(), torch.zeros(16, 16)
    shared = {}
    for stages in (1, 2, 4):
        made = outer.compile(x, x, y, stages=stages, warps=2, target="vm:sm_80")
        assert made.threads == 64
        shared[stages] = made.shared
        y.fill_(float("nan"))
        outer(x, x, y, stages=stages, warps=2, target="vm:sm_80")
        torch.testing.assert_close(y, x.float() @ x.float().T, rtol=1e-4, atol=1e-4)
    assert shared[4] == 2 * shared[2]
    for wrong in ("four", 0, 2.0, True):
        with pytest.raises(LaunchError, match=r"stages=.* of outer is no count"):
            outer(x, x, y, stages=wrong)
    with pytest.raises(LaunchError, match="outer has no parameter schedule"):
        outer(x, x, y, schedule="persistent")


FACTOR, SHIFT = 3.0, 1.0


@tw.inline
def moved(x):
    return x + SHIFT


@tw.kernel
def scale_and_move(x: tw.Tensor, y: tw.Tensor):
    """y[i] = FACTOR x[i] + SHIFT"""
    tw.store(y, (0,), moved(tw.load(x, (0,), (8,)) * FACTOR))


@pytest.mark.parametrize("way", WAYS)
def test_globals_that_change_are_compiled_in_anew(way, monkeypatch):
    x, y = torch.arange(8.0), torch.empty(8)
    for factor, shift in ((3.0, 1.0), (5.0, 1.0), (5.0, -2.0)):
        monkeypatch.setitem(globals(), "FACTOR", factor)
        monkeypatch.setitem(globals(), "SHIFT", shift)
        for _ in range(2):
            scale_and_move(x, y, target=way)
            assert torch.equal(y, factor * x + shift)


@tw.kernel
def tell(x: tw.Tensor):
    i = tw.grid(x.shape[0])
    tw.print("row {} has {}", i, x[i])


@pytest.mark.parametrize("way", WAYS)
def test_kernels_print_wherever_they_run(way, capfd):
    tell(torch.tensor([1.5, -2.5]), target=way)
    assert sorted(capfd.readouterr().out.splitlines()) == ["row 0 has 1.5", "row 1 has -2.5"]


def test_scalars_beyond_64_bits_are_refused():
    with pytest.raises(LaunchError, match="n is 9223372036854775808, beyond 64 bits"):
        reverse(torch.randn(8), torch.zeros(8), 2**63, target="interpret")


def test_unsupported_torch_dtype():
    with pytest.raises(LaunchError, match="complex64"):
        double(torch.zeros(4, dtype=torch.complex64), torch.zeros(4), target="interpret")


def test_unknown_target_lists_what_there_is():
    with pytest.raises(LaunchError, match="unknown target 'sm_70'") as caught:
        double(torch.zeros(4), torch.zeros(4), target="sm_70")
    assert "vm:sm_90a" in str(caught.value)


def test_devices_are_checked():
    x = torch.randn(8)
    with pytest.raises(LaunchError, match="argument y of double is on device meta"):
        double(x, torch.empty(8, device="meta"))
    with pytest.raises(LaunchError, match="argument x of double is on device cpu"):
        double(x, torch.zeros(8), target="sm_80")


def test_sparse_tensors_are_refused():
    with pytest.raises(TilewrightError):
        double(torch.zeros(8).to_sparse(), torch.zeros(8))


@tw.kernel
def hungry(x: tw.Tensor, y: tw.Tensor):
    """Stages more than any GPU holds."""
    tw.grid(1)
    buffer = tw.shared((512, 512), tw.f32)
    buffer.store(tw.load(x, (0, 0), (512, 512)))
    tw.store(y, (0, 0), buffer.load())


def test_too_much_shared_memory_gives_the_numbers():
    x = torch.randn(512, 512)
    with pytest.raises(ResourceError, match=r"1,?048,?576") as caught:
        hungry(x, torch.zeros(512, 512), target="vm:sm_80")
    assert caught.value.hint


def test_missing_compiler_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "/nonexistent")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("TILEWRIGHT_CACHE", str(tmp_path))
    fresh = tw.kernel(double.function)
    y = torch.full((8,), 3.0)
    with pytest.raises(BuildError) as caught:
        fresh(torch.randn(8), y)
    assert "C++ compiler" in str(caught.value)
    assert (y == 3.0).all()


def test_unwritable_cache_says_what_to_do(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TILEWRIGHT_CACHE", str(tmp_path / "file" / "below"))
    fresh = tw.kernel(double.function)
    with pytest.raises(TilewrightError, match="TILEWRIGHT_CACHE"):
        fresh(torch.randn(8), torch.zeros(8))


@dataclasses.dataclass(frozen=True)
class Pair:
    """A dataclass argument."""

    left: torch.Tensor
    right: torch.Tensor
    power: int


@tw.kernel
def multiply(pair: Pair, out: tw.Tensor, bias: tw.Tensor | None = None):
    """out[i] = left[i] * right[i] ** power (+ bias[i])"""
    i = tw.grid(tw.cdiv(out.shape[0], 16))
    tile = tw.load(pair.left, (i * 16,), (16,))
    for _ in tw.static_range(pair.power):
        tile = tile * tw.load(pair.right, (i * 16,), (16,))
    if bias is not None:
        tile = tile + tw.load(bias, (i * 16,), (16,))
    tw.store(out, (i * 16,), tile)


@pytest.mark.parametrize("way", WAYS)
def test_dataclasses_and_optional_arguments(way):
    left, right, bias = (torch.randint(-4, 5, (37,)).float() for _ in range(3))
    for power in (0, 1, 3):
        out = torch.full((37,), float("nan"))
        multiply(Pair(left, right, power), out, target=way)
        assert torch.equal(out, left * right**power)
        multiply(Pair(left, right, power), out, bias=bias, target=way)
        assert torch.equal(out, left * right**power + bias)


def test_new_sizes_do_not_compile_again():
    fresh = tw.kernel(double.function)
    for count in (33, 47, 50):
        fresh(torch.randn(count), torch.zeros(count), target="interpret")
    assert len(fresh._compiled) == 1
    fresh(torch.randn(48), torch.zeros(48), target="interpret")
    assert len(fresh._compiled) == 2


def test_under_torch_compile_it_says_to_wrap_it():
    @torch.compile(backend="eager", fullgraph=True)
    def call(x):
        y = torch.empty_like(x)
        double(x, y)
        return y

    with pytest.raises(Exception, match="torch_op"):
        call(torch.randn(8))


def test_a_wrapped_kernel_compiles_and_differentiates():
    op = tw.torch_op(double, "tests::double", outputs={"y": torch.empty_like})
    op.register_autograd(lambda ctx, grad: op(grad))
    call = torch.compile(lambda x: op(x) + 1, backend="aot_eager", fullgraph=True, dynamic=True)
    for count in (8, 33):
        x = torch.randn(count, requires_grad=True)
        call(x).sum().backward()
        assert torch.equal(x.grad, torch.full((count,), 2.0))
    torch.library.opcheck(op.operator, (torch.randn(9),))


def test_source_without_a_file_is_explained():
    scope = {"tw": tw}
    exec(
        "@tw.kernel\ndef lost(x: tw.Tensor):\n    i = tw.grid(1)\n"
        "    tw.store(x, (i,), tw.load(x, (i,), (1,)))\n",
        scope,
    )
    with pytest.raises(TilewrightError, match="source"):
        scope["lost"](torch.zeros(4), target="interpret")


@tw.kernel
def fat(x: tw.Tensor, y: tw.Tensor):
    """Needs more registers than a lane has."""
    tw.grid(1)
    tile = tw.load(x, (0, 0), (256, 64))
    total = tile
    for k in tw.range(0, x.shape[0], 1):
        tile = tile * 1.5 + k.cast(tw.f32)
        total = tw.maximum(total, tile)
    tw.store(y, (0, 0), total + tile)


def test_spills_warn_with_the_bytes_or_raise():
    x, y = torch.randn(256, 64), torch.zeros(256, 64)
    with pytest.warns(UserWarning, match=r"fat on sm_80 spills registers: \d+ bytes stored"):
        fat.compile(x, y, target="sm_80", warps=1)
    strict = tw.kernel(fat.function, spills="raise")
    with pytest.raises(ResourceError, match="spills registers"):
        strict.compile(x, y, target="sm_80", warps=1)


@tw.kernel
def product(x: tw.Tensor, y: tw.Tensor, z: tw.Tensor, *, stages: tw.Static = 4):
    """z = x · yᵀ"""
    tw.grid(1)
    acc = tw.zeros((64, 64), tw.f32)
    for k in tw.range(0, x.shape[1], 64, stages=stages):
        acc = tw.mma(tw.load(x, (0, k), (64, 64)), tw.load(y, (0, k), (64, 64)).T, acc)
    tw.store(z, (0, 0), acc)


def test_resources_say_how_many_stages_fit():
    x, z = torch.zeros(64, 64, dtype=torch.float16), torch.zeros(64, 64)
    shown = product.inspect(x, x, z, target="sm_80", stage="resources")
    assert "pipeline stages     4 (asked: at most 4)" in shown
    shown = product.inspect(x, x, z, target="sm_80", stage="resources", stages=40)
    assert "(asked: at most 40)" in shown
    assert "pipeline stages     40" not in shown
    with pytest.raises(ResourceError, match="40 stages need"):
        exact.inspect(x, x, z, target="sm_80", stage="resources")


@tw.kernel
def exact(x: tw.Tensor, y: tw.Tensor, z: tw.Tensor):
    """z = x · yᵀ in exactly 40 stages"""
    tw.grid(1)
    acc = tw.zeros((64, 64), tw.f32)
    for k in tw.range(0, x.shape[1], 64, stages=tw.exactly(40)):
        acc = tw.mma(tw.load(x, (0, k), (64, 64)), tw.load(y, (0, k), (64, 64)).T, acc)
    tw.store(z, (0, 0), acc)


@tw.kernel
def two_roles(x: tw.Tensor, y: tw.Tensor):
    """Roles cross through a buffer."""
    tw.grid(1)
    buffer = tw.shared((32,), tw.f32)
    with tw.role("load", warps=4):
        buffer.store(tw.load(x, (0,), (32,)))
    with tw.role("math", warps=4):
        tw.store(y, (0,), tw.zeros((32,), tw.f32))


@pytest.mark.parametrize("way", ["cpu", "vm:sm_80"])
def test_roles_are_refused_by_name_with_a_way_out(way):
    x = torch.zeros(32)
    with pytest.raises(LanguageError, match="roles") as caught:
        two_roles(x, torch.zeros(32), target=way)
    assert caught.value.hint
