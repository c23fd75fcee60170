"""Occupancy by the vendor's rules, and registers from compilers and assemblers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tilewright as tw
from tilewright.ir.targets import find_device
from tilewright.runtime import vm
from tilewright.runtime.nvrtc import compile_cuda
from tilewright.runtime.vm import assembler
from tilewright.runtime.vm.assembler import Assembled
from tilewright.runtime.vm.resources import parse_resources

HEAD = ".version 8.7\n.target {}\n.address_size 64\n"
LOG = """ptxas info    : Compiling entry function 'k' for 'sm_80'
ptxas info    : Function properties for k
ptxas         .     16 bytes stack frame, 8 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 72 registers, used 1 barriers, 4 bytes smem, 352 bytes cmem[0]"""


@pytest.fixture(autouse=True)
def _no_assembler(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the tests of assemblers look for one."""
    if not request.node.name.startswith("test_the_assembler"):
        monkeypatch.setattr("tilewright.runtime.vm.assembler.find_ptxas", lambda: None)
        monkeypatch.setattr("tilewright.runtime.vm.assembler.find_library", lambda: None)


def empty(target: str = "sm_80", shared: int = 0) -> str:
    return HEAD.format(target) + (
        f".visible .entry k() {{ .shared .align 4 .b8 s[{max(shared, 1)}]; ret; }}"
    )


def hold(device: str, threads: int, registers: int | None, shared: int, **kw: Any) -> vm.Occupancy:
    return vm.find_occupancy(
        find_device(device), threads=threads, registers=registers, shared=shared, **kw
    )


def test_the_programming_guides_example_of_registers() -> None:
    """64 registers, 512 threads: two blocks fill 65,536; with one register more there is one."""
    for device in ("A100", "H200"):
        assert hold(device, 512, 64, 0).blocks == 2
        one = hold(device, 512, 65, 0)
        assert (one.blocks, one.warps, one.limited_by) == (1, 16, ("registers",))
        assert one.share == 0.25


# Random cases whose answers NVIDIA's cuda_occupancy.h gave (12,000 were compared).
@pytest.mark.parametrize(
    ("device", "threads", "registers", "shared", "barriers", "blocks"),
    [
        ("H200", 434, 116, 35608, 4, 1), ("L40S", 70, 205, 10112, 3, 2),
        ("A100", 354, 41, 5080, 2, 3), ("A100", 38, 18, 12006, 7, 12),
        ("L40S", 22, 243, 20614, 1, 4), ("L40S", 152, 83, 220, 12, 4),
        ("H200", 158, 112, 83655, 0, 2), ("A100", 27, 219, 40596, 14, 4),
        ("H200", 98, 228, 11022, 14, 2), ("H200", 741, 76, 200570, 10, 1),
        ("A100", 977, 202, 21910, 10, 0), ("L40S", 43, 110, 145684, 3, 0),
    ],
)  # fmt: skip
def test_occupancy_is_that_of_the_vendors_calculator(
    device: str, threads: int, registers: int, shared: int, barriers: int, blocks: int
) -> None:
    assert hold(device, threads, registers, shared, barriers=barriers).blocks == blocks


def test_a_run_knows_its_shared_memory_but_without_an_assembler_not_its_registers() -> None:
    report = vm.run(empty(shared=40_000), "k", 1, 256, [], shared=8_000)
    found = report.occupancy("A100")
    assert found.registers is None and found.shared == 48_000
    # 48,000 + 1,024 bytes are 383 granules of 128; 164 KiB hold three of them.
    assert (found.blocks, found.limited_by) == (3, ("shared memory",))
    assert "at most 38%" in str(found) and "registers unknown" in str(found)
    given = report.occupancy("A100", registers=128)
    assert (given.blocks, given.limited_by) == (2, ("registers",))
    assert report.roofline("A100", registers=128).occupancy == given


def test_the_assemblers_answer_is_that_of_the_compiler() -> None:
    source = f"""
extern "C" __global__ void __launch_bounds__(1024) k(float* a, int n) {{
  __shared__ float s[{1024 + np.random.default_rng().integers(64)}];
  s[threadIdx.x] = a[threadIdx.x]; __syncthreads();
  float r[96];
  for (int i = 0; i < 96; i++) r[i] = s[(threadIdx.x + i * n) % 1024];
  for (int j = 0; j < n; j++) for (int i = 0; i < 96; i++) r[i] = r[i] * r[(i + 7) % 96] + 1;
  float t = 0; for (int i = 0; i < 96; i++) t += r[i];
  a[threadIdx.x] = t;
}}"""
    binary = compile_cuda(source, arch="sm_80", name="k.cu")
    expected = binary.resources["k"]
    assert expected.spills > 0
    tried = 0
    if (program := assembler.find_ptxas()) is not None:
        made = assembler._run_ptxas(program, binary.ptx, "sm_80")
        assert not made.problem
        assert (made.by, made.resources["k"]) == ("ptxas", expected)
        tried += 1
    if (library := assembler.find_library()) is not None:
        linked = assembler._link(library, binary.ptx, "sm_80").resources["k"]
        assert (linked.registers, linked.static_shared) == (64, expected.static_shared)
        assert linked.spills > 0 and linked.barriers == 1
        wrong = assembler._link(library, "nonsense", "sm_80")
        assert not wrong.resources and wrong.problem
        tried += 1
    if not tried:
        pytest.skip('neither ptxas nor the extra "vm" is installed')


def test_the_assemblers_answer_is_asked_once_and_its_failure_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [
        Assembled("ptxas", parse_resources(LOG)),
        Assembled("nvJitLink", {}, "ptxas fatal: Unsupported .version 99.9\nmore"),
    ]
    monkeypatch.setattr("tilewright.runtime.vm.report.assemble", lambda *a: answers.pop(0))
    report = vm.run(empty("sm_80"), "k", 1, 256, [])
    for _ in range(2):
        found = report.occupancy("A100")
        assert (found.registers, found.spills, found.source) == (72, 24, "ptxas")
        assert "72 registers (ptxas), 24 bytes spilled" in str(found)
    failed = report.occupancy("H200")
    assert failed.registers is None
    assert "nvJitLink says ptxas fatal: Unsupported .version 99.9" in str(failed)


def test_roles_that_trade_registers_start_with_what_the_launch_allows() -> None:
    """Two kernels of Triton's with setmaxnreg get 168 and 255 from ptxas, 90 and 58 from
    nvJitLink, which ignores it.
    """
    made = Assembled("nvJitLink", parse_resources(LOG), ignored=True)
    found = [
        made.find("k", threads, most) for threads, most in ((384, None), (384, 160), (256, 256))
    ]
    assert [entry.registers for entry in found if entry] == [168, 160, 255]
    assert made.find("other", 384, None) is None


@tw.kernel
def double(a: tw.Tensor, c: tw.Tensor):
    (i,) = tw.grid(tw.cdiv(a.shape[0], 64))
    tw.store(c, (i * 64,), tw.load(a, (i * 64,), (64,)) * 2)


def test_kernels_of_ours_bring_the_resources_of_their_compiler() -> None:
    torch = pytest.importorskip("torch")
    a = torch.randn(100)
    c = torch.full_like(a, torch.nan)
    compiled = double.compile(a, c, target="vm:sm_80")
    report = compiled.launch((a, c))
    assert torch.equal(c, a * 2)
    found = report.occupancy("A100")
    assert compiled.resources is not None
    assert (found.registers, found.source) == (compiled.resources.registers, "as compiled")
