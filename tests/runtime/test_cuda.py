"""The CUDA driver's side of a launch, as far as it can be tested without a GPU.

A fake driver library, built here, stands behind the real Python bindings and writes down what it is
asked. Only the numbers on a device remain for `tests/gpu`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tilewright.runtime import bindings
from tilewright.runtime.cuda import Packing, choose_image
from tilewright.runtime.cxx import find_compiler
from tilewright.runtime.errors import LaunchError
from tilewright.runtime.nvrtc import CudaBinary


def _binary(arch: str, ptx_version: str = "9.0") -> CudaBinary:
    return CudaBinary(b"cubin", f"//\n.version {ptx_version}\n.target {arch}\n", "", {}, arch)


def test_machine_without_driver_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise RuntimeError('"cuda" is an NVIDIA driver library\nsecond line')

    monkeypatch.setattr(bindings.importlib, "import_module", fail)
    with pytest.raises(LaunchError) as error:
        bindings.driver.__wrapped__()
    text = str(error.value)
    assert 'no NVIDIA GPU can be used: "cuda" is an NVIDIA driver library\n' in text
    assert 'target="vm:sm_80"' in text
    assert "tilewright doctor" in text


def test_missing_nvrtc_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ModuleNotFoundError("No module named 'cuda'")

    monkeypatch.setattr(bindings.importlib, "import_module", fail)
    with pytest.raises(bindings.BuildError, match=r"No module named 'cuda'\n.*nvidia-cuda-nvrtc"):
        bindings.nvrtc.__wrapped__()


def test_failed_call_names_the_call_and_the_status() -> None:
    status = type("Status", (int,), {"name": "CUDA_ERROR_OUT_OF_MEMORY"})(2)
    with pytest.raises(LaunchError, match="loading k failed: CUDA_ERROR_OUT_OF_MEMORY"):
        bindings.checked((status,), "loading k")
    assert bindings.checked((0, 7), "counting") == 7
    assert bindings.checked((0, 7, 8), "counting") == (7, 8)
    assert bindings.checked((0,), "setting") is None


@pytest.mark.parametrize(
    ("arch", "capability", "image"),
    [
        ("sm_80", (8, 0), "cubin"),
        ("sm_80", (8, 9), "cubin"),
        ("sm_80", (9, 0), "ptx"),
        ("sm_80", (12, 0), "ptx"),
        ("sm_90a", (9, 0), "cubin"),
    ],
)
def test_image_fits_the_gpu(arch: str, capability: tuple[int, int], image: str) -> None:
    binary = _binary(arch)
    chosen = choose_image(binary, capability, (13, 0))
    assert chosen == (b"cubin" if image == "cubin" else binary.ptx.encode() + b"\0")


@pytest.mark.parametrize(
    ("arch", "capability"), [("sm_90a", (10, 0)), ("sm_90a", (8, 9)), ("sm_89", (8, 6))]
)
def test_code_that_the_gpu_cannot_run_is_refused(arch: str, capability: tuple[int, int]) -> None:
    with pytest.raises(LaunchError, match=f"code for {arch} does not run on a GPU of compute"):
        choose_image(_binary(arch), capability, (13, 0))


def test_ptx_newer_than_the_driver_is_refused() -> None:
    choose_image(_binary("sm_80", "8.4"), (9, 0), (12, 4))
    with pytest.raises(LaunchError, match=r"newer than the driver \(CUDA 12.4\)"):
        choose_image(_binary("sm_80", "8.5"), (9, 0), (12, 4))


def test_arguments_are_naturally_aligned() -> None:
    packing = Packing.plan(["i", "P", "f", "q", "i", "128s"])
    assert packing.offsets == (0, 8, 16, 24, 32, 36)
    assert packing.struct.size == 36 + 128
    assert Packing.plan([]).offsets == ()


_LAUNCH = """
import sys
from types import SimpleNamespace
import tilewright.runtime.cuda as cuda
from tilewright.runtime.nvrtc import CudaBinary
from tilewright.runtime.resources import Resources
from tilewright.ir.diagnostics import TilewrightError

stream = [0x77]
cuda.torch = lambda: SimpleNamespace(
    cuda=SimpleNamespace(current_device=lambda: 0),
    _C=SimpleNamespace(_cuda_getCurrentRawStream=lambda device: stream[0]),
)
used = Resources(32, 0, 0, 1024, 0, 0, 1)
binary = CudaBinary(b"\\x7fELF" + bytes(64), "", "", {"k": used}, "sm_90a")
codes = ["P", "i", "q", "f", "128s"]
kernel = cuda.CudaKernel(binary, "k", codes, threads=384, shared=200_000)
descriptor = bytes(range(100, 228))
kernel.launch((7, 5, 3), (0xABCDEF0123, -5, 2**40, 1.5, descriptor))
kernel.launch((0, 1, 1), (1, 2, 3, 4.0, descriptor))
print(cuda.query_device(0).name, cuda.driver_version())
for attempt in (
    lambda: cuda.CudaKernel(binary, "k", codes, threads=384, shared=231_500),
    lambda: stream.__setitem__(0, 0xBAD) or kernel.launch((1, 1, 1), (0, 0, 0, 0.0, descriptor)),
):
    try:
        attempt()
    except TilewrightError as error:
        print(type(error).__name__, error)
"""


def test_launch_passes_what_was_asked(tmp_path: Path) -> None:
    source = Path(__file__).with_name("fake_driver.cpp")
    build = (*find_compiler().command, "-std=c++17", "-shared", "-fPIC", source)
    subprocess.run((*build, "-o", tmp_path / "libcuda.so.1"), check=True)
    record = tmp_path / "record"
    result = subprocess.run(
        [sys.executable, "-c", _LAUNCH],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "LD_LIBRARY_PATH": str(tmp_path),
            "FAKE_DRIVER_RECORD": str(record),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    launches = [line for line in record.read_text().splitlines() if "context" not in line]
    assert launches == [
        "image ELF",
        "entry k",
        "attribute 0x3000 8 200000",
        "launch 0x3000 7 5 3 384 1 1 200000 0x77 (nil)",
        f"arguments 0xabcdef0123 -5 {2**40} 1.5 100 227",
    ]
    name, *errors = result.stdout.splitlines()
    assert name == "Fake GPU (13, 0)"
    text = "\n".join(errors)
    assert "ResourceError k needs 232524 bytes of shared memory per block (231500 planned" in text
    assert "1024 static), Fake GPU has 232448" in text
    assert "LaunchError launching (1, 1, 1) blocks of 384 threads failed: CUDA_ERROR_" in text
