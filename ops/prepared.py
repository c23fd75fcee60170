"""Launches on the cpu that operators keep, by what they depend on: never a tensor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from tilewright.runtime.plans import Prepared


@dataclass(frozen=True)
class Known:
    """A launch for tensors of known shapes and strides, and the shape of its result."""

    launch: Prepared
    shape: torch.Size

    def run(self, first: torch.Tensor, *others: torch.Tensor | None) -> torch.Tensor:
        """A new result, of the dtype of `first`."""
        out = first.new_empty(self.shape)
        self.launch(*[t.data_ptr() for t in (first, *others, out) if t is not None])
        return out


@dataclass
class Launches:
    """Key → launch; forgets all when it holds `limit`."""

    limit: int = 4096
    known: dict[Any, Known] = field(default_factory=dict)

    def find(self, key: Any) -> Known | None:
        return self.known.get(key)

    def keep(self, key: Any, launch: Prepared, shape: torch.Size) -> Known:
        if len(self.known) >= self.limit:
            self.known.clear()
        self.known[key] = Known(launch, shape)
        return self.known[key]


def describe(tensor: torch.Tensor) -> Any:
    """What a launch depends on of one tensor."""
    return (tensor.dtype, tensor.shape, tensor.stride(), tensor.is_cpu)
