"""`QuantLinear`, a drop-in for `nn.Linear`, and `quantize_`, which puts it into a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from tilewright.ops.quant.linear import call_linear
from tilewright.ops.quant.spec import QSpec
from tilewright.ops.quant.tensor import PORTABLE, QuantizedTensor, quantize
from tilewright.runtime.errors import LaunchError


class QuantLinear(nn.Module):
    """x · Wᵀ + bias with a quantized weight (out_features, in_features).

    Buffers hold the device form; `state_dict` holds the portable form and the spec's text, so a
    checkpoint fits every machine. Casting the module changes its bias only.
    """

    codes: torch.Tensor
    scales: torch.Tensor
    zeros: torch.Tensor | None

    def __init__(self, q: QuantizedTensor, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        self.out_features, self.in_features = q.shape
        self.spec = str(q.spec)
        self._hold(q.to_device_form())
        if bias is None or isinstance(bias, nn.Parameter):
            self.bias = bias
        else:
            self.bias = nn.Parameter(bias)

    @classmethod
    def from_linear(cls, linear: nn.Linear, spec: QSpec | str | None = None) -> QuantLinear:
        """The layer with the weight of `linear` quantized and its bias kept."""
        made = cls(quantize(linear.weight, spec), linear.bias)
        return made.train(linear.training)

    def _hold(self, q: QuantizedTensor) -> None:
        self.form = q.form
        for name in ("codes", "scales", "zeros"):
            self.register_buffer(name, getattr(q, name))

    @property
    def quantized(self) -> QuantizedTensor:
        """The weight as a record; it shares the module's memory."""
        shape = (self.out_features, self.in_features)
        spec = QSpec.parse(self.spec)
        return QuantizedTensor(self.codes, self.scales, self.zeros, spec, shape, self.form)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return call_linear(
            x,
            self.codes,
            self.scales,
            self.zeros,
            self.bias,
            self.spec,
            self.out_features,
            self.in_features,
        )

    def extra_repr(self) -> str:
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}, spec={self.spec!r}"

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        """Moves follow `fn`; casts reach the bias alone, because codes and scales are exact."""
        where = fn(self.codes.new_empty(0)).device
        held = self.quantized.to(where)
        for name in ("codes", "scales", "zeros"):
            self._buffers[name] = None
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._hold(held)
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        held = self.quantized.to_portable_form()
        for name, tensor in _named_parts(held).items():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if self.bias is not None:
            destination[prefix + "bias"] = self.bias if keep_vars else self.bias.detach()

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        want = _named_parts(self.quantized.to_portable_form())
        found: dict[str, torch.Tensor] = {}
        for name, like in want.items():
            given = state_dict.get(prefix + name)
            if given is None:
                missing_keys.append(prefix + name)
            elif problem := _find_problem(name, given, like):
                error_msgs.append(f"{prefix}{name} {problem}")
            else:
                found[name] = given
        if len(found) == len(want):
            self._take(found)
        self._load_bias(state_dict, prefix, missing_keys, error_msgs)
        if strict:
            known = {prefix + name for name in (*want, "bias")}
            extra = (k for k in state_dict if k.startswith(prefix) and k not in known)
            unexpected_keys.extend(extra)
            if self.bias is None and prefix + "bias" in state_dict:
                unexpected_keys.append(prefix + "bias")

    def _take(self, found: Mapping[str, torch.Tensor]) -> None:
        shape = (self.out_features, self.in_features)
        spec, device = QSpec.parse(self.spec), self.codes.device
        parts = (found["codes"], found["scales"], found.get("zeros"))
        held = QuantizedTensor(*parts, spec, shape, PORTABLE).to(device).to_device_form()
        for name, tensor in _named_parts(held).items():
            if name != "spec":
                getattr(self, name).copy_(tensor)

    def _load_bias(
        self, state_dict: Mapping[str, Any], prefix: str, missing: list[str], errors: list[str]
    ) -> None:
        if self.bias is None:
            return
        given = state_dict.get(prefix + "bias")
        if given is None:
            missing.append(prefix + "bias")
        elif given.shape != self.bias.shape:
            errors.append(f"{prefix}bias has shape {tuple(given.shape)}, want ({len(self.bias)},)")
        else:
            with torch.no_grad():
                self.bias.copy_(given)


def _named_parts(q: QuantizedTensor) -> dict[str, torch.Tensor]:
    """What a checkpoint holds of `q`; the spec's text as bytes, as formats take tensors only."""
    parts = {"codes": q.codes, "scales": q.scales, "zeros": q.zeros}
    text = torch.tensor(list(str(q.spec).encode()), dtype=torch.uint8)
    return {n: t for n, t in {**parts, "spec": text}.items() if t is not None}


def _find_problem(name: str, given: torch.Tensor, like: torch.Tensor) -> str | None:
    if name == "spec":
        texts = [bytes(t.tolist()).decode(errors="replace") for t in (given, like)]
        return None if texts[0] == texts[1] else f"is {texts[0]!r}, this layer has {texts[1]!r}"
    if given.shape != like.shape or given.dtype != like.dtype:
        return (
            f"is {given.dtype} of shape {tuple(given.shape)}, "
            f"want {like.dtype} of shape {tuple(like.shape)}"
        )
    return None


def quantize_(
    model: nn.Module,
    spec: QSpec | str | None = None,
    *,
    select: Callable[[str, nn.Linear], bool] | None = None,
) -> nn.Module:
    """Replace every `nn.Linear` inside `model` by a `QuantLinear`, in place; gives `model`.

    `select(name, linear)` may keep some as they are. A module that is used in several places stays
    shared. Raises `LaunchError` if `model` itself is the linear layer.
    """
    if not isinstance(model, nn.Module):
        raise LaunchError(f"model is a {type(model).__name__}, want an nn.Module")
    if type(model) is nn.Linear:
        raise LaunchError(
            "model is itself an nn.Linear, which cannot be replaced in place",
            "QuantLinear.from_linear(model, spec), or wrap it: nn.Sequential(model)",
        )
    found = QSpec.parse(spec) if isinstance(spec, str) else spec or QSpec()
    made: dict[nn.Module, QuantLinear] = {}
    for name, parent in list(model.named_modules()):
        for label, child in list(parent._modules.items()):
            path = f"{name}.{label}" if name else label
            if type(child) is not nn.Linear or not (select is None or select(path, child)):
                continue
            if child not in made:
                made[child] = QuantLinear.from_linear(child, found)
            setattr(parent, label, made[child])
    return model
