"""How an operator becomes one of torch's: define + impl, fake, autograd, in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tilewright.runtime.errors import LaunchError

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""What operators compute with: f16 and bf16 in f32, the others in themselves."""

LIBRARY = torch.library.Library("tilewright", "FRAGMENT")
"""Owns all operators of this package: `torch.ops.tilewright.*`."""


def register(
    schema: str,
    run: Callable[..., Any],
    fake: Callable[..., Any],
    *,
    backward: Callable[..., Any] | None = None,
    setup_context: Callable[..., None] | None = None,
) -> Any:
    """Define `schema` ("name(Tensor x) -> Tensor") with `run` on CPU and CUDA tensors.

    `fake` gives outputs of the right shape, dtype and device without computing; `backward` and
    `setup_context` are as in `torch.library.register_autograd`. Gives the callable operator.
    """
    name = schema.partition("(")[0]
    LIBRARY.define(schema)
    for device in ("CPU", "CUDA"):
        LIBRARY.impl(name, run, device)
    torch.library.register_fake(f"tilewright::{name}", fake, lib=LIBRARY)
    if backward is not None:
        torch.library.register_autograd(
            f"tilewright::{name}", backward, setup_context=setup_context, lib=LIBRARY
        )
    return getattr(torch.ops.tilewright, name)


def check_rows(x: torch.Tensor) -> None:
    """Raise LaunchError unless `x` has rows of floats that operators compute with."""
    if x.dim() == 0 or x.dtype not in FLOATS:
        raise LaunchError(
            f"x is {x.dtype} of shape {tuple(x.shape)}, want rows of floats",
            "cast it to f16, bf16, f32 or f64",
        )
