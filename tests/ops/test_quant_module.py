"""QuantLinear and quantize_: models keep working, checkpoints are portable, mistakes are named."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tilewright.ops.quant import QSpec, QuantLinear, quantize, quantize_
from tilewright.runtime.errors import LaunchError


def model():
    return nn.Sequential(nn.Linear(40, 24), nn.ReLU(), nn.Linear(24, 20, bias=False))


def test_quantize_replaces_linear_layers_in_place():
    net, x = model(), torch.randn(3, 40)
    wanted = net(x)
    assert quantize_(net, QSpec("u8", group=32, scale="f32")) is net
    assert [type(m) for m in net] == [QuantLinear, nn.ReLU, QuantLinear]
    torch.testing.assert_close(net(x), wanted, rtol=0.05, atol=0.05)
    assert net[2].bias is None
    assert "in_features=40, out_features=24, bias=True, spec='u8 group=32" in repr(net)


def test_select_sharing_and_subclasses():
    class Special(nn.Linear):
        pass

    shared = nn.Linear(8, 8)
    net = nn.ModuleDict({"a": shared, "b": shared, "c": Special(8, 8), "d": nn.Linear(8, 8)})
    quantize_(net, "u4 group=8", select=lambda name, layer: name != "d")
    assert net["a"] is net["b"]
    assert [type(m) for m in net.values()] == [QuantLinear, QuantLinear, Special, nn.Linear]


@pytest.mark.parametrize("text", ["u4 group=16", "i3 group=24 scale=f32", "nf4"])
def test_state_dict_is_portable_and_exact(text):
    net, other = quantize_(model(), text), quantize_(model(), text)
    state = net.state_dict()
    spec = QSpec.parse(text)
    assert state["0.codes"].shape == (24, -(-40 * spec.bits // 8))
    assert state["0.scales"].shape == (24, spec.groups(40))
    other.load_state_dict(copy.deepcopy(state))
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    for one, two in zip(net.buffers(), other.buffers(), strict=True):
        assert torch.equal(one, two)
    x = torch.randn(2, 40)
    assert torch.equal(net(x), other(x))


def test_safetensors_round_trip(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    net, other = quantize_(model(), "u4 group=16"), quantize_(model(), "u4 group=16")
    safetensors.save_file(net.state_dict(), tmp_path / "net.safetensors")
    other.load_state_dict(safetensors.load_file(tmp_path / "net.safetensors"))
    x = torch.randn(2, 40)
    assert torch.equal(net(x), other(x))


def test_a_checkpoint_that_does_not_fit_is_refused():
    net = quantize_(model(), "u4 group=16")
    before = [b.clone() for b in net.buffers()]
    with pytest.raises(RuntimeError, match=r"0\.spec is 'u4 group=16 zero=mid"):
        net.load_state_dict(quantize_(model(), "u4 group=16 zero=mid").state_dict(), strict=False)
    state = net.state_dict()
    state["0.codes"] = state["0.codes"][:, 1:]
    with pytest.raises(RuntimeError, match=r"0\.codes is torch.uint8 of shape"):
        net.load_state_dict(state)
    state = net.state_dict()
    del state["2.scales"]
    with pytest.raises(RuntimeError, match=r"2\.scales"):
        net.load_state_dict(state)
    with pytest.raises(RuntimeError, match=r"2\.bias"):
        net.load_state_dict({**net.state_dict(), "2.bias": torch.ones(20)})
    for one, two in zip(net.buffers(), before, strict=True):
        assert torch.equal(one, two)


def test_casting_a_model_reaches_biases_only():
    net = quantize_(model(), "u4 group=16 scale=f32").bfloat16()
    assert net[0].scales.dtype == torch.float32
    assert net[0].bias.dtype == torch.bfloat16
    assert net(torch.randn(2, 40).bfloat16()).dtype == torch.bfloat16


def test_copies_and_compiled_models():
    net, x = quantize_(model(), "u4 group=16"), torch.randn(3, 40)
    twin = copy.deepcopy(net)
    assert torch.equal(twin(x), net(x))
    compiled = torch.compile(net, fullgraph=True, dynamic=True, backend="aot_eager")
    for m in (3, 5):
        x = torch.randn(m, 40)
        assert torch.equal(compiled(x), net(x))


def test_biases_learn():
    layer = QuantLinear.from_linear(nn.Linear(40, 24), "u4 group=16")
    x = torch.randn(3, 40, requires_grad=True)
    layer(x).square().sum().backward()
    assert layer.bias.grad.shape == (24,)
    assert x.grad.shape == x.shape
    assert [name for name, _ in layer.named_parameters()] == ["bias"]


def test_mistakes_are_named():
    with pytest.raises(LaunchError, match=r"itself an nn\.Linear"):
        quantize_(nn.Linear(4, 4))
    with pytest.raises(LaunchError, match="model is a list"):
        quantize_([nn.Linear(4, 4)])
    layer = QuantLinear(quantize(torch.randn(8, 16), "u4 group=8"))
    with pytest.raises(LaunchError, match=r"want \(..., 16\)"):
        layer(torch.randn(2, 8))
