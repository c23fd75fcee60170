"""Programs are bound once: what runs per step looks nothing up by name."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest

from tilewright.runtime import vm

Compile = Callable[..., str]
SOURCE = """
extern "C" __global__ void k(float *x, int *n, const float *table, int turns) {
    __shared__ float tile[256];
    int i = threadIdx.x, k = n[i];
    float v = x[i];
    for (int t = 0; t < turns; ++t) {
        tile[i] = v;
        __syncthreads();
        v = fmaf(tile[i ^ 33], 0.5f, table[(i + t) & 127]);
        k = __shfl_xor_sync(0xffffffff, k, 1) + (v > 1.0f ? (int)v : k >> 2);
        if (k & 1) atomicAdd(n + 256, 1);
        v = fminf(v, 4.0f) + __expf(-v);
        __syncthreads();
    }
    x[i] = v; n[i] = k;
}
"""
BINDING = ("bind.py", "frame.py", "program.py", "records.py", "parser.py", "addresses.py")
PER_STEP = {"shared_offsets", "_split_generic", "_mask_of"}  # functions of addresses alone


@pytest.mark.parametrize("checks", ["off", "all"])
def test_more_steps_bind_nothing_more(compile_ptx: Compile, checks: str) -> None:
    ptx = compile_ptx(SOURCE)
    rng = np.random.default_rng()
    x, table = rng.standard_normal(256).astype("f"), rng.standard_normal(128).astype("f")

    def calls(turns: int) -> tuple[Counter[str], int]:
        counted: Counter[str] = Counter()

        def profile(frame: FrameType, event: str, argument: Any) -> None:
            code = frame.f_code
            name = code.co_qualname
            if event == "call" and code.co_filename.endswith(BINDING) and "<" not in name:
                counted[f"{code.co_filename.rpartition('/')[2]}: {name}"] += 1

        arguments = [x.copy(), np.zeros(257, np.int32), table, turns]
        sys.setprofile(profile)
        try:
            report = vm.run(ptx, "k", 1, 256, arguments, checks=checks)
        finally:
            sys.setprofile(None)
        assert report.races == []
        return counted, report.steps

    few, short = calls(8)
    many, long = calls(24)
    assert long > 2 * short
    more = {name: n - few[name] for name, n in many.items() if n > few[name]}
    allowed = {name for name in more if name.rpartition(" ")[2] in PER_STEP}
    assert not more.keys() - allowed, more
