"""C++ builds: results, cache, instruction sets, one OpenMP runtime, and clear errors."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tilewright.runtime import cxx, isa, openmp
from tilewright.runtime.cxx import compile_cpp, find_compiler, find_ninja
from tilewright.runtime.errors import BuildError, LaunchError

AXPY = """
extern "C" void axpy(float* y, const float* x, float a, int64_t n) {
#pragma omp parallel for
  for (int64_t i = 0; i < n; ++i) y[i] += a * x[i];
}
"""


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEWRIGHT_CACHE", str(shared_cache))


@pytest.mark.parametrize("name", list(isa.ISAS))
def test_kernel_runs_on_every_instruction_set_of_this_cpu(name: str) -> None:
    binary = compile_cpp(AXPY, name="axpy", isa=name)
    if name not in isa.find_isas(isa.cpu_features()):
        with pytest.raises(LaunchError, match="the CPU lacks"):
            binary.load()
        return
    rng = np.random.default_rng()
    n = int(rng.integers(1, 5000))
    x, y = rng.integers(-99, 99, (2, n)).astype(np.float32)  # small integers: exact in any order
    expected = y + 3 * x
    axpy = binary.load().axpy
    pointers = (array.ctypes.data_as(ctypes.c_void_p) for array in (y, x))
    axpy(*pointers, ctypes.c_float(3.0), ctypes.c_int64(n))
    np.testing.assert_array_equal(y, expected)


def test_second_compile_comes_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    first = compile_cpp(AXPY, name="axpy", isa="avx2")
    monkeypatch.setattr(cxx, "_run_ninja", lambda *_: pytest.fail("compiled again"))
    assert compile_cpp(AXPY, name="axpy", isa="avx2") == first
    assert sorted(path.name for path in first.path.parent.iterdir()) == [
        "build.ninja",
        "kernel.cpp",
        "kernel.so",
        "log.txt",
        "manifest.json",
    ]


def test_damaged_library_is_rebuilt() -> None:
    source = AXPY.replace("axpy", "damaged")
    path = compile_cpp(source, name="damaged", isa="avx2").path
    path.write_bytes(path.read_bytes()[:200])
    ctypes.CDLL(str(compile_cpp(source, name="damaged", isa="avx2").path))


def test_flags_reach_the_compiler_and_the_key() -> None:
    source = 'extern "C" int value() { return VALUE; }'
    for value in (17, 23):
        binary = compile_cpp(source, name="value", isa="avx2", flags=[f"-DVALUE={value}"])
        assert ctypes.CDLL(str(binary.path)).value() == value


def test_vectors_are_as_wide_as_the_instruction_set() -> None:
    for name, register in (("avx2", "ymm"), ("avx512", "zmm")):
        path = compile_cpp(AXPY, name="axpy", isa=name, flags=["-save-temps=obj"]).path
        assembly = path.with_name("kernel.s").read_text()
        assert f"%{register}" in assembly
        assert "%zmm" not in assembly or name == "avx512"


def test_precompiled_header_is_used() -> None:
    # -H lists every header that is read: only the precompiled one ("!"), none of the system's.
    log = compile_cpp(AXPY, name="axpy", isa="avx2", flags=["-H", "-Winvalid-pch"]).log
    headers = [line for line in log.splitlines() if line[:2] in ("! ", ". ", "x ")]
    assert len(headers) == 1
    assert headers[0].startswith("! ")


def test_kernel_named_like_a_libc_function_calls_itself() -> None:
    source = """
extern "C" __attribute__((noinline)) int64_t index(int64_t x, int64_t y) { return 10 * x + y; }
extern "C" int64_t twice(int64_t x) { return 2 * index(x, 1); }
"""
    assert compile_cpp(source, name="index", isa="avx2").load().twice(4) == 82


def test_compile_error_shows_generated_lines() -> None:
    source = '#line 12 "/matmul.py"\nextern "C" int k() { return undefined_name; }\n'
    with pytest.raises(BuildError) as error:
        compile_cpp(source, name="matmul", isa="avx2")
    text = str(error.value)
    assert text.startswith("the C++ source of matmul does not compile\n/matmul.py: In function")
    assert "generated source at /matmul.py:12:" in text
    assert '> 2 | extern "C" int k() { return undefined_name; }' in text
    assert "ninja" not in text


def test_unknown_instruction_set_lists_the_known() -> None:
    with pytest.raises(BuildError, match=r"unknown instruction set 'sse9'\n.*avx512bf16, .*avx2"):
        compile_cpp("", name="k", isa="sse9")


@pytest.mark.parametrize(
    ("cxx_variable", "reason"),
    [("/nonexistent", "CXX=/nonexistent is not a program"), ("", "no c++, g++ or clang++ on PATH")],
)
def test_missing_compiler_names_the_remedy(
    cxx_variable: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", cxx_variable)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BuildError) as error:
        compile_cpp(AXPY, name="axpy", isa="avx2")
    text = str(error.value)
    assert f"the cpu target needs a C++ compiler: {reason}" in text
    assert "apt install g++" in text


def test_compiler_that_fails_is_a_build_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken-c++"
    broken.write_text("#!/bin/sh\necho out of order; exit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(BuildError, match="out of order"):
        compile_cpp(AXPY, name="axpy", isa="avx2")


def test_compiler_with_arguments_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", f"{find_compiler().command[0]} -DVALUE=5")
    source = 'extern "C" int value() { return VALUE; }'
    binary = compile_cpp(source, name="value", isa="avx2")
    assert ctypes.CDLL(str(binary.path)).value() == 5


def test_ninja_of_the_system_serves_without_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ninja", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="pip install ninja"):
        find_ninja()
    (tmp_path / "ninja").write_text("")
    (tmp_path / "ninja").chmod(0o755)
    assert find_ninja() == str(tmp_path / "ninja")


_SHARED_RUNTIME = """
import sys, numpy as np, torch
from tilewright.runtime.cxx import compile_cpp
from tilewright.runtime.openmp import mapped_openmp
torch.set_num_threads(3)
(torch.ones(512, 512) @ torch.ones(512, 512)).sum()
source = '''
extern "C" int team() { int n = 0;
#pragma omp parallel reduction(+ : n)
  n += 1;
  return n; }'''
print(compile_cpp(source, name="team", isa="avx2").load().team())
print(len(mapped_openmp()), mapped_openmp()[0].is_relative_to(torch.__path__[0]))
"""


def test_process_maps_one_openmp_runtime_and_it_is_torchs() -> None:
    result = subprocess.run(
        [sys.executable, "-c", _SHARED_RUNTIME],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    # Three threads: torch.set_num_threads reached the runtime that our kernel runs on.
    assert result.stdout.split() == ["3", "1", "True"]


def test_runtime_is_torchs_without_importing_torch() -> None:
    script = (
        "import sys; from tilewright.runtime.openmp import find_openmp; "
        "print(find_openmp(), 'torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    path, imported = result.stdout.rsplit(maxsplit=1)
    assert "torch/lib/libgomp" in path
    assert imported == "False"


def test_runtime_names_of_wheels_are_recognized() -> None:
    names = [
        "libgomp.so.1",
        "libgomp-a34b3233.so.1",
        "libiomp5.so",
        "libomp.so",
        "libgomp.so.1.0.0",
    ]
    others = ["libcompat.so", "libgomp_plugin.txt", "libomptarget.so"]
    assert all(openmp._RUNTIME.fullmatch(name) for name in names)
    assert not any(openmp._RUNTIME.fullmatch(name) for name in others)


def _cpuinfo(*features: str) -> str:
    return f"processor\t: 0\nmodel name\t: made up\nflags\t\t: fpu {' '.join(features)}\n\n" * 2


@pytest.mark.parametrize("name", list(isa.ISAS))
def test_instruction_sets_follow_cpuinfo(name: str) -> None:
    names = list(isa.ISAS)
    features = isa.parse_features(_cpuinfo(*isa.ISAS[name].needs))
    assert isa.find_isas(features) == names[names.index(name) :]
    for missing in isa.ISAS[name].needs:
        assert name not in isa.find_isas(features - {missing})


def test_cpu_without_avx2_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isa, "cpu_features", lambda: frozenset({"sse2"}))
    with pytest.raises(LaunchError) as error:
        isa.best_isa()
    assert "has no AVX2" in str(error.value)
    assert 'target="vm:sm_80"' in str(error.value)


@pytest.mark.skipif("amx_tile" not in isa.cpu_features(), reason="the CPU has no AMX")
def test_amx_tiles_work_after_the_request() -> None:
    source = """
extern "C" void product(int32_t* c, const int8_t* a, const int8_t* b) {
  alignas(64) unsigned char config[64] = {1};  // palette 1
  for (int tile = 0; tile < 3; ++tile) {
    config[48 + tile] = 16;      // rows
    config[16 + 2 * tile] = 64;  // bytes per row
  }
  _tile_loadconfig(config);
  _tile_zero(0);
  _tile_loadd(1, a, 64);
  _tile_loadd(2, b, 64);
  _tile_dpbssd(0, 1, 2);
  _tile_stored(0, c, 64);
  _tile_release();
}
"""
    library = compile_cpp(source, name="product", isa="amx").load()
    rng = np.random.default_rng()
    a = rng.integers(-128, 128, (16, 64), dtype=np.int8)
    b = rng.integers(-128, 128, (64, 16), dtype=np.int8)
    quads = np.ascontiguousarray(b.reshape(16, 4, 16).transpose(0, 2, 1))  # 4 k per 32-bit lane
    c = np.full((16, 16), -1, np.int32)
    library.product(*(array.ctypes.data_as(ctypes.c_void_p) for array in (c, a, quads)))
    np.testing.assert_array_equal(c, a.astype(np.int32) @ b.astype(np.int32))
