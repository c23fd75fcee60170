"""The same source gives the same bytes, in any process: text, PTX and machine code."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import hashlib, torch
from tilewright.examples.matmul import matmul
from tilewright.examples.softmax import softmax
a, b, c = (torch.zeros(64, 48, dtype=torch.float16) for _ in range(3))
x, y = torch.zeros(5, 70), torch.zeros(5, 70)
for kernel, arguments in ((matmul, (a, b, c)), (softmax, (x, y))):
    for target in ("sm_80", "cpu"):
        made = kernel.compile(*arguments, target=target)
        print(hashlib.sha256(made.source.encode()).hexdigest())
        if made.binary is not None:
            print(hashlib.sha256(made.binary.ptx.encode()).hexdigest())
            print(hashlib.sha256(made.binary.cubin).hexdigest())
"""


def run_apart(folder: Path, seed: str) -> list[str]:
    """The hashes that a process of its own prints, with its own cache and hash seed."""
    folder.mkdir()
    path = os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    environment = dict(os.environ, PYTHONHASHSEED=seed, PYTHONPATH=path)
    environment["TILEWRIGHT_CACHE"] = str(folder / "cache")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_two_processes_make_equal_bytes(tmp_path):
    first = run_apart(tmp_path / "one", "1")
    second = run_apart(tmp_path / "two", "2")
    assert len(first) == 8
    assert first == second
    assert hashlib.sha256(b"").hexdigest() not in first
