"""PTX beyond its instructions: expressions, initial values, scopes, calls, branch tables, directives.

Each program of the table was accepted by NVIDIA's assembler; it stores words to `o`, which the table gives.
"""

# ruff: noqa: E501  (lines of PTX stay whole)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tilewright.runtime import vm

HEAD = ".version 9.0\n.target sm_90a\n.address_size 64\n"
_ADD = ".func (.param .b32 r) add{n} (.param .b32 a) {{ .reg .u32 %x; ld.param.u32 %x, [a]; add.u32 %x, %x, {n}; st.param.b32 [r], %x; ret; }}\n"
_CALL = "{{ .param .b32 a0; .param .b32 r0; st.param.b32 [a0], 7; {label}: {table}; call (r0), %d1, (a0), {label}; ld.param.b32 %r1, [r0]; }} st.global.u32 [%o], %r1;"

CASES: dict[str, tuple[str, str, list[int]]] = {
    "constant expressions": (
        "",
        ("mov.u32 %r1, (3+4)*2; st.global.u32 [%o], %r1; mov.u32 %r1, 1<<5|2; st.global.u32 [%o+4], %r1;"
        "mov.s32 %r1, -(7 % 4); st.global.u32 [%o+8], %r1; mov.u32 %r1, (2>1)?5:6; st.global.u32 [%o+4*3], %r1;"
        "mov.u32 %r1, !0; st.global.u32 [%o+16], %r1; mov.u32 %r1, ~0xF0 & 0xFF; st.global.u32 [%o+20], %r1;"
        "mov.u32 %r1, -7 / 2 + (5 >= 5) + (1 != 1); st.global.u32 [%o+24], %r1; mov.u32 %r1, WARP_SZ; st.global.u32 [%o+28], %r1;"),
        [14, 34, -3, 5, 1, 15, -2, 32],
    ),
    "literals": (
        "",
        ("mov.f32 %f1, 0F3f800000; st.global.f32 [%o], %f1; mov.f32 %f1, 1.5; st.global.f32 [%o+4], %f1;"
        "mov.f32 %f1, 0f7fc00001; st.global.f32 [%o+8], %f1; mov.u32 %r1, 0XFFU; st.global.u32 [%o+12], %r1;"
        "mov.f32 %f1, 1e3; st.global.f32 [%o+16], %f1; mov.b32 %r1, 0f40000000; st.global.u32 [%o+20], %r1;"
        "mov.b64 %d1, 0d3ff0000000000000; st.global.u64 [%o+24], %d1; mov.u32 %r1, 017; st.global.u32 [%o+32], %r1;"
        "mov.u32 %r1, 0b101U; st.global.u32 [%o+36], %r1; mov.s64 %d1, -9223372036854775808; st.global.u64 [%o+40], %d1;"),
        [0x3F800000, 0x3FC00000, 0x7FC00001, 255, 0x447A0000, 0x40000000, 0, 0x3FF00000, 15, 5, 0, -(1 << 31)],
    ),
    "vector registers": (
        "",
        (".reg .v4 .u32 %v; mov.v4.u32 %v, {1,2,3,4}; st.global.v4.u32 [%o], %v; mov.u32 %r1, %v.y;"
        "st.global.u32 [%o+16], %r1; ld.global.v4.u32 %v, [%o]; st.global.u32 [%o+20], %v.w; st.global.u32 [%o+24], %v.b;"
        "mov.v4.u32 %v, {%v.w, %v.z, %v.y, %v.x}; st.global.v4.u32 [%o+32], %v; mov.v4.u32 %v, %ntid; st.global.v4.u32 [%o+48], %v;"),
        [1, 2, 3, 4, 2, 4, 3, 0, 4, 3, 2, 1, 3, 1, 1, 0],
    ),
    "register parameters": (
        ".func (.reg .u32 %res) f (.reg .u32 %a, .reg .u32 %b) { .reg .pred %p; mul.lo.u32 %res, %a, %b; setp.gt.u32 %p, %a, 20; @%p ret; add.u32 %res, %res, 1; ret; }",
        "mov.u32 %r1, 20; call (%r2), f, (%r1, 3); st.global.u32 [%o], %r2; call (%r2), f, (21, %r2); st.global.u32 [%o+4], %r2;",
        [61, 1281],
    ),
    "structures as parameters": (
        ".func (.param .b32 r) f (.param .b32 a, .param .align 8 .b8 s[16]) { .reg .u32 %x, %y, %z; ld.param.u32 %x, [a]; ld.param.u32 %y, [s]; ld.param.u32 %z, [s+12]; mad.lo.u32 %x, %x, %z, %y; st.param.b32 [r], %x; ret; }",
        "{ .param .b32 a0; .param .align 8 .b8 s[16]; .param .b32 r0; st.param.b32 [a0], 7; st.param.b32 [s], 1; st.param.b32 [s+12], 2; call (r0), f, (a0, s); ld.param.b32 %r1, [r0]; } st.global.u32 [%o], %r1;",
        [15],
    ),
    "calls through a prototype": (
        _ADD.format(n=1),
        "mov.u64 %d1, add1; " + _CALL.format(label="proto", table=".callprototype (.param .b32 _) _ (.param .b32 _)"),
        [8],
    ),
    "calls through a table": (
        _ADD.format(n=1) + _ADD.format(n=2) + ".global .u64 tab[2] = {add1, add2};",
        "ld.global.u64 %d1, [tab+8]; " + _CALL.format(label="targets", table=".calltargets add1, add2"),
        [9],
    ),
    "calls through an alias": (
        _ADD.format(n=4) + ".func (.param .b32 r) other (.param .b32 a);\n.alias other, add4;",
        "{ .param .b32 a0; .param .b32 r0; st.param.b32 [a0], 7; call (r0), other, (a0); ld.param.b32 %r1, [r0]; } st.global.u32 [%o], %r1;",
        [11],
    ),
    "branch tables": (
        "",
        ("mov.u32 %r1, %tid.x; ts: .branchtargets L0, L1, L2; brx.idx %r1, ts; L0: st.global.u32 [%o], 10; bra E;"
        "L1: st.global.u32 [%o+4], 11; bra E; L2: st.global.u32 [%o+8], 12; E:"),
        [10, 11, 12],
    ),
    "initial values": (
        (".global .u32 a[4] = {1, 2, 1+2};\n.global .u64 p = a;\n.const .f32 c[2] = {0f3f800000, 0f40000000};\n"
        ".global .u64 q = generic(a)+8;\n.global .align 4 .b8 m[2][4] = {{1,2},{5,6,7,8}};\n.global .v4 .u32 v = {3, -1, 5, 6};"),
        ("ld.global.u32 %r1, [a+4]; st.global.u32 [%o], %r1; ld.global.u64 %d1, [p]; ld.global.u32 %r1, [%d1]; st.global.u32 [%o+4], %r1;"
        "ld.const.f32 %f1, [c+4]; st.global.f32 [%o+8], %f1; ld.global.u64 %d1, [q]; ld.global.u32 %r1, [%d1]; st.global.u32 [%o+12], %r1;"
        "ld.global.u8 %r1, [m+5]; st.global.u32 [%o+16], %r1; ld.global.u32 %r1, [a+12]; st.global.u32 [%o+20], %r1;"
        "ld.global.u8 %r1, [m+2]; st.global.u32 [%o+24], %r1; ld.global.u32 %r1, [v+4]; st.global.u32 [%o+28], %r1;"),
        [2, 1, 0x40000000, 3, 6, 0, 0, -1],
    ),
    "bytes of addresses": (
        ".global .u32 foo[4] = {0, 0, 42, 0};\n.global .align 8 .u8 b[8] = {0xff(foo), 0xff00(foo), 0xff0000(foo), 0xff000000(foo), 0xff00000000(foo), 0xff0000000000(foo), 0xff000000000000(foo), 0xff00000000000000(foo)};",
        "ld.global.u64 %d1, [b]; ld.global.u32 %r1, [%d1+8]; st.global.u32 [%o], %r1;",
        [42],
    ),
    "scopes": (
        "",
        "{ .reg .u32 %r1; mov.u32 %r1, 4; { .reg .u32 %r1; mov.u32 %r1, 9; } st.global.u32 [%o], %r1; }",
        [4],
    ),
    "external shared memory": (
        ".extern .shared .align 16 .b8 sm[];",
        "st.shared.u32 [sm], 6; ld.shared.u32 %r1, [sm]; st.global.u32 [%o], %r1; mov.u32 %r2, sm; mov.u64 %d1, sm;",
        [6],
    ),
    "local variables": (
        "",
        (".local .align 8 .b8 a[16]; mov.u64 %d1, a; cvta.local.u64 %d2, %d1; st.u32 [%d2+4], 77; ld.local.u32 %r1, [%d1+4];"
        "st.global.u32 [%o], %r1; ld.local.u32 %r2, [a+4]; st.global.u32 [%o+4], %r2;"),
        [77, 77],
    ),
    "constants through registers": (
        ".const .align 8 .u32 tab[4] = {5,6,7,8};",
        "mov.u64 %d1, tab; ld.const.u32 %r1, [%d1+4]; st.global.u32 [%o], %r1; ld.const.v2.u32 {%r2,%r3}, [tab+8]; st.global.u32 [%o+4], %r3;",
        [6, 8],
    ),
    "128 bits": (
        "",
        (".reg .b128 %q, %z; mov.b64 %d1, 0x0000000200000001; mov.b64 %d2, 0x0000000400000003; mov.b128 %q, {%d1, %d2};"
        "mov.b128 %z, %q; st.global.b128 [%o], %z; ld.global.b128 %q, [%o]; mov.b128 {%d3, %d4}, %q; st.global.u64 [%o+16], %d4;"),
        [1, 2, 3, 4, 3, 4],
    ),
    "two predicates": (
        "",
        "mov.u32 %r1, %tid.x; setp.eq.u32 %p1|%p2, %r1, 0; @%p1 st.global.u32 [%o], 1; @%p2 st.global.u32 [%o+4], 2; @!%p1 st.global.u32 [%o+8], 3;",
        [1, 2, 3],
    ),
    "stack": (
        "",
        ("mov.u64 %d2, 24; stacksave.u64 %d3; alloca.u64 %d1, %d2; alloca.u64 %d4, %d2, 64; mov.u32 %r3, %tid.x; add.u32 %r3, %r3, 5;"
        "st.local.u32 [%d1+20], %r3; st.local.u32 [%d4], 9; ld.local.u32 %r1, [%d1+20]; stackrestore.u64 %d3; alloca.u64 %d5, %d2;"
        "sub.u64 %d5, %d5, %d1; st.global.u64 [%o], %d5; and.b64 %d4, %d4, 63; st.global.u64 [%o+8], %d4; mov.u32 %r4, %tid.x;"
        "mad.wide.u32 %d1, %r4, 4, %o; st.global.u32 [%d1+16], %r1;"),
        [0, 0, 0, 0, 5, 6, 7],
    ),
    "pending arrivals": (
        "",
        (
            ".shared .align 8 .b64 bar; mov.u32 %r1, bar; mov.u32 %r3, %tid.x; setp.eq.u32 %p1, %r3, 0;"
            "@%p1 mbarrier.init.shared.b64 [%r1], 5; bar.sync 0; @!%p1 bra E; mbarrier.arrive.shared.b64 %d1, [%r1];"
            "mbarrier.pending_count.b64 %r2, %d1; st.global.u32 [%o], %r2; mbarrier.arrive.noComplete.shared.b64 %d1, [%r1], 2;"
            "mbarrier.pending_count.b64 %r2, %d1; st.global.u32 [%o+4], %r2; mbarrier.arrive_drop.shared.b64 %d1, [%r1];"
            "mbarrier.pending_count.b64 %r2, %d1; st.global.u32 [%o+8], %r2; mbarrier.arrive.shared.b64 %d1, [%r1];"
            "mbarrier.arrive.shared.b64 %d1, [%r1]; mbarrier.pending_count.b64 %r2, %d1; st.global.u32 [%o+12], %r2; E:"
        ),
        [5, 4, 2, 4],
    ),
    "directives": (
        ".weak .global .u32 w1; .visible .global .u32 w2; .common .global .u32 w3; .extern .global .u32 ex;",
        "st.global.u32 [%o], 1; .pragma \"nounroll\";\n.loc 1 3 4\n",
        [1],
    ),
    "debug sections": (
        ".section .debug_str { info_string0:\n.b8 65,0\n}\n.section .debug_info\n{\n.b32 .debug_str\n.b8 1\n.b64 .debug_str+4\n}\n",
        "st.global.u32 [%o], 1;",
        [1],
    ),
}  # fmt: skip


def program(before: str, body: str, directives: str = "") -> str:
    return f"""{HEAD}{before}
.visible .entry k(.param .u64 .ptr .global .align 16 o) {directives} {{
  .reg .u64 %o; .reg .u32 %r<20>; .reg .f32 %f<10>; .reg .b64 %d<10>; .reg .pred %p<4>;
  ld.param.u64 %o, [o];
{body}
  ret;
}}"""


@pytest.mark.parametrize("name", CASES)
def test_language(run_ptx: Any, name: str) -> None:
    before, body, want = CASES[name]
    out = np.full(32, 0, np.int32)
    run_ptx(program(before, body), "k", 1, 3, [out], shared=64)
    assert out[: len(want)].tolist() == want


def test_alloca_beyond_the_stack_is_a_fault() -> None:
    text = program("", "mov.u64 %d2, 1000000; alloca.u64 %d1, %d2;")
    with pytest.raises(vm.Fault, match="stack"):
        vm.run(text, "k", 1, 3, [np.zeros(4, np.int32)])


@pytest.mark.parametrize(
    ("directives", "block", "message"),
    [
        (".reqntid 64", 32, "requires blocks"),
        (".reqntid 8, 4", 32, "requires blocks"),
        (".maxntid 16, 1, 1 .minnctapersm 2", 32, "at most 16 threads"),
    ],
)
def test_blocks_that_a_directive_forbids(directives: str, block: int, message: str) -> None:
    text = program("", "st.global.u32 [%o], 1;", directives)
    with pytest.raises(vm.Fault, match=message):
        vm.run(text, "k", 1, block, [np.zeros(4, np.int32)])


HAND = """
.version 8.3
.target sm_90
.address_size 64
.func (.reg .b32 lo, .reg .b32 hi) multiply (.reg .b32 a, .reg .b32 b)
{ .reg .b64 %w; mul.wide.u32 %w, a, b; mov.b64 {lo, hi}, %w; ret.uni; }
.visible .entry k (.param .u64 o)
{ .reg .b32 %r<9>; .reg .b64 %d<9>; .reg .pred %p;
  ld.param.u64 %d0, [o]; mov.u32 %r0, %tid.x; mad.wide.u32 %d0, %r0, 8, %d0;
  setp.lt.u32 %p, %r0, 9; mov.u32 %r5, 0;
  @%p call (%r4, %r5), multiply, (%r0, 0xFFFFFFFF);
  @%p st.global.v2.u32 [%d0], {%r4, %r5};
  rem.u32 %r6, %r0, 3;
  ret; }"""


def test_registers_that_a_call_returns_into_are_written() -> None:
    o = np.zeros((40, 2), "u4")
    report = vm.run(HAND, "k", 1, 40, [o])
    i = np.arange(9, dtype="u8") * 0xFFFFFFFF
    np.testing.assert_array_equal(o[:9], np.stack([i & 0xFFFFFFFF, i >> 32], 1))
    assert not o[9:].any() and report.warnings == []


def test_registers_of_a_wrong_width_are_a_fault_with_its_line() -> None:
    text = HAND.replace("rem.u32 %r6, %r0, 3", "rem.u32 %d6, %r0, 3")
    with pytest.raises(vm.Fault, match=r"rem\.u32 does not fit the widths") as caught:
        vm.run(text, "k", 1, 40, [np.zeros((40, 2), "u4")])
    assert caught.value.line == 13


def test_a_text_that_ends_early_says_so_and_names_its_line() -> None:
    with pytest.raises(vm.Fault, match="ends early") as caught:
        vm.run(HAND[:-1], "k", 1, 40, [np.zeros((40, 2), "u4")])
    assert caught.value.kind == "syntax" and caught.value.line == 14


def test_a_stray_character_is_a_fault_with_its_line() -> None:
    with pytest.raises(vm.Fault, match="unexpected character '`'") as caught:
        vm.run(HAND.replace("ret; }", "ret; ` }"), "k", 1, 40, [np.zeros((40, 2), "u4")])
    assert caught.value.kind == "syntax" and caught.value.line == 14


def test_a_report_without_checks_says_so() -> None:
    o = np.zeros((40, 2), "u4")
    assert 'unchecked (checks="off")' in str(vm.run(HAND, "k", 1, 40, [o], checks="off"))
    assert "unchecked" not in str(vm.run(HAND, "k", 1, 40, [o]))
