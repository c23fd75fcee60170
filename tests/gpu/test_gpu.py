"""The same kernels on a device: examples, operators, and the GPU against the virtual machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

import tilewright as tw
from tilewright.ops import matmul, rms_norm, softmax
from tilewright.tests.gpu.cases import DEVICE, DRY, HAS_GPU, REASON, TARGET

pytestmark = pytest.mark.skipif(not (DRY or HAS_GPU), reason=REASON)

FOLDER = Path(__file__).parents[2] / "examples"
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "demo")
TOLERANCE = 10 * 777**0.5 * 2.0**-24  # see tests/examples


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_example_is_right(name):
    with torch.device(DEVICE):
        assert load(name).run(TARGET) <= TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", [(1, 1, 1), (70, 90, 130), (128, 128, 64), (33, 257, 100)])
def test_matmul_in_every_dtype(dtype, shape):
    m, n, k = shape
    kernel = load("matmul").matmul
    a, b = (torch.randn(r, k, device=DEVICE).to(dtype) for r in (m, n))
    c = torch.full((m, n), float("nan"), device=DEVICE, dtype=dtype)
    kernel(a, b, c, bm=64, bn=64, bk=32, target=TARGET)
    wanted = a.double() @ b.double().T
    unit = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8, torch.float32: 2.0**-24}[dtype]
    bound = unit + 4 * k**0.5 * 2.0**-24
    assert float((c.double() - wanted).norm()) <= bound * float(wanted.norm()) + 1e-30


@tw.kernel
def chain(x: tw.Tensor, y: tw.Tensor, z: tw.Tensor, *, block: tw.Static = 128):
    """Only exact or correctly rounded arithmetic."""
    i = tw.grid(tw.cdiv(x.shape[0], block))
    at = (i * block,)
    a, b = tw.load(x, at, (block,)), tw.load(y, at, (block,))
    half = (a * b + a).cast(tw.f16).cast(tw.f32)
    total = tw.where(half > 0, half, -half) / (tw.abs(b) + 1.0)
    tw.store(z, at, tw.sqrt(total) + tw.fma(a, b, total))


@pytest.mark.skipif(DRY, reason="compares a GPU with the virtual machine")
def test_the_virtual_machine_and_the_gpu_agree_bit_by_bit():
    x, y = torch.randn(1000), torch.randn(1000)
    virtual, real = torch.full((1000,), 7.0), torch.full((1000,), 7.0, device="cuda")
    chain(x, y, virtual, target="vm:sm_80")
    chain(x.cuda(), y.cuda(), real, target="sm_80")
    assert torch.equal(virtual.view(torch.int32), real.cpu().view(torch.int32))


@pytest.mark.skipif(DRY, reason="operators choose the device by their tensors")
def test_operators_on_the_gpu():
    x = torch.randn(37, 300, device="cuda")
    weight = torch.randn(300, device="cuda")
    torch.testing.assert_close(softmax(x), x.softmax(-1))
    wanted = torch.nn.functional.rms_norm(x, (300,), weight, 1e-6)
    torch.testing.assert_close(rms_norm(x, weight), wanted)
    a, b = torch.randn(100, 64, device="cuda").half(), torch.randn(64, 90, device="cuda").half()
    wanted = (a.double() @ b.double()).half()
    torch.testing.assert_close(matmul(a, b), wanted, rtol=2e-3, atol=2e-3)


@pytest.mark.skipif(DRY, reason="graphs need a GPU")
def test_launches_are_legal_in_a_cuda_graph():
    kernel = load("elementwise").add
    a, b = torch.randn(1000, device="cuda"), torch.randn(1000, device="cuda")
    c = torch.zeros(1000, device="cuda")
    kernel(a, b, c)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kernel(a, b, c)
    a.fill_(2.0)
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(c, a + b)
