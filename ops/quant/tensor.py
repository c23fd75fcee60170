"""A quantized weight as a record of plain tensors, in one form at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from tilewright.ops.quant.forms import FORMS, family_of
from tilewright.ops.quant.memory import in_large_pages
from tilewright.ops.quant.quantize import Parts, dequantize_parts, quantize_parts
from tilewright.ops.quant.spec import QSpec
from tilewright.runtime.errors import LaunchError

PORTABLE = "portable"


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """A weight (N, K) as codes, scales and zero points.

    `form` is "portable" (what is saved) or the name of the target family whose kernels read it
    ("cpu", "cuda"); the orders are in `ops.quant.forms`. Changing form gives a new record.
    """

    codes: torch.Tensor
    scales: torch.Tensor
    zeros: torch.Tensor | None
    spec: QSpec
    shape: tuple[int, int]
    form: str = PORTABLE

    @property
    def device(self) -> torch.device:
        return self.codes.device

    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All parts that there are."""
        parts = (self.codes, self.scales)
        return parts if self.zeros is None else (*parts, self.zeros)

    def to_device_form(self) -> QuantizedTensor:
        """The same weight in the order that kernels on its device read."""
        family = family_of(self.device)
        if self.form == family:
            return self
        parts, form = self.to_portable_form(), FORMS[family]
        n, k = self.shape
        groups = self.spec.groups(k)
        zeros = parts.zeros
        return replace(
            self,
            codes=form.pack_codes(parts.codes, n, k, self.spec.bits),
            scales=form.pack_values(parts.scales, n, groups),
            zeros=None if zeros is None else form.pack_values(zeros, n, groups),
            form=family,
        )

    def to_portable_form(self) -> QuantizedTensor:
        """The same weight, dense along K: the exact inverse of `to_device_form`."""
        if self.form == PORTABLE:
            return self
        form = FORMS[self.form]
        n, k = self.shape
        groups = self.spec.groups(k)
        zeros = self.zeros
        return replace(
            self,
            codes=form.unpack_codes(self.codes, n, k, self.spec.bits),
            scales=form.unpack_values(self.scales, n, groups),
            zeros=None if zeros is None else form.unpack_values(zeros, n, groups),
            form=PORTABLE,
        )

    def to(self, device: torch.device | str) -> QuantizedTensor:
        """The same weight on `device`, in that device's form unless this one is portable."""
        where = torch.device(device)
        if self.form in (PORTABLE, family_of(where)):
            return self._map(lambda tensor: tensor.to(where))
        return self.to_portable_form().to(where).to_device_form()

    def clone(self) -> QuantizedTensor:
        """A copy that shares no memory."""
        return self._map(lambda part: in_large_pages(torch.empty_like(part)).copy_(part))

    def dequantize(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """The weight (N, K) that the codes stand for, rounded once to `dtype`."""
        held = self.to_portable_form()
        return dequantize_parts(
            Parts(held.codes, held.scales, held.zeros), self.spec, self.shape[1], dtype
        )

    def _map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> QuantizedTensor:
        zeros = None if self.zeros is None else function(self.zeros)
        return replace(self, codes=function(self.codes), scales=function(self.scales), zeros=zeros)

    def __repr__(self) -> str:
        n, k = self.shape
        size = sum(t.numel() * t.element_size() for t in self.tensors())
        bits = 8 * size / max(1, n * k)
        return (
            f"QuantizedTensor({n}x{k}, {str(self.spec)!r}, form={self.form!r}, "
            f"device={str(self.device)!r}, {bits:.2f} bits per weight)"
        )


def quantize(weight: torch.Tensor, spec: QSpec | str | None = None) -> QuantizedTensor:
    """Quantize `weight` (N, K), any float dtype, into the device form of its device.

    `spec` is a `QSpec` or its text (default: u4 in groups of 128). Raises `LaunchError` for a
    weight that is no matrix of floats, is not finite, or is too large for the scales.
    """
    found = QSpec.parse(spec) if isinstance(spec, str) else spec or QSpec()
    if not isinstance(found, QSpec):
        raise LaunchError(f"spec is a {type(found).__name__}, want a QSpec or its text")
    if not isinstance(weight, torch.Tensor) or weight.dim() != 2:
        what = tuple(weight.shape) if isinstance(weight, torch.Tensor) else type(weight).__name__
        raise LaunchError(f"weight is {what}, want a matrix (N, K)", "reshape it")
    if not weight.dtype.is_floating_point:
        raise LaunchError(f"weight has dtype {weight.dtype}, want floats", "weight.float()")
    if 0 in weight.shape:
        raise LaunchError(f"weight has shape {tuple(weight.shape)}: it is empty")
    parts = quantize_parts(weight.detach(), found)
    shape = (int(weight.shape[0]), int(weight.shape[1]))
    made = QuantizedTensor(parts.codes, parts.scales, parts.zeros, found, shape)
    return made.to_device_form()


def dequantize(q: QuantizedTensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """The weight (N, K) that `q` stands for, rounded once to `dtype`."""
    return q.dequantize(dtype)
