"""Rooflines by hand: counts of small kernels times the published rates, and what binds."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tilewright.ir.targets import find_device
from tilewright.runtime import vm
from tilewright.runtime.vm.parser import parse
from tilewright.runtime.vm.program import link
from tilewright.runtime.vm.work import classify, count_flops, find_unit, measure

Compile = Callable[..., str]
H200 = find_device("H200")
CLOCK = 1.98e9
HEAD = ".version 8.7\n.target {}\n.address_size 64\n"

COPY = r"""
extern "C" __global__ void k(const float4* x, float4* y) {
  y[blockIdx.x * blockDim.x + threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
}"""


@pytest.fixture(autouse=True)
def _no_assembler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds need none."""
    monkeypatch.setattr("tilewright.runtime.vm.report.assemble", lambda *_: None)


def us(report: vm.Report, name: str, device: Any = H200) -> float:
    limit = report.roofline(device).find(name)
    assert limit is not None, name
    return limit.us


def test_a_copy_is_bound_by_global_memory(compile_ptx: Compile) -> None:
    blocks = 2 * 132
    x = np.random.default_rng().random(blocks * 128 * 4).astype("f")
    y = np.full_like(x, np.nan)
    report = vm.run(compile_ptx(COPY), "k", blocks, 128, [x, y])
    np.testing.assert_array_equal(x, y)
    roofline = report.roofline("H200")
    assert roofline.binding.name == "memory" and not roofline.binding.estimated
    assert roofline.time_us == pytest.approx(2 * x.nbytes / 4.8e12 * 1e6)
    assert us(report, "memory", "A100") == pytest.approx(2 * x.nbytes / 2.039e12 * 1e6)
    # The cache: all sectors at 5,120 bytes per clock; Ada: 142 ports of 64, two blocks on the most.
    assert us(report, "l2") == pytest.approx(2 * x.nbytes / 5120 / CLOCK * 1e6)
    assert us(report, "l2", "L40S") == pytest.approx(2 * 2 * 128 * 16 / 64 / 2.52e9 * 1e6)
    # Two blocks of four warps on each multiprocessor, two requests of a warp, one per clock.
    assert us(report, "lsu") == pytest.approx(2 * 4 * 2 / CLOCK * 1e6)
    assert (roofline.waves, roofline.balance) == (1, 1.0)
    assert "every sector is used" in roofline.advice
    assert roofline.intensity == 0 and roofline.ridge is None


def test_every_sector_is_fetched_once_however_often_it_is_asked_for(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void k(const volatile float4* x, float* y, int n) {
  float s = 0;
  for (int i = 0; i < n; i++) s += x[i * 32 + threadIdx.x].x;
  if (s < 0) y[0] = s;
}""")
    x = np.ones(8 * 32 * 4, "f")
    report = vm.run(ptx, "k", 132, 32, [x, np.zeros(1, "f"), 8])
    traffic = report.counters["global"]
    assert (traffic["read_sectors"], traffic["written_sectors"]) == (x.nbytes // 32, 0)
    assert traffic["sectors"] >= 132 * x.nbytes // 32
    assert us(report, "memory") == pytest.approx(x.nbytes / 4.8e12 * 1e6)
    roofline = report.roofline("H200")
    assert roofline.binding.name == "l2" and roofline.binding.estimated
    assert us(report, "l2") == pytest.approx(traffic["sectors"] * 32 / 5120 / CLOCK * 1e6)


def test_wasted_sectors_are_named_with_their_line(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void k(const float* x, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  y[i] = x[8 * i];
}""")
    blocks = 132
    x, y = np.ones(blocks * 64 * 8, "f"), np.zeros(blocks * 64, "f")
    report = vm.run(ptx, "k", blocks, 64, [x, y])
    roofline = report.roofline("H200")
    assert roofline.time_us == pytest.approx((x.nbytes + y.nbytes) / 4.8e12 * 1e6)
    (load,) = [line for line in report.counters["lines"] if "ld.global" in line["text"]]
    assert f"28.0 of 32.0 sectors per request are waste at PTX line {load['line']}" in str(roofline)


def mma_loop(kind: str, sums: str, times: int) -> str:
    shape = {"f16": "m16n8k16", "e4m3": "m16n8k32"}[kind]
    register = "f" if sums == "f32" else "h"
    count = 4 if sums == "f32" else 2
    accumulators = ", ".join(f"%{register}{i}" for i in range(count))
    product = (
        f"mma.sync.aligned.{shape}.row.col.{sums}.{kind}.{kind}.{sums} {{{accumulators}}},"
        f" {{%a0, %a1, %a2, %a3}}, {{%b0, %b1}}, {{{accumulators}}};\n"
    )
    return (
        HEAD.format("sm_89")
        + f""".visible .entry k() {{
  .reg .b32 %a<4>, %b<2>, %h<2>, %i; .reg .f32 %f<4>; .reg .pred %p;
  mov.b32 %a0, 0; mov.b32 %a1, 0; mov.b32 %a2, 0; mov.b32 %a3, 0; mov.b32 %b0, 0; mov.b32 %b1, 0;
  mov.b32 %h0, 0; mov.b32 %h1, 0;
  mov.f32 %f0, 0f00000000; mov.f32 %f1, 0f00000000; mov.f32 %f2, 0f00000000;
  mov.f32 %f3, 0f00000000; mov.u32 %i, {times};
LOOP:
  {product * 8}
  sub.u32 %i, %i, 1; setp.ne.u32 %p, %i, 0;
  @%p bra LOOP;
  ret;
}}"""
    )


@pytest.mark.parametrize(
    ("kind", "sums", "device", "rate"),
    [
        ("f16", "f32", "H200", 989.4), ("f16", "f16", "RTX 4090", 330.3),
        ("f16", "f32", "RTX 4090", 165.2), ("f16", "f32", "L40S", 366.4),
        ("e4m3", "f32", "H100", 1978.9), ("e4m3", "f32", "RTX 4090", 330.3),
    ],
)  # fmt: skip
def test_products_are_bound_by_the_matrix_rate_of_their_types(
    kind: str, sums: str, device: str, rate: float
) -> None:
    blocks, warps, times = 3, 4, 5
    report = vm.run(mma_loop(kind, sums, times), "k", blocks, 32 * warps, [])
    record = find_device(device)
    flops = 2 * 16 * 8 * (16 if kind == "f16" else 32) * 8 * warps * times
    roofline = report.roofline(record)
    assert report.counters["mma_flops"] == {kind: blocks * flops}
    assert roofline.binding.name == "matrix"
    assert roofline.time_us == pytest.approx(flops / (rate * 1e12 / record.multiprocessors) * 1e6)
    assert roofline.balance == blocks / record.multiprocessors
    assert "leave" in roofline.advice and roofline.intensity is None


def test_a_matmul_has_an_intensity_and_the_device_a_ridge(
    compile_ptx: Compile, matmul_source: str
) -> None:
    a, b, c = (
        np.zeros((64, 128), np.uint16),
        np.zeros((64, 128), np.uint16),
        np.zeros((64, 64), "f"),
    )
    args = [a, b, c, 64, 64, 128]
    report = vm.run(compile_ptx(matmul_source), "matmul", 1, 256, args, shared=24576)
    roofline = report.roofline("H200")
    assert roofline.intensity == 2 * 64 * 64 * 128 / (a.nbytes + b.nbytes + c.nbytes)
    assert roofline.ridge == pytest.approx(989.4 / 4.8)
    assert "206" in str(roofline)


def test_a_rate_that_nobody_published_is_a_note_and_no_limit() -> None:
    report = vm.run(mma_loop("e4m3", "f32", 2), "k", 1, 32, [])
    record = replace(H200, matrix=replace(H200.matrix, f8=0.0))
    roofline = report.roofline(record)
    assert roofline.find("matrix") is None
    assert "no published matrix rate for f8" in str(roofline)


def test_bank_conflicts_bind_on_shared_memory(compile_ptx: Compile) -> None:
    ptx = compile_ptx(r"""
extern "C" __global__ void k(float* o, int n) {
  __shared__ float s[32 * 32];
  for (int i = threadIdx.x; i < 1024; i += 32) s[i] = i;
  __syncwarp();
  float t = 0;
  #pragma unroll 1
  for (int i = 0; i < n; i++) t += *(volatile float*)&s[threadIdx.x * 32 + i % 32];
  o[blockIdx.x * 32 + threadIdx.x] = t;
}""")
    report = vm.run(ptx, "k", 132, 32, [np.zeros(132 * 32, "f"), 20])
    roofline = report.roofline("H200")
    assert roofline.binding.name == "shared"
    assert roofline.time_us == pytest.approx((32 + 20 * 32) / CLOCK * 1e6)
    (load,) = [line for line in report.counters["lines"] if "ld.volatile.shared" in line["text"]]
    assert f"97% of the 84,480 wavefronts at PTX line {load['line']}" in roofline.advice
    conflicts = json.loads(roofline.to_json())
    assert conflicts["binding"] == "shared" and conflicts["limits"][0]["binds"]


def test_special_functions_bind_at_a_quarter_of_a_warp_per_clock_and_part() -> None:
    body = "\n".join(["ex2.approx.ftz.f32 %f, %f;"] * 64)
    ptx = (
        HEAD.format("sm_80")
        + f""".visible .entry k() {{
  .reg .f32 %f; mov.f32 %f, 0f3F000000;
  {body}
  ret; }}"""
    )
    report = vm.run(ptx, "k", 132, 64, [], checks="off")
    roofline = report.roofline("H200")
    assert roofline.binding.name == "special"
    assert roofline.time_us == pytest.approx(2 * 64 * 32 / 16 / CLOCK * 1e6)
    assert us(report, "issue") == pytest.approx(2 * 65 / 4 / CLOCK * 1e6)  # no mov, but the ret
    assert "not counted" in str(roofline)


def count(body: str, target: str = "sm_90a") -> tuple[Any, Any]:
    declared = (
        ".reg .pred %p<4>; .reg .b16 %h<9>; .reg .b32 %r<80>; .reg .f32 %f<200>;"
        " .reg .b64 %q<9>; .reg .f64 %d<9>;"
    )
    text = HEAD.format(target) + f".visible .entry k() {{ {declared}\n{body}\n}}"
    program = link(parse(text), "k")
    return program.instructions, measure(
        program.instructions, dict.fromkeys(range(len(program.instructions)), 1)
    )


@pytest.mark.parametrize(
    ("text", "name", "unit", "flops"),
    [
        ("fma.rn.f32 %f0, %f1, %f2, %f3;", "f32", "f32", 64),
        ("add.rn.ftz.f32 %f0, %f1, %f2;", "f32", "f32", 32),
        ("max.f32 %f0, %f1, %f2;", "f32", "alu", 32),
        ("fma.rn.f16x2 %r0, %r1, %r2, %r3;", "half", "half", 128),
        ("mul.f64 %d0, %d1, %d2;", "f64", "f64", 32),
        ("mad.wide.u32 %q0, %r1, %r2, %q3;", "multiply", "multiply", 0),
        ("add.s64 %q0, %q1, %q2;", "integer", "any", 0),
        ("shl.b32 %r0, %r1, 3;", "logic", "alu", 0),
        ("popc.b32 %r0, %r1;", "logic", "special", 0),
        ("and.pred %p0, %p1, %p2;", "logic", "none", 0),
        ("setp.lt.s32 %p0, %r1, %r2;", "compare", "alu", 0),
        ("rcp.approx.ftz.f32 %f0, %f1;", "special", "special", 0),
        ("cvt.rn.f16x2.f32 %r0, %f1, %f2;", "convert", "alu", 0),
        ("cvt.rzi.s32.f32 %r0, %f1;", "convert", "special", 0),
        ("cvt.rn.f32.s32 %f0, %r1;", "convert", "alu", 0),
        ("cvt.u64.u32 %q0, %r1;", "convert", "none", 0),
        ("cvt.f64.f32 %d0, %f1;", "convert", "special", 0),
        ("mov.b32 %r0, %r1;", "move", "none", 0),
        ("shfl.sync.bfly.b32 %r0, %r1, 1, 31, -1;", "warp", "memory", 0),
        ("ld.global.v4.f32 {%f0, %f1, %f2, %f3}, [%q0];", "memory", "memory", 0),
        ("bar.sync 0;", "barrier", "any", 0),
    ],
)
def test_an_instruction_has_a_class_and_a_unit(text: str, name: str, unit: str, flops: int) -> None:
    ins = count(text)[0][0]
    assert (classify(ins), find_unit(ins), count_flops(ins)) == (name, unit, flops)


@pytest.mark.parametrize(("n", "bytes_"), [(64, 4096), (256, 10240), (8, 2304)])
def test_wgmma_reads_both_operands_from_shared_memory(n: int, bytes_: int) -> None:
    """From n = 64 on the product takes at least as long as reading (64 + n) x 16 x 2 bytes."""
    registers = ", ".join(f"%f{i}" for i in range(n // 2))
    text = f"wgmma.mma_async.sync.aligned.m64n{n}k16.f32.bf16.bf16 {{{registers}}}, "
    shared = count(text + "%q0, %q1, %p0, 1, 1, 0, 0;")[1]
    assert (4 * shared.operand_bytes, 4 * shared.matrix["f16"]) == (bytes_, 2 * 64 * n * 16)
    assert (bytes_ / 128 <= 2 * 64 * n * 16 / 4096) == (n >= 64)
    held = count(text + "{%r0, %r1, %r2, %r3}, %q1, %p0, 1, 1, 0;")[1]
    assert 4 * (shared.operand_bytes - held.operand_bytes) == 64 * 16 * 2


def test_a_sparse_product_takes_half_the_time() -> None:
    work = count(
        "mma.sp.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32 {%f0, %f1, %f2, %f3},"
        " {%r0, %r1, %r2, %r3}, {%r4, %r5, %r6, %r7}, {%f0, %f1, %f2, %f3}, %r8, 0x0;"
    )[1]
    assert work.flops["f16"] == 2 * 16 * 8 * 32 and work.matrix["f16"] == 16 * 8 * 32


def test_copies_of_fewer_bytes_than_they_write_are_counted(compile_ptx: Compile) -> None:
    ptx = (
        HEAD.format("sm_80")
        + """.visible .entry k(.param .u64 x) {
  .shared .align 16 .b8 s[512]; .reg .b32 %t, %a; .reg .b64 %q, %o;
  mov.u32 %t, %tid.x; ld.param.u64 %q, [x]; mul.wide.u32 %o, %t, 16; add.u64 %q, %q, %o;
  mov.u32 %a, s; mad.lo.u32 %a, %t, 16, %a;
  cp.async.cg.shared.global [%a], [%q], 16, 8;
  cp.async.wait_all; ret; }"""
    )
    report = vm.run(ptx, "k", 1, 32, [np.zeros(512, np.uint8)])
    assert report.counters["bytes"]["cp.async"] == 32 * 8
    assert report.counters["global"]["read_sectors"] == 16


def empty(target: str = "sm_80", shared: int = 0) -> str:
    return HEAD.format(target) + (
        f".visible .entry k() {{ .shared .align 4 .b8 s[{max(shared, 1)}]; ret; }}"
    )


def test_waves_and_balance_follow_from_what_fits() -> None:
    report = vm.run(empty(), "k", 5, 1024, [])
    record = replace(H200, multiprocessors=2)
    roofline = report.roofline(record, registers=32)
    assert (roofline.occupancy.blocks, roofline.waves) == (2, 2)
    assert roofline.balance == pytest.approx(5 / 6)


def test_any_record_will_do_and_unknown_names_list_the_known() -> None:
    report = vm.run(empty(), "k", 1, 32, [])
    mine = SimpleNamespace(**{name: getattr(H200, name) for name in H200.__dataclass_fields__})
    mine.clock_hertz = 1e9
    assert us(report, "issue", mine) == pytest.approx(1.98 * us(report, "issue"))
    with pytest.raises(Exception, match="unknown device 'H300'"):
        report.roofline("H300")
    with pytest.raises(ValueError, match="lacks what a roofline needs"):
        report.roofline(replace(H200, lanes=None))
    with pytest.raises(ValueError, match="what blocks share"):
        report.occupancy(replace(H200, residency=None))


@pytest.mark.parametrize(
    ("target", "device", "runs"),
    [
        ("sm_80", "H200", True), ("sm_89", "L40S", True), ("sm_90a", "H100", True),
        ("sm_90", "A100", False), ("sm_90a", "L40S", False), ("sm_89", "A100", False),
    ],
)  # fmt: skip
def test_code_for_a_newer_device_does_not_run(target: str, device: str, runs: bool) -> None:
    report = vm.run(empty(target), "k", 1, 32, [])
    if runs:
        assert report.roofline(device).device == device
        return
    with pytest.raises(ValueError, match=f"code for {target} does not run on {device}"):
        report.roofline(device)


@pytest.mark.parametrize("name", ["A100", "L40S", "RTX 4090", "H100", "H200"])
def test_rates_per_clock_agree_with_the_matrix_rates_of_the_data_sheets(name: str) -> None:
    """Matrix units do a power of two of operations per multiprocessor and clock."""
    device = find_device(name)
    assert device.matrix is not None
    clock = 1.83e9 if name.startswith("H") else device.clock_hertz
    for kind, rate in vars(device.matrix).items():
        if rate:
            own = device.clock_hertz if kind == "f64" else clock
            power = np.log2(rate / device.multiprocessors / own)
            assert power == pytest.approx(round(power), abs=0.005), kind
