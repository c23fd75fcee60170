"""Quantized tensors: nearest codes, exact numbers, exact inverses between forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tilewright.ir.packing import unpack_bits
from tilewright.ir.packings import PACKINGS
from tilewright.ops.quant import QSpec, dequantize, quantize
from tilewright.ops.quant.bits import pack_codes, unpack_codes
from tilewright.ops.quant.forms import FORMS

FORMATS = [
    *(f"u{bits}" for bits in range(1, 9)),
    *(f"u{bits} zero=mid" for bits in range(1, 9)),
    *(f"i{bits}" for bits in range(1, 9)),
    *("f3e1m1", "f4e2m1", "f5e2m2", "f6e3m2", "f7_e3m3", "f8e4m3", "f8e5m2", "nf4"),
    "codebook2<-1.0, -0.25, 0.5, 1.0>",
]


def numbers_of(spec):
    """All numbers that codes of `spec` mean, zero points aside."""
    every = np.arange(1 << spec.bits).astype(spec.code.container)
    found = np.asarray(spec.code.decode(every), np.float64) - spec.midpoint
    return np.sort(found[np.isfinite(found)])


@pytest.mark.parametrize("text", FORMATS)
@pytest.mark.parametrize("shape", [(5, 7), (17, 100)])
def test_every_weight_takes_the_nearest_code(text, shape):
    spec = QSpec.parse(f"{text} group=24 scale=f32")
    weight = torch.randn(shape)
    q = quantize(weight, spec)
    found = q.dequantize(torch.float64).numpy()
    held = q.to_portable_form()
    scale = held.scales.double().repeat_interleave(spec.group, 1)[:, : shape[1]].numpy()
    zero = 0.0
    if held.zeros is not None:
        zero = held.zeros.double().repeat_interleave(spec.group, 1)[:, : shape[1]].numpy()
    grid = (numbers_of(spec) - np.asarray(zero)[..., None]) * scale[..., None]
    best = np.abs(grid - weight.double().numpy()[..., None]).min(-1)
    slack = 1e-6 * np.abs(scale) * (1 << spec.bits)  # the quotient is rounded to f32 first
    assert (np.abs(found - weight.double().numpy()) <= best + slack).all()


@pytest.mark.parametrize("bits", range(1, 9))
def test_integers_in_range_are_exact(bits):
    top = (1 << bits) - 1
    weight = torch.randint(0, top + 1, (20, 70)).double()
    weight[:, ::24], weight[:, 1::24] = 0, top  # every group spans the range: scale 1, zero 0
    assert torch.equal(quantize(weight, QSpec(f"u{bits}", 24)).dequantize(torch.float64), weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_any_float_dtype_and_stride(dtype):
    weight = torch.randn(40, 33).to(dtype)
    q = quantize(weight.t().contiguous().t(), "i8 group=16 scale=f32")
    assert torch.equal(q.dequantize(), quantize(weight, "i8 group=16 scale=f32").dequantize())
    assert (q.dequantize(torch.float64) - weight.double()).abs().max() < weight.abs().max() / 100


def test_groups_of_zeros_and_tiny_weights_stay_finite():
    weight = torch.zeros(3, 64)
    weight[1] = 1e-42
    for text in ("u4", "i4", "nf4", "f6e3m2 scale=f16"):
        assert torch.equal(quantize(weight[:1], text).dequantize(), torch.zeros(1, 64))
        assert quantize(weight, text).dequantize().isfinite().all()


@pytest.mark.parametrize("text", ["u4", "u3", "i5 group=24", "nf4 scale=f32", "u8 zero=mid"])
@pytest.mark.parametrize("shape", [(1, 1), (16, 128), (33, 77), (50, 257)])
def test_forms_are_exact_inverses(text, shape):
    spec = QSpec.parse(text)
    device = quantize(torch.randn(shape), spec)
    portable = device.to_portable_form()
    assert (device.form, portable.form) == ("cpu", "portable")
    assert portable.codes.shape == (shape[0], -(-shape[1] * spec.bits // 8))
    assert portable.scales.shape == (shape[0], spec.groups(shape[1]))
    again = portable.to_device_form()
    for one, other in zip(device.tensors(), again.tensors(), strict=True):
        assert torch.equal(one, other)
    codes = unpack_bits(portable.codes.numpy(), spec.bits, shape[1])
    wanted = PACKINGS["panel16"].pack(codes, spec.bits)
    assert np.array_equal(device.codes.numpy(), wanted)
    assert torch.equal(dequantize(device), portable.dequantize())


def test_every_device_form_is_one_that_its_family_reads():
    for name, form in FORMS.items():
        packings = [PACKINGS[p] for p in (form.codes, form.values) if p is not None]
        assert all(p.family == name == form.family for p in packings)


@pytest.mark.parametrize("bits", range(1, 9))
def test_streams_of_bits_are_those_of_the_ir(bits):
    codes = torch.randint(0, 1 << bits, (7, 29), dtype=torch.uint8)
    packed = pack_codes(codes, bits)
    assert np.array_equal(unpack_bits(packed.numpy(), bits, 29), codes.numpy())
    assert torch.equal(unpack_codes(packed, bits, 29), codes)


def test_clone_shares_no_memory_and_repr_says_what_it_is():
    q = quantize(torch.randn(32, 128))
    copy = q.clone()
    copy.codes.zero_()
    assert not torch.equal(q.codes, copy.codes)
    assert "QuantizedTensor(32x128, 'u4 group=128" in repr(q)
    assert "4.19 bits" in repr(q)  # 4 + (16 + 8) / 128
    assert q.to("cpu").codes.data_ptr() == q.codes.data_ptr()
