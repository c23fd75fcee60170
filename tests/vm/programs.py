"""The programs of the corpus that Triton compiled, and how they are launched.

`run_corpus` is a fixture, so that tests/gpu runs the same programs on a GPU.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tilewright.runtime import vm

CORPUS = Path(__file__).with_name("corpus")


def run_program(
    run: Any, name: str, grid: Any, *args: Any, checks: str = "all", seed: int = 0
) -> vm.Report:
    """Launches a program as Triton would: descriptors take their shapes and strides along, and two
    pointers to scratch memory end the arguments. `run` is `vm.run`.
    """
    record = json.loads((CORPUS / "corpus.json").read_text())["programs"][name]
    maps = iter(record.get("maps", ()))
    full: list[Any] = []
    for arg, type in zip(args, record["params"].values(), strict=True):
        if not type.startswith("tensordesc"):
            full.append(arg)
            continue
        box = next(maps)
        swizzle = (0, 32, 64, 128)[box["swizzle"]]
        full.append(vm.TensorMap(arg, tuple(box["block_size"]), swizzle=swizzle))
        full += [*arg.shape, *(s // arg.itemsize for s in arg.strides)]
    extents = (grid,) if isinstance(grid, int) else grid
    blocks = record["blocks"]
    scratch = np.full(record["scratch"] * int(np.prod(extents)) * blocks, 0xA5, np.uint8)
    report: vm.Report = run(
        (CORPUS / f"{name}.ptx").read_text(), record["entry"], (extents[0] * blocks, *extents[1:]),
        record["threads"], [*full, scratch if scratch.size else 0, 0], shared=record["shared"],
        cluster=(blocks, 1, 1), checks=checks, seed=seed,
    )  # fmt: skip
    return report
