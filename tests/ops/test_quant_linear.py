"""The quantized linear layer: right against float64 within derived bounds, for every way to run."""

from __future__ import annotations

import pytest
import torch

from tilewright.ops.quant import QSpec, quant_linear, quantize
from tilewright.ops.quant.forms import FORMS
from tilewright.ops.quant.kernels import dense_kernel, panel_config, panel_kernel
from tilewright.ops.quant.linear import WAYS, Way, _linear, _weights, launch_linear
from tilewright.runtime import compile as compiling
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.isa import cpu_features, find_isas, request_amx
from tilewright.runtime.kernel import KernelFunction

ISAS = [isa for isa in find_isas(cpu_features()) if isa != "amx" or request_amx()]
HALF_UNIT = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8, torch.float16: 2.0**-11}


def check(y, x, q, bias=None, weight_error=0.0):
    """|y - exact| within the bound of the sum, the rounding of the result, and of the weights.

    Codes and zero points are summed apart, so the bound of a sum counts both: each term is an f32
    fma, and a group's part is rounded once more when it is scaled (Higham, section 3.1). bf16
    activations meet 4-bit integers as 16 + code, and 16 is taken off again.
    """
    k = x.shape[-1]
    exact = x.double() @ q.dequantize(torch.float64).T
    held = q.to_portable_form()
    size = q.dequantize(torch.float64).abs()
    scale = held.scales.double().repeat_interleave(q.spec.group, 1)[:, :k]
    if held.zeros is not None:
        size = size + 2 * held.zeros.double().repeat_interleave(q.spec.group, 1)[:, :k] * scale
    shift = 16 if x.dtype == torch.bfloat16 and q.spec.dtype in ("u4", "i4") else 0
    size = size + 2 * (q.spec.midpoint + shift) * scale
    bound = ((k + 8) * 2.0**-23 + weight_error) * (x.double().abs() @ size.T)
    if bias is not None:
        exact = exact + bias.double()
    tiny = torch.finfo(y.dtype).tiny
    assert y.dtype == x.dtype
    error = (y.double() - exact).abs()
    assert (error <= bound + 1.01 * HALF_UNIT[y.dtype] * exact.abs() + tiny).all(), error.max()


@pytest.mark.parametrize("m", [1, 3, 20, 70])
@pytest.mark.parametrize("dtype", list(HALF_UNIT))
def test_four_bits_for_every_height_and_dtype(m, dtype):
    x, q = torch.randn(m, 77, dtype=dtype), quantize(torch.randn(33, 77), "u4 group=32")
    bias = torch.randn(33, dtype=dtype)
    check(quant_linear(x, q, bias), x, q, bias)


@pytest.mark.parametrize(
    "text", ["u1", "i3", "u5 zero=mid", "f6e3m2", "nf4", "i8 scale=f32", "f8e5m2 scale=f16"]
)
@pytest.mark.parametrize(("m", "dtype"), [(1, torch.float32), (5, torch.bfloat16)])
def test_every_kind_of_code(text, m, dtype):
    x, q = torch.randn(m, 130, dtype=dtype), quantize(torch.randn(50, 130), text)
    check(quant_linear(x, q), x, q)


@pytest.mark.parametrize(
    ("n", "k", "group"), [(1, 1, 128), (16, 8, 8), (257, 300, 64), (40, 2200, 24), (20, 5000, 4608)]
)
def test_odd_shapes_and_tail_groups(n, k, group):
    x, q = torch.randn(2, k, dtype=torch.bfloat16), quantize(torch.randn(n, k), QSpec(group=group))
    check(quant_linear(x, q), x, q)


@pytest.mark.parametrize("m", [1, 3, 20, 70])
@pytest.mark.parametrize("dtype", list(HALF_UNIT))
@pytest.mark.parametrize("zero", ["mid", "group", "none"])
def test_infinite_activations_give_what_the_weights_say(m, dtype, zero):
    spec = QSpec(dtype="i4" if zero == "none" else "u4", group=32, zero=zero)
    x, q = torch.randn(m, 100, dtype=dtype), quantize(torch.randn(40, 100), spec)
    x[0, 5], x[-1, 70] = float("inf"), torch.finfo(dtype).max
    weight = q.dequantize(torch.float64)
    exact, y = x.double() @ weight.T, quant_linear(x, q)
    assert torch.equal(y[0].isnan(), weight[:, 5] == 0)
    infinite = exact[0].isinf() & ~y[0].isnan()
    assert torch.equal(y[0][infinite].double(), exact[0][infinite])
    assert not y[1:].isnan().any() and torch.equal(y[1:].isinf(), exact[1:].to(dtype).isinf())


CASES = [
    ("u4 group=64", 1, torch.bfloat16),
    ("i4 group=64", 3, torch.float32),
    ("u3 group=24", 2, torch.bfloat16),
    ("nf4 group=64", 18, torch.bfloat16),
    ("f5e2m2 group=32", 18, torch.bfloat16),
]
WIDTHS = [(f"u{bits} group=24", 1, torch.float32) for bits in (1, 2, 5, 6, 7, 8)]
DECODERS = [isa for isa in ("avx512vnni", "avx512", "avx2") if isa in ISAS]


@pytest.mark.parametrize(
    ("isa", "case"),
    [(i, c) for i in ISAS for c in CASES] + [(i, c) for i in DECODERS for c in WIDTHS],
)
def test_every_instruction_set(isa, case, monkeypatch):
    text, m, dtype = case
    monkeypatch.setattr(compiling, "best_isa", lambda amx: isa)
    monkeypatch.setitem(WAYS, "cpu", Way(KernelFunction(panel_kernel.function), panel_config))
    x, q = torch.randn(m, 150, dtype=dtype), quantize(torch.randn(43, 150), text)
    y = torch.full((m, 43), float("nan"), dtype=dtype)
    weights = _weights(FORMS["cpu"], q.codes, q.scales, q.zeros, q.spec, q.shape)
    launch_linear(x, weights, None, y, q.spec, family="cpu")
    check(y, x, q)


@pytest.mark.parametrize("text", ["u4 group=16", "i3 group=16", "f4e2m1 group=16", "u8 zero=mid"])
def test_the_interpreter_gives_both_kernels_their_meaning(text):
    x, q = torch.randn(3, 41), quantize(torch.randn(20, 41), text)
    held = q.to_portable_form()
    for family, parts, form in (("cpu", q, FORMS["cpu"]), ("cuda", held, FORMS["cuda"])):
        y = torch.full((3, 20), float("nan"))
        weights = _weights(form, parts.codes, parts.scales, parts.zeros, q.spec, q.shape)
        launch_linear(x, weights, None, y, q.spec, family=family, target="interpret")
        check(y, x, q, weight_error=2.0**-23)


@pytest.mark.parametrize("text", ["u4 group=32", "i3 group=32", "f6e3m2 group=32", "nf4 group=64"])
@pytest.mark.parametrize(("m", "dtype"), [(3, torch.bfloat16), (17, torch.float32)])
def test_the_gpu_kernel_on_the_virtual_machine(text, m, dtype):
    x, q = torch.randn(m, 70).to(dtype), quantize(torch.randn(40, 70), text).to_portable_form()
    y, bias = torch.full((m, 40), float("nan"), dtype=dtype), torch.randn(40).to(dtype)
    weights = _weights(FORMS["cuda"], q.codes, q.scales, q.zeros, q.spec, q.shape)
    launch_linear(x, weights, bias, y, q.spec, family="cuda", target="vm:sm_80")
    check(y, x, q, bias, weight_error=HALF_UNIT[dtype] + 2.0**-22)


def test_dense_codes_run_on_the_cpu_too():
    x, q = torch.randn(5, 70), quantize(torch.randn(30, 70), "u4 group=32").to_portable_form()
    y = torch.full((5, 30), float("nan"))
    weights = _weights(FORMS["cuda"], q.codes, q.scales, q.zeros, q.spec, q.shape)
    tiles = {"bm": 16, "bn": 32, "bk": 32}
    dense_kernel(x, weights, None, y, group=32, target="cpu", **tiles)
    check(y, x, q, weight_error=2.0**-23)


def test_integers_are_exact():
    weight = torch.randint(0, 16, (40, 256)).float()
    weight[:, ::128], weight[:, 1::128] = 0, 15
    q = quantize(weight, "u4")
    for m, dtype in ((1, torch.float32), (20, torch.bfloat16), (7, torch.float16)):
        x = torch.randint(-8, 9, (m, 256)).to(dtype)
        exact = x.double() @ weight.double().T
        assert torch.equal(quant_linear(x, q).double(), exact.to(dtype).double())


def test_leading_axes_strides_and_empty_activations():
    q = quantize(torch.randn(24, 64), "u4 group=32")
    wide = torch.randn(64, 2, 3)
    x = wide.permute(1, 2, 0)
    assert torch.equal(quant_linear(x, q), quant_linear(x.contiguous(), q))
    assert quant_linear(x, q).shape == (2, 3, 24)
    assert quant_linear(x[0, 0], q).shape == (24,)
    assert quant_linear(x[:0], q).shape == (0, 3, 24)


def test_one_prepared_launch_serves_other_weights_and_activations():
    first, second = (quantize(torch.randn(40, 96), "u4 group=32") for _ in range(2))
    for _ in range(2):
        for q in (first, second):
            x = torch.randn(2, 96)
            check(quant_linear(x, q), x, q)


def test_a_strided_bias_is_not_taken_for_a_dense_one():
    q, x = quantize(torch.randn(40, 96), "u4 group=32"), torch.randn(2, 96)
    wide = torch.randn(80)
    for bias in (wide[:40], wide[::2], wide[:1].expand(40)):
        check(quant_linear(x, q, bias), x, q, bias)


def test_nan_in_x_reaches_its_row_only():
    x, q = torch.randn(3, 64), quantize(torch.randn(20, 64), "u4 group=32")
    x[1, 5] = float("nan")
    y = quant_linear(x, q)
    assert y[1].isnan().all()
    assert y[[0, 2]].isfinite().all()


def test_gradients_are_those_of_the_dequantized_layer():
    x, bias = torch.randn(4, 3, 70, requires_grad=True), torch.randn(30, requires_grad=True)
    q = quantize(torch.randn(30, 70), "u4 group=32")
    grad = torch.randn(4, 3, 30)
    found = torch.autograd.grad(quant_linear(x, q, bias), (x, bias), grad)
    wide = x.detach().double().requires_grad_()
    shift = bias.detach().double().requires_grad_()
    layer = torch.nn.functional.linear(wide, q.dequantize(torch.float64), shift)
    wanted = torch.autograd.grad(layer, (wide, shift), grad.double())
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


def test_opcheck():
    q = quantize(torch.randn(30, 70), "u4 group=32")
    x, bias = torch.randn(4, 70, requires_grad=True), torch.randn(30, requires_grad=True)
    for last in (bias, None):
        args = (x, q.codes, q.scales, q.zeros, last, str(q.spec), 30, 70)
        torch.library.opcheck(_linear.default, args)
    symmetric = quantize(torch.randn(30, 70), "i4 group=32")
    args = (symmetric.codes, symmetric.scales, None, str(symmetric.spec), 30, 70, torch.float32)
    torch.library.opcheck(torch.ops.tilewright.dequantize.default, args)


def test_compiles_with_dynamic_shapes_and_gradients():
    q = quantize(torch.randn(30, 70), "u4 group=32")

    def layer(x, bias):
        return torch.relu(quant_linear(x, q, bias))

    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    for m in (1, 4, 9):
        x, bias = torch.randn(m, 70, requires_grad=True), torch.randn(30)
        assert torch.equal(compiled(x, bias), layer(x, bias))
        found = torch.autograd.grad(compiled(x, bias).sum(), x)
        torch.testing.assert_close(found, torch.autograd.grad(layer(x, bias).sum(), x))


def test_compiles_with_inductor():
    q = quantize(torch.randn(30, 70), "u4 group=32")
    compiled = torch.compile(lambda x: quant_linear(x, q) * 2.0, fullgraph=True)
    x = torch.randn(3, 70)
    assert torch.equal(compiled(x), quant_linear(x, q) * 2.0)


def raw(x, q, **changes):
    """The operator itself, some of its arguments changed."""
    named = {"codes": q.codes, "scales": q.scales, "zeros": q.zeros, "spec": str(q.spec), **changes}
    parts = (named["codes"], named["scales"], named["zeros"])
    return _linear(x, *parts, None, named["spec"], *q.shape)


BAD = [
    (lambda x, q: quant_linear(x.double(), q), "x has dtype torch.float64"),
    (lambda x, q: quant_linear(x.int(), q), "x has dtype torch.int32"),
    (lambda x, q: quant_linear(x[:, :32], q), r"want \(..., 64\)"),
    (lambda x, q: quant_linear(torch.tensor(1.0), q), r"want \(..., 64\)"),
    (lambda x, q: quant_linear(x, torch.randn(20, 64)), "want a QuantizedTensor"),
    (lambda x, q: quant_linear(x, q.to_portable_form()), "portable form"),
    (lambda x, q: quant_linear(x.to("meta"), q), "x is on meta, q is on cpu"),
    (lambda x, q: quant_linear(x, q, torch.randn(64)), "bias has shape"),
    (lambda x, q: quant_linear(x, q, torch.randn(20).half()), "bias has dtype"),
    (lambda x, q: quant_linear(x, q, torch.randn(20, device="meta")), "bias is on meta"),
    (lambda x, q: raw(x, q, scales=q.scales.float()), "scales have dtype"),
    (lambda x, q: raw(x, q, zeros=None), "zeros are missing"),
    (lambda x, q: raw(x, q, codes=q.codes[:-16]), "bytes"),
    (lambda x, q: raw(x, q, codes=q.codes.repeat_interleave(2)[::2]), "contiguous"),
    (lambda x, q: raw(x, q, zeros=q.zeros.int()), "bytes"),
    (lambda x, q: raw(x, q, scales=q.scales[:-16]), "bytes"),
    (lambda x, q: raw(x, q, spec="u5 group=32"), "bytes"),
    (lambda x, q: raw(x, q, spec="u4 group=0"), "group of QSpec is 0"),
]


@pytest.mark.parametrize(("run", "words"), BAD)
def test_errors_name_the_argument(run, words):
    q, x = quantize(torch.randn(20, 64), "u4 group=32"), torch.randn(2, 64)
    quant_linear(x, q)  # what is prepared must not hide what changes
    with pytest.raises(LaunchError, match=words):
        run(x, q)
