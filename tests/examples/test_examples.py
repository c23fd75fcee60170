"""Every example is right wherever it runs: interpreter, cpu, virtual machine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
NAMES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "demo")
TARGETS = ("interpret", "cpu", "vm:sm_80", "vm:sm_90a")

# f32 sums of at most 777 products of unit scale: sqrt(777) rounding errors of 2^-24, tenfold.
TOLERANCE = 10 * 777**0.5 * 2.0**-24


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NAMES)
def test_example_is_right(name, target):
    assert load(name).run(target) <= TOLERANCE


def test_all_kinds_of_kernels_are_there():
    kinds = {
        *("matmul", "elementwise", "softmax", "norms", "reductions", "transpose"),
        *("batched_matmul", "fused_matmul", "embedding", "histogram"),
    }
    assert kinds <= set(NAMES)
