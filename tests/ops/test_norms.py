"""softmax and rms_norm: against float64 for every dtype, width and stride; operators for torch."""

from __future__ import annotations

import pytest
import torch

from tilewright.ops import rms_norm, softmax
from tilewright.ops.rms_norm import reference as exact_norm
from tilewright.runtime.errors import LaunchError

UNIT = {
    torch.float64: 2.0**-53,
    torch.float32: 2.0**-24,
    torch.bfloat16: 2.0**-8,
    torch.float16: 2.0**-11,
}
SHAPES = [(1, 1), (5, 47), (3, 1500), (2, 3, 64)]


def inner_unit(dtype):
    """The unit roundoff of the arithmetic inside."""
    return 2.0**-53 if dtype == torch.float64 else 2.0**-24


@pytest.mark.parametrize("dtype", list(UNIT))
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax(dtype, shape):
    x = (torch.randn(shape) * 4).to(dtype)
    found, exact = softmax(x), x.double().softmax(-1)
    spread = (x.double().amax(-1, keepdim=True) - x.double()).clamp_min(1)
    # exp turns the absolute rounding of its argument into a relative error; n terms are summed
    bound = (shape[-1] + 8 + 4 * spread) * inner_unit(dtype) + 1.01 * UNIT[dtype]
    tiny = torch.finfo(dtype).tiny
    assert ((found.double() - exact).abs() <= bound * exact + tiny).all()


@pytest.mark.parametrize("dtype", list(UNIT))
@pytest.mark.parametrize("shape", SHAPES)
def test_rms_norm(dtype, shape):
    x, weight = torch.randn(shape).to(dtype), torch.randn(shape[-1]).to(dtype)
    found, exact = rms_norm(x, weight, 1e-5), exact_norm(x, weight, 1e-5)
    bound = (shape[-1] + 12) * inner_unit(dtype) + 1.01 * UNIT[dtype]
    assert ((found.double() - exact).abs() <= bound * exact.abs() + torch.finfo(dtype).tiny).all()


def test_strides_and_empty_rows():
    wide = torch.randn(40, 60)
    weight = torch.randn(20)[::2]
    for x in (wide[:, ::6], wide.T[:5, 3:13], wide[:1, :10].expand(7, 10)):
        torch.testing.assert_close(softmax(x), x.softmax(-1))
        torch.testing.assert_close(rms_norm(x, weight), exact_norm(x, weight, 1e-6).float())
    assert softmax(wide[:0]).shape == (0, 60)
    assert softmax(wide[:, :0]).shape == (40, 0)
    assert rms_norm(wide[:0], torch.ones(60)).shape == (0, 60)
    assert softmax(torch.randn(5)).shape == (5,)


def test_softmax_of_infinities_is_torchs():
    inf = float("inf")
    x = torch.tensor([[0.0, -inf, 1.0], [-inf, -inf, -inf], [float("nan"), 0, 1], [inf, 0, 1]])
    torch.testing.assert_close(softmax(x), x.softmax(-1), equal_nan=True)


@pytest.mark.parametrize("shape", [(4, 9), (2, 3, 5)])
def test_gradients(shape):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(shape[-1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(softmax, (x,), fast_mode=True)
    assert torch.autograd.gradcheck(lambda x, w: rms_norm(x, w, 1e-3), (x, weight), fast_mode=True)


def test_gradients_of_half_precision_have_its_dtype():
    x, weight = (torch.randn(s).bfloat16().requires_grad_() for s in ((6, 40), (40,)))
    grads = torch.autograd.grad(rms_norm(x, weight).float().square().sum(), (x, weight))
    wide = [t.detach().double().requires_grad_() for t in (x, weight)]
    wanted = torch.autograd.grad(exact_norm(*wide, 1e-6).square().sum(), wide)
    for found, exact in zip(grads, wanted, strict=True):
        assert found.dtype == torch.bfloat16
        assert (found.double() - exact).norm() <= 2.0**-6 * exact.norm()


def test_opcheck():
    x, weight = torch.randn(4, 9, requires_grad=True), torch.randn(9, requires_grad=True)
    torch.library.opcheck(torch.ops.tilewright.softmax.default, (x,))
    torch.library.opcheck(torch.ops.tilewright.rms_norm.default, (x, weight, 1e-6))
    turned = torch.randn(9, 4, requires_grad=True).T
    torch.library.opcheck(torch.ops.tilewright.softmax.default, (turned,))


def test_compile_with_dynamic_shapes():
    weight = torch.randn(9)

    def layer(x):
        return softmax(rms_norm(x, weight) * 2.0)

    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for m in (2, 5):
        x = torch.randn(m, 9, requires_grad=True)
        assert torch.equal(compiled(x), layer(x))
        found = torch.autograd.grad(compiled(x)[:, 0].sum(), x)
        torch.testing.assert_close(found, torch.autograd.grad(layer(x)[:, 0].sum(), x))


def test_compile_with_inductor():
    x, weight = torch.randn(3, 20), torch.randn(20)
    compiled = torch.compile(lambda x: softmax(rms_norm(x, weight)) + 1.0, fullgraph=True)
    assert torch.equal(compiled(x), softmax(rms_norm(x, weight)) + 1.0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: softmax(x[0, 0]), "want rows of floats"),
        (lambda x: softmax(x.int()), "torch.int32"),
        (lambda x: rms_norm(x, x[0, :2]), r"weight has shape \(2,\), want \(4,\)"),
        (lambda x: rms_norm(x, x[0].to("meta")), "weight is on meta"),
        (lambda x: rms_norm(x.int(), x[0]), "torch.int32"),
        (lambda x: rms_norm(x, x[0].int()), "weight has dtype torch.int32"),
        (lambda x: softmax(x.to(torch.float8_e5m2)), "float8"),
    ],
)
def test_errors_name_the_argument(make, words):
    with pytest.raises(LaunchError, match=words):
        make(torch.randn(4, 4))
