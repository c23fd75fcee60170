"""matmul: right for every dtype, stride and batch; an operator that torch can trace."""

from __future__ import annotations

import pytest
import torch

from tilewright.ops import matmul
from tilewright.runtime.errors import LaunchError

UNIT = {
    torch.float64: 2.0**-53,
    torch.float32: 2.0**-24,
    torch.bfloat16: 2.0**-8,
    torch.float16: 2.0**-11,
}


def check(found, a, b):
    """Within (k + 2) roundings of the accumulator's sum, and one of the result."""
    exact = a.double() @ b.double()
    unit = UNIT[found.dtype]
    inner = 2.0**-53 if found.dtype == torch.float64 else 2.0**-24
    bound = (a.shape[-1] + 2) * inner * (a.double().abs() @ b.double().abs())
    wide = 2.0**-50 * exact.abs() * a.shape[-1]  # the reference is rounded, too
    error = (found.double() - exact).abs()
    assert (error <= bound + wide + 1.01 * unit * exact.abs() + torch.finfo(found.dtype).tiny).all()


@pytest.mark.parametrize("dtype", list(UNIT))
@pytest.mark.parametrize("shape", [(1, 1, 1), (33, 70, 129), (300, 64, 17)])
def test_every_float_at_odd_sizes(dtype, shape):
    m, k, n = shape
    a, b = torch.randn(m, k).to(dtype), torch.randn(k, n).to(dtype)
    check(matmul(a, b), a, b)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8])
def test_integers_are_exact(dtype):
    low = -128 if dtype == torch.int8 else 0
    a, b = (torch.randint(low, low + 256, s, dtype=dtype) for s in ((19, 300), (300, 33)))
    found = matmul(a, b)
    assert found.dtype == torch.int32
    assert torch.equal(found.long(), a.long() @ b.long())


def test_strides_of_any_kind():
    wide = torch.randn(80, 90)
    for a, b in (
        (wide[::2, 1:41], wide[:40, ::3]),
        (wide.T[:30, :40], wide.T[10:50, 5:20]),
        (wide[:1].expand(20, 90), wide.T[:90]),
    ):
        check(matmul(a, b), a, b)


def test_batches_broadcast():
    a, b = torch.randn(3, 1, 5, 20), torch.randn(4, 20, 7)
    check(matmul(a, b), a, b)
    left, right = torch.randn(2, 3, 6, 20), torch.randn(20, 9)
    check(matmul(left, right), left, right)
    assert matmul(left[:0], right).shape == (0, 3, 6, 9)
    assert torch.equal(matmul(torch.ones(3, 0), torch.ones(0, 4)), torch.zeros(3, 4))


def test_nan_and_infinity_travel_as_in_torch():
    a, b = torch.randn(4, 8), torch.randn(8, 5)
    a[1, 2], a[2, 3] = float("nan"), float("inf")
    found = matmul(a, b)
    assert torch.equal(found.isnan(), (a @ b).isnan())
    assert torch.equal(found.isinf(), (a @ b).isinf())


@pytest.mark.parametrize(
    "shapes", [((5, 9), (9, 4)), ((3, 5, 9), (9, 4)), ((2, 1, 5, 9), (3, 9, 4))]
)
def test_gradients(shapes):
    a, b = (torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes)
    assert torch.autograd.gradcheck(matmul, (a, b), fast_mode=True)


def test_opcheck():
    op = torch.ops.tilewright.matmul.default
    for left, right in (((5, 9), (9, 4)), ((3, 5, 9), (3, 9, 4))):
        args = [torch.randn(s, requires_grad=True) for s in (left, right)]
        torch.library.opcheck(op, args)


def test_compiles_with_dynamic_shapes():
    compiled = torch.compile(
        lambda a, b: torch.relu(matmul(a, b)), fullgraph=True, dynamic=True, backend="aot_eager"
    )
    for m, k, n in ((4, 9, 5), (7, 3, 11)):
        a, b = torch.randn(m, k), torch.randn(k, n, requires_grad=True)
        found = compiled(a, b)
        assert torch.equal(found, torch.relu(matmul(a, b)))
        wanted = torch.autograd.grad(torch.relu(a @ b).sum(), b)
        torch.testing.assert_close(torch.autograd.grad(found.sum(), b), wanted)


def test_compiles_with_inductor():
    a, b = torch.randn(5, 12), torch.randn(12, 6)
    compiled = torch.compile(lambda a, b: matmul(a, b) + 1.0, fullgraph=True)
    assert torch.equal(compiled(a, b), matmul(a, b) + 1.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda a: matmul(a[0], a), "a has shape"),
        (lambda a: matmul(a, a[:, 0]), "b has shape"),
        (lambda a: matmul(a, a.double()), "a has dtype torch.float32, b has torch.float64"),
        (lambda a: matmul(a.bool(), a.bool()), "a has dtype torch.bool"),
        (lambda a: matmul(a.to(torch.complex64), a), "a has dtype torch.complex64"),
        (lambda a: matmul(a, a[:3]), "4 columns meet 3 rows"),
        (lambda a: matmul(a.expand(2, 4, 4), a.expand(3, 4, 4)), "do not broadcast"),
        (lambda a: matmul(a, a.to("meta")), "b is on meta"),
        (lambda a: matmul(a.tolist(), a), "a is a list, want a tensor"),
    ],
)
def test_errors_name_the_argument(make, words):
    with pytest.raises(LaunchError, match=words):
        make(torch.randn(4, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_a_launch_that_is_kept_serves_other_tensors_of_the_same_form(dtype):
    bound = {torch.float32: 2.0**-20, torch.bfloat16: 2.0**-8, torch.int8: 0.0}[dtype]
    base = torch.randint(-8, 8, (40 * 33 + 5,)).to(dtype)
    for start in (0, 1, 5):  # addresses with less alignment than those of the first launch
        a, b = base[start : start + 40 * 33].view(40, 33), torch.randint(-8, 8, (33, 21)).to(dtype)
        exact = a.double() @ b.double()
        assert (matmul(a, b).double() - exact).norm() <= bound * exact.norm()
        assert (matmul(b.T, a.T).double() - exact.T).norm() <= bound * exact.norm()
