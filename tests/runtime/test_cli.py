"""The command line: doctor's text on many machines, the cache, errors without tracebacks."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tilewright.runtime import bindings, cuda, cxx, doctor, isa, nvrtc, openmp, sass
from tilewright.runtime.cache import cached, list_entries
from tilewright.runtime.cli import app
from tilewright.runtime.cuda import DeviceInfo
from tilewright.runtime.errors import BuildError, LaunchError

H200 = DeviceInfo(
    ordinal=0,
    name="NVIDIA H200",
    capability=(9, 0),
    multiprocessors=132,
    shared_per_block=232448,
    shared_per_multiprocessor=233472,
    registers_per_block=65536,
    l2_bytes=62914560,
    memory_bytes=150_000_000_000,
    clock=1_980_000,
    memory_clock=3_201_000,
    memory_bus=6144,
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "250")


def _run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def _raise(error: Exception) -> None:
    raise error


def _give_machine(
    monkeypatch: pytest.MonkeyPatch, device: DeviceInfo, version: tuple[int, int]
) -> None:
    monkeypatch.setattr(cuda, "device_count", lambda: 1)
    monkeypatch.setattr(cuda, "query_device", lambda ordinal: device)
    monkeypatch.setattr(cuda, "driver_version", lambda: version)


def _row(output: str, thing: str) -> str:
    (row,) = (line for line in output.splitlines() if line.startswith(f"│ {thing} "))
    return row


def test_doctor_on_this_machine_lists_every_check() -> None:
    output = _run("doctor")
    assert output.count("\n│ ") == len(doctor.CHECKS)
    assert nvrtc.nvrtc_version() in _row(output, "NVRTC")
    assert "cache" in _row(output, "cache folder")


def test_doctor_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    _give_machine(monkeypatch, H200, (13, 0))
    output = _run("doctor")
    assert "ok" in _row(output, "GPU")
    assert "NVIDIA H200 (sm_90, 132 multiprocessors)" in _row(output, "GPU")
    assert "CUDA 13.0" in _row(output, "driver")


def test_doctor_notices_a_torch_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"torch": "2.13.0+cpu"}
    monkeypatch.setattr(doctor.importlib.metadata, "version", versions.__getitem__)
    assert doctor.check_torch() == doctor.Finding("torch", "ok", "2.13.0+cpu")
    _give_machine(monkeypatch, H200, (13, 0))
    assert doctor.check_torch().state == "missing"
    assert "CUDA build of torch" in doctor.check_torch().remedy


@pytest.mark.parametrize("needed", [False, True])
def test_doctor_fails_only_where_cpu_or_virtual_machine_do(
    monkeypatch: pytest.MonkeyPatch, needed: bool
) -> None:
    finding = doctor.Finding("thing", "missing", "none", "get it", needed)
    monkeypatch.setattr(doctor, "CHECKS", (lambda: finding,))
    assert "something will not work: thing" in _run("doctor", code=int(needed))


def test_doctor_with_an_old_driver_and_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    _give_machine(monkeypatch, replace(H200, capability=(7, 5)), (12, 4))
    output = _run("doctor")
    assert "compute capability 8.0 or newer" in _row(output, "GPU")
    assert "CUDA 12.4" in _row(output, "driver")
    assert "update it to one for CUDA 13.0" in _row(output, "driver")
    assert "something will not work: driver" in output


def test_doctor_on_a_bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    no_gpu = LaunchError("no NVIDIA GPU can be used: no driver")
    for name in ("device_count", "driver_version"):
        monkeypatch.setattr(cuda, name, lambda: _raise(no_gpu))
    no_nvrtc = BuildError("NVRTC is not available", hint="pip install nvidia-cuda-nvrtc")
    monkeypatch.setattr(bindings, "nvrtc", lambda: _raise(no_nvrtc))
    no_compiler = BuildError("needs a C++ compiler", hint="apt install g++")
    monkeypatch.setattr(cxx, "find_compiler", lambda: _raise(no_compiler))
    monkeypatch.setattr(sass, "find_disassembler", lambda: None)
    monkeypatch.setattr(openmp, "find_openmp", lambda: None)
    monkeypatch.setattr(isa, "cpu_features", lambda: frozenset({"sse2"}))
    monkeypatch.setattr(doctor.sysconfig, "get_path", lambda name: str(tmp_path))
    (tmp_path / "cache").write_text("a file in the way")
    output = _run("doctor", code=1)
    expected = {
        "GPU": ("absent", "no NVIDIA GPU can be used"),
        "driver": ("absent", "needed for the cuda target only"),
        "NVRTC": ("missing", "pip install nvidia-cuda-nvrtc"),
        "disassembler": ("absent", 'pip install "tilewright[sass]"'),
        "C++ compiler": ("missing", "apt install g++"),
        "Python headers": ("absent", "apt install python3-dev"),
        "SIMD": ("missing", 'use target="vm:sm_80"'),
        "OpenMP runtime": ("absent", "reinstall torch"),
        "cache folder": ("missing", "set TILEWRIGHT_CACHE"),
    }
    for thing, (state, text) in expected.items():
        assert state in _row(output, thing)
        assert text in _row(output, thing)
    assert "something will not work: NVRTC, C++ compiler, SIMD, cache folder" in output


def test_cache_shows_and_clears_entries_only(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    for part in ("one", "two"):
        cached("cuda", [part], lambda folder: (folder / "a").write_bytes(bytes(1 << 20)) and None)
    (root / "cuda" / "mine.txt").write_text("not an entry")
    output = _run("cache")
    assert output.count("\n│ cuda") == 1
    assert " 2 " in output
    assert "2.0" in output
    assert "removed 2 entries" in _run("cache", "--clear")
    assert list_entries(root) == []
    assert (root / "cuda" / "mine.txt").exists()


def test_error_is_a_message_without_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = subprocess.run(
        [sys.executable, "-c", "from tilewright.runtime.cli import main; main()", "cache"],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TILEWRIGHT_CACHE": str(tmp_path / "file" / "below"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("BuildError: the cache folder")
    assert "set TILEWRIGHT_CACHE to a folder" in result.stderr
    assert "Traceback" not in result.stderr


def test_command_line_loads_neither_torch_nor_bindings() -> None:
    script = (
        "import sys, tilewright.runtime.cli; print(sorted({'torch', 'cuda'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "[]"


def test_version_and_help_answer() -> None:
    assert _run("--version").startswith("tilewright ")
    output = _run("--help")
    assert "doctor" in output
    assert "cache" in output
