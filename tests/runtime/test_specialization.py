"""What a compilation depends on: not on scalars in dataclasses, not on unrelated globals."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import tilewright as tw
from tilewright.runtime.errors import LaunchError

WAYS = ("interpret", "cpu", "vm:sm_80")


@dataclasses.dataclass
class Scaled:
    """A tensor with numbers of all three kinds; it may change, so it has no hash."""

    values: tw.Tensor
    factor: tw.Scalar
    count: tw.Scalar
    power: tw.Static
    bias: tw.Tensor | None = None


@tw.kernel
def scale(x: Scaled, y: tw.Tensor):
    """y[i] = factor values[i] ** power (+ bias[i]), i < count"""
    i = tw.grid(x.count)
    value = x.values[i]
    for _ in tw.static_range(x.power - 1):
        value = value * x.values[i]
    y[i] = value * x.factor + (0.0 if x.bias is None else x.bias[i])


@pytest.mark.parametrize("way", WAYS)
def test_scalar_fields_are_not_compiled_in(way):
    fresh = tw.kernel(scale.function)
    values = torch.randint(-4, 5, (7,)).float()
    for factor, count in ((0.5, 3), (2.0, 7), (-1.0, 5)):
        y = torch.zeros(7)
        fresh(Scaled(values, factor, count, 2), y, target=way)
        assert torch.equal(y[:count], factor * values[:count] ** 2)
        assert not y[count:].any()
    assert len(fresh._compiled) == 1
    fresh(Scaled(values, 1.0, 3, 3, bias=values), y, target=way)
    assert torch.equal(y[:3], (values**3 + values)[:3])
    assert len(fresh._compiled) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": 1.0}, "x_values is a float, want a tensor"),
        ({"factor": "a"}, "x_factor is a str, want a number"),
        ({"power": [2]}, r"argument x\.power of scale is a list, which cannot be a static"),
    ],
)
def test_fields_that_do_not_fit_are_named(change, message):
    x = dataclasses.replace(Scaled(torch.ones(4), 1.0, 4, 2), **change)
    with pytest.raises(LaunchError, match=message):
        scale(x, torch.zeros(4))


@tw.kernel
def ambiguous(x: Scaled, y: tw.Tensor, x_values: tw.Tensor):
    i = tw.grid(x.count)
    y[i] = x.values[i] + x_values[i]


def test_two_arguments_of_one_name_are_refused():
    with pytest.raises(LaunchError, match=r"x_values and x\.values have one name"):
        ambiguous(Scaled(torch.ones(4), 1.0, 4, 2), torch.zeros(4), torch.ones(4))


SHAPE = FACTOR = 1
shape = 0


@tw.inline
def times(value):
    return sum([value * FACTOR for _ in (0,)])


@tw.kernel
def double(x: tw.Tensor, y: tw.Tensor):
    tw.grid(1)
    tw.store(y, 0, times(tw.load(x, 0, x.shape[0] if SHAPE == 0 else 8)))


def test_only_globals_that_kernels_read_are_watched(monkeypatch):
    fresh = tw.kernel(double.function)
    x, y = torch.randn(8), torch.zeros(8)
    fresh(x, y, target="interpret")
    (first,) = fresh._compiled.values()
    monkeypatch.setitem(globals(), "shape", 7)  # an attribute of this name is something else
    fresh(x, y, target="interpret")
    assert [first] == list(fresh._compiled.values())
    monkeypatch.setitem(globals(), "FACTOR", 3)  # read in a comprehension of an inline function
    fresh(x, y, target="interpret")
    assert torch.equal(y, 3 * x)
