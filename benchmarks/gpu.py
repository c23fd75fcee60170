"""`make gpu`: tests/gpu and the benchmarks on a GPU; `--dry`: all of it without one.

Writes at most six flat files to the results folder: the test log, the rows, the resources.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import torch

from tilewright.benchmarks import gpu_matmul
from tilewright.benchmarks.harness import show, write
from tilewright.examples.matmul import matmul
from tilewright.runtime.inspect import show as show_stage

ROOT = Path(__file__).parents[1]


def run_tests(results: Path, dry: bool) -> int:
    """tests/gpu, its output kept in a file."""
    environment = dict(os.environ)
    if dry:
        environment["TILEWRIGHT_DRY"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "tests/gpu"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    print(done.stdout)
    (results / f"{prefix(dry)}-tests.txt").write_text(done.stdout + done.stderr)
    return done.returncode


def prefix(dry: bool) -> str:
    """How the files of this run are called."""
    return "dry" if dry else torch.cuda.get_device_name().lower().replace(" ", "-")


def write_resources(results: Path, dry: bool) -> None:
    """Registers, spills and shared memory of the matmul on both targets."""
    lines = []
    for dtype in (torch.bfloat16, torch.float32):
        a, b = (torch.zeros(256, 256, dtype=dtype) for _ in range(2))
        c = torch.zeros(256, 256, dtype=dtype)
        for target in ("sm_80", "sm_90a"):
            compiled = matmul.compile(a, b, c, target=target)
            lines.append(f"matmul {dtype} {target}\n{show_stage(compiled, 'resources')}")
    (results / f"{prefix(dry)}-resources.txt").write_text("\n".join(lines))


def main() -> int:
    """Tests first, then numbers; the exit code is that of the tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--dry", action="store_true", help="on the CPU and the virtual machine")
    options = parser.parse_args()
    if not options.dry and not torch.cuda.is_available():
        print("no GPU here; `make gpu-dry` runs all of it without one")
        return 1
    options.results.mkdir(parents=True, exist_ok=True)
    code = run_tests(options.results, options.dry)
    rows = gpu_matmul.measure(options.dry)
    show("GPU" if not options.dry else "dry run (times mean nothing)", rows)
    write(options.results / f"{prefix(options.dry)}.csv", rows)
    write_resources(options.results, options.dry)
    return code


if __name__ == "__main__":
    sys.exit(main())
