"""NVRTC builds: outputs, resources, determinism, cache, and errors that show the source."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tilewright.runtime import bindings
from tilewright.runtime.errors import BuildError
from tilewright.runtime.nvrtc import compile_cuda
from tilewright.runtime.resources import find_defeats, parse_resources


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEWRIGHT_CACHE", str(tmp_path / "cache"))


def _scale_source(factor: float) -> str:
    return f"""
extern "C" __global__ void __launch_bounds__(128, 1) scale(float* a) {{
  __shared__ float turned[128];
  turned[127 - threadIdx.x] = a[threadIdx.x] * {factor}f;
  __syncthreads();
  a[threadIdx.x] = turned[threadIdx.x];
}}
extern "C" __global__ void __launch_bounds__(32, 1) other(float* a) {{ a[0] = 1.0f; }}
"""


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_compiles_to_cubin_and_ptx_with_resources(arch: str) -> None:
    binary = compile_cuda(_scale_source(random.random()), arch=arch, name="scale.py")
    assert binary.cubin[:4] == b"\x7fELF"
    assert f".target {arch}" in binary.ptx
    assert ".entry scale" in binary.ptx
    assert set(binary.resources) == {"scale", "other"}
    used = binary.resources["scale"]
    assert used.static_shared == 512
    assert used.barriers == 1
    assert 4 <= used.registers <= 40
    assert used.spills == 0
    assert used.stack == 0
    assert binary.resources["other"].static_shared == 0


def test_second_compile_comes_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    source = _scale_source(2.5)
    first = compile_cuda(source, arch="sm_80", name="/scale.py")
    monkeypatch.setattr(bindings, "nvrtc", lambda: pytest.fail("NVRTC was asked again"))
    assert compile_cuda(source, arch="sm_80", name="/scale.py") == first


def test_output_does_not_depend_on_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        monkeypatch.setenv("TILEWRIGHT_CACHE", str(tmp_path / name / "cache"))
        binary = compile_cuda(_scale_source(1.5), arch="sm_90a", name="scale.py")
        assert os.fsencode(tmp_path) not in binary.cubin
        outputs.append((binary.cubin, binary.ptx, binary.log))
    assert outputs[0] == outputs[1]


def test_spills_are_counted() -> None:
    count = 100
    loads = "".join(f"float x{i} = a[threadIdx.x * {i + 1} + n];\n" for i in range(count))
    body = "".join(f"x{i} = x{i} * x{(i + 3) % count} + a[i];\n" for i in range(count))
    total = " + ".join(f"x{i}" for i in range(count))
    source = (
        'extern "C" __global__ void __launch_bounds__(1024, 1) k(float* a, int n) {\n'
        f"{loads}for (int i = 0; i < n; i++) {{\n{body}}}\na[threadIdx.x] = {total};\n}}"
    )
    used = compile_cuda(source, arch="sm_80", name="spill.py").resources["k"]
    assert used.registers == 64
    assert used.spill_stores > 0
    assert used.spill_loads > 0
    assert used.stack > 0


def test_compile_error_shows_log_and_generated_lines() -> None:
    source = """extern "C" __global__ void k(float* a) {
  float first = a[0];
#line 12 "/matmul.py"
  float acc = undefined_name + first;
  a[0] = acc;
}"""
    with pytest.raises(BuildError) as error:
        compile_cuda(source, arch="sm_80", name="matmul.py")
    text = str(error.value)
    assert "the CUDA source of /matmul.py does not compile for sm_80" in text
    assert 'identifier "undefined_name" is undefined' in text
    assert "generated source at /matmul.py:12:" in text
    assert "> 4 |   float acc = undefined_name + first;" in text


def test_assembler_error_shows_the_statement() -> None:
    source = """extern "C" __global__ void k(float* a) {
  a[0] = 1.0f;
  asm volatile("bogus.f32 %0;" :: "f"(a[1]));
}"""
    with pytest.raises(BuildError) as error:
        compile_cuda(source, arch="sm_80", name="bad.py")
    text = str(error.value)
    assert "Not a name of any known instruction: 'bogus'" in text
    assert '> 3 |   asm volatile("bogus.f32 %0;" :: "f"(a[1]));' in text


def test_too_much_static_shared_memory_is_a_build_error() -> None:
    source = """extern "C" __global__ void k(float* a) {
  __shared__ float x[100000];
  x[threadIdx.x] = 0; __syncthreads(); a[0] = x[3];
}"""
    with pytest.raises(BuildError, match="uses too much shared data"):
        compile_cuda(source, arch="sm_80", name="big.py")


def test_ignored_setmaxnreg_is_a_build_error() -> None:
    source = """extern "C" __global__ void __launch_bounds__(256) k(float* a) {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
  a[threadIdx.x] = 1;
}"""
    with pytest.raises(BuildError) as error:
        compile_cuda(source, arch="sm_90a", name="roles.py")
    text = str(error.value)
    assert "(C7508)" in text
    assert "'setmaxnreg' ignored" in text
    assert "__launch_bounds__(threads, 1)" in text
    compile_cuda(source.replace("(256)", "(256, 1)"), arch="sm_90a", name="roles.py")


def test_serialized_wgmma_is_a_build_error_at_its_line() -> None:
    source = """extern "C" __global__ void __launch_bounds__(128, 1)
k(float* a, unsigned long long x, unsigned long long y, int n) {
  float d0 = 0, d1 = 0, d2 = 0, d3 = 0;
  for (int i = 0; i < n; i++) {
    asm volatile("wgmma.fence.sync.aligned;");
    asm volatile("wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 "
                 "{%0, %1, %2, %3}, %4, %5, 1, 1, 1, 0, 0;"
                 : "+f"(d0), "+f"(d1), "+f"(d2), "+f"(d3) : "l"(x + i), "l"(y));
    asm volatile("wgmma.commit_group.sync.aligned;");
    asm volatile("wgmma.wait_group.sync.aligned 0;");
  }
  a[threadIdx.x] = d0 + d1 + d2 + d3;
}"""
    compile_cuda(source, arch="sm_90a", name="wgmma.py")
    wait = '    asm volatile("wgmma.wait_group'
    early = source.replace(wait, f"    d0 += 1;  // before its wait\n{wait}")
    with pytest.raises(BuildError) as error:
        compile_cuda(early, arch="sm_90a", name="wgmma.py")
    text = str(error.value)
    assert "the assembler undid the schedule of /wgmma.py" in text
    assert "(C7517)" in text
    assert "d0 += 1;  // before its wait" in text


def test_unknown_architecture_is_refused_before_the_cache() -> None:
    with pytest.raises(BuildError, match="unknown CUDA architecture '80'"):
        compile_cuda("", arch="80", name="k")


def test_report_of_device_functions_does_not_count_as_the_entry() -> None:
    log = """ptxas info    : Compiling entry function 'k' for 'sm_80'
ptxas info    : Function properties for k
ptxas         .     8 bytes stack frame, 16 bytes spill stores, 24 bytes spill loads
ptxas info    : Function properties for helper
ptxas         .     99 bytes stack frame, 99 bytes spill stores, 99 bytes spill loads
ptxas info : Used 18 registers, used 2 barriers, 1024 bytes smem, 364 bytes cmem[0], 8 bytes cmem[2]
"""
    used = parse_resources(log)["k"]
    assert (used.registers, used.stack, used.spill_stores, used.spill_loads) == (18, 8, 16, 24)
    assert (used.static_shared, used.constant, used.barriers) == (1024, 372, 2)


@pytest.mark.parametrize(
    ("code", "counts"), [("C7508", 1), ("C7509", 0), ("C7513", 1), ("C7517", 1)]
)
def test_only_lost_schedules_are_defeats(code: str, counts: int) -> None:
    log = f"ptxas info    : ({code}) something happened in around line 75 by the compiler"
    found = find_defeats(log)
    assert len(found) == counts
    assert all(defeat.ptx_line == 75 for defeat in found)
