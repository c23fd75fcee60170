"""wgmma operands in every layout, with shared memory images written from CuTe's canonical layouts."""

# ruff: noqa: E501  (lines of PTX and CUDA C++ stay whole)

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tilewright.runtime import vm

TYPES: dict[str, tuple[int, Any, str]] = {
    "bf16": (16, ml_dtypes.bfloat16, "f32"), "f16": (16, np.float16, "f32"), "tf32": (8, np.float32, "f32"),
    "e4m3": (32, ml_dtypes.float8_e4m3fn, "f32"), "e5m2": (32, ml_dtypes.float8_e5m2, "f32"),
    "s8": (32, np.int8, "s32"), "u8": (32, np.uint8, "s32"),
}  # fmt: skip
CODE = {0: 0, 128: 1, 64: 2, 32: 3}
N = 24


def image(x: np.ndarray, span: int, major: str, at: int) -> tuple[bytes, int, int]:
    """Bytes of operand x (MN, K) at the shared offset `at`, with its leading and stride offsets."""
    item = x.dtype.itemsize
    t = 16 // item
    mn, k = np.meshgrid(np.arange(x.shape[0]), np.arange(x.shape[1]), indexing="ij")
    wide = max(span // 16, 1)
    if major == "K":
        stride = 8 * wide + (8 if not span else 64)  # in units of 16 bytes; room between groups
        leading = 8 if not span else 1
        if not span:
            stride = 16
        unit = mn % 8 * wide + mn // 8 * stride + k // t * (leading if not span else 1)
        place = unit * 16 + k % t * item
    else:
        chunk = mn // t
        if span:
            leading, stride = 8 * wide * (x.shape[1] // 8) + 64, 8 * wide
            unit = chunk % wide + chunk // wide * leading + k % 8 * wide + k // 8 * stride
        else:
            stride, leading = 16, 8
            unit = chunk * stride + k % 8 + k // 8 * leading
        place = unit * 16 + mn % t * item
    address = at + place
    mask = {0: 0, 32: 1, 64: 3, 128: 7}[span]
    address ^= (address >> 7 & mask) << 4
    data = np.zeros(int(address.max()) + item, np.uint8)
    raw = np.ascontiguousarray(x).view(np.uint8).reshape(*x.shape, item)
    for byte in range(item):
        data[address + byte] = raw[..., byte]
    return data[at:].tobytes(), leading * 16, stride * 16


def random_operand(kind: str, shape: tuple[int, int]) -> np.ndarray:
    dtype = TYPES[kind][1]
    low = 0 if kind == "u8" else -4
    return np.random.default_rng().integers(low, 5, shape).astype(dtype)


def run(
    kind: str, spans: tuple[int, int], majors: tuple[str, str], *, register_a: bool = False
) -> None:
    depth, _, result = TYPES[kind]
    a, b = random_operand(kind, (64, depth)), random_operand(kind, (N, depth))
    base_b = 32 * 1024
    image_a, lead_a, stride_a = image(a, spans[0], majors[0], 1024)
    image_b, lead_b, stride_b = image(b, spans[1], majors[1], 1024)
    memory = np.zeros(64 * 1024, np.uint8)
    memory[: len(image_a)] = np.frombuffer(image_a, np.uint8)
    memory[base_b : base_b + len(image_b)] = np.frombuffer(image_b, np.uint8)

    def fields(lead: int, stride: int, span: int) -> int:
        return lead >> 4 << 16 | stride >> 4 << 32 | CODE[span] << 62

    fragment = np.zeros((4, 128), np.uint32)
    per = 4 // a.dtype.itemsize
    for lane in range(128):
        for i in range(4 * per):
            group, t = lane // 32 * 16 + lane % 32 // 4, lane % 4
            row = group + 8 * (i // per % 2)
            column = t * per + i % per + 4 * per * (i // (2 * per))
            code = int(a[row, column].view(f"u{a.dtype.itemsize}"))
            fragment[i // per, lane] |= code << (8 * a.dtype.itemsize * (i % per))
    count = N // 2
    d = ", ".join(f"%d{i}" for i in range(count))
    kinds = f"{result}.{kind}.{kind}"
    half = kind in ("f16", "bf16")
    tail = ", 1, 1" if result == "f32" else ""
    if half:
        tail += ("" if register_a else f", {int(majors[0] != 'K')}") + f", {int(majors[1] != 'K')}"
    first = "{%a0, %a1, %a2, %a3}" if register_a else "%da"
    product = f"wgmma.mma_async.sync.aligned.m64n{N}k{depth}.{kinds} {{{d}}}, {first}, %db, "
    text = f"""
.version 9.0
.target sm_90a
.address_size 64
.extern .shared .align 1024 .b8 tile[];
.visible .entry k(.param .u64 m, .param .u64 o, .param .u64 f, .param .u64 wa, .param .u64 wb) {{
  .reg .b32 %d<{count}>, %t, %s, %i, %a<4>; .reg .b64 %q, %g, %da, %db, %x; .reg .pred %p, %yes;
  .reg .b32 %v<4>;
  mov.u32 %t, %tid.x; mov.u32 %s, tile; mov.u32 %i, %t; ld.param.u64 %g, [m];
L: mad.wide.u32 %q, %i, 16, %g; ld.global.v4.u32 {{%v0, %v1, %v2, %v3}}, [%q];
  mad.lo.u32 %a0, %i, 16, %s; st.shared.v4.u32 [%a0], {{%v0, %v1, %v2, %v3}};
  add.u32 %i, %i, 128; setp.lt.u32 %p, %i, 4096; @%p bra L;
  fence.proxy.async.shared::cta; bar.sync 0;
  ld.param.u64 %q, [f]; mad.wide.u32 %q, %t, 4, %q;
  {" ".join(f"ld.global.u32 %a{i}, [%q+{512 * i}];" for i in range(4))}
  shr.u32 %i, %s, 4; cvt.u64.u32 %x, %i;
  ld.param.u64 %da, [wa]; or.b64 %da, %da, %x;
  add.u32 %i, %i, {base_b >> 4}; cvt.u64.u32 %x, %i; ld.param.u64 %db, [wb]; or.b64 %db, %db, %x;
  setp.eq.u32 %yes, 0, 0;
  wgmma.fence.sync.aligned;
  {product}!%yes{tail};
  {product}%yes{tail};
  wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 0;
  ld.param.u64 %q, [o]; mad.wide.u32 %q, %t, 4, %q;
  {" ".join(f"st.global.u32 [%q+{512 * i}], %d{i};" for i in range(count))}
  ret; }}"""
    out = np.zeros((count, 128), np.uint32)
    words = [fields(lead_a, stride_a, spans[0]), fields(lead_b, stride_b, spans[1])]
    report = vm.run(text, "k", 1, 128, [memory, out, fragment, *words], shared=64 * 1024)
    want = 2 * (a.astype("f8") @ b.astype("f8").T)
    values = out.view(np.float32 if result == "f32" else np.int32)
    for lane in range(128):
        for i in range(count):
            row = lane // 32 * 16 + lane % 32 // 4 + 8 * (i // 2 % 2)
            column = 8 * (i // 4) + lane % 4 * 2 + i % 2
            assert values[i, lane] == want[row, column], (lane, i)
    assert report.races == [] and report.warnings == []


@pytest.mark.parametrize("span", [0, 32, 64, 128])
@pytest.mark.parametrize("majors", [("K", "K"), ("MN", "K"), ("K", "MN"), ("MN", "MN")])
def test_swizzles_and_majors(span: int, majors: tuple[str, str]) -> None:
    run("bf16", (span, 128), (majors[0], majors[1]))
    run("f16", (64, span), (majors[0], majors[1]))


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind not in ("f16", "bf16")])
def test_types(kind: str) -> None:
    run(kind, (128, 32), ("K", "K"))


@pytest.mark.parametrize("kind", TYPES)
def test_a_from_registers(kind: str) -> None:
    run(kind, (128, 64), ("K", "K"), register_a=True)
