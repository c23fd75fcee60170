"""Calls past the dispatcher: only where nothing of torch would have seen them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tilewright.ops import matmul
from tilewright.ops.plain import runs_plainly


class Subclass(torch.Tensor):
    """A subclass with torch's own `__torch_function__`."""


class Dispatch(TorchDispatchMode):
    """Sees operators."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.seen.append(str(function))
        return function(*args, **(kwargs or {}))


class Functions(TorchFunctionMode):
    """Sees torch's functions."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return function(*args, **(kwargs or {}))


@contextmanager
def dual() -> Iterator[None]:
    with forward_ad.dual_level():
        yield


def test_plain_tensors_and_parameters_run_plainly():
    x = torch.randn(3, 4)
    assert runs_plainly(x, None, x.bfloat16(), x.T)
    with torch.no_grad():
        assert runs_plainly(torch.nn.Parameter(x))
    with torch.inference_mode():
        assert runs_plainly(x) and runs_plainly(torch.randn(2))


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x.requires_grad_(),
        lambda x: x.as_subclass(Subclass),
        lambda x: x.to("meta"),
        lambda x: x.to_sparse(),
        lambda x: torch.complex(x, x).conj().imag,
        lambda x: torch.nn.Parameter(x),
    ],
    ids=["grad", "subclass", "meta", "sparse", "negative view", "parameter"],
)
def test_other_tensors_go_through_the_dispatcher(make):
    x = torch.randn(3, 3)
    assert not runs_plainly(torch.randn(2), make(x))


@pytest.mark.parametrize(
    "mode", [Dispatch, Functions, dual, torch.profiler.profile], ids=lambda mode: mode.__name__
)
def test_modes_see_the_operator(mode):
    with mode():
        assert not runs_plainly(torch.randn(3))
    assert runs_plainly(torch.randn(3))


def test_transforms_and_tracers_see_the_operator():
    found = []

    def look(x):
        found.append(runs_plainly(torch.ones(2)))
        return x + 1

    torch.vmap(look)(torch.randn(3))
    torch.func.grad(lambda x: look(x).sum())(torch.randn(3))
    make_fx(look)(torch.randn(3))
    assert found == [False] * 3


def test_a_mode_records_our_operator():
    a = torch.randn(5, 6)
    with Dispatch() as mode:
        matmul(a, a.T)
    assert "tilewright.matmul.default" in mode.seen


def test_a_negative_view_is_multiplied_as_what_it_means():
    z = torch.complex(torch.randn(7, 5), torch.randn(7, 5))
    a, b = z.conj().imag, torch.randn(5, 3)
    torch.testing.assert_close(matmul(a, b), -z.imag @ b)
