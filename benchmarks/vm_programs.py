"""The programs whose speed on the virtual machine is measured, as PTX and CUDA texts.

The arithmetic programs repeat one instruction on registers with ordinary values, so that what is
measured is the instruction: 64 of them per turn of the loop, plus its three.
"""

from __future__ import annotations

ARITHMETIC = {
    "add.f32": "add.f32 %f{d}, %f{a}, %f{b};",
    "mul.f32": "mul.f32 %f{d}, %f{a}, %f{b};",
    "fma.rn.f32": "fma.rn.f32 %f{d}, %f{a}, %f{b}, %f{c};",
    "fma.rn.ftz.f32": "fma.rn.ftz.f32 %f{d}, %f{a}, %f{b}, %f{c};",
    "max.f32": "max.f32 %f{d}, %f{a}, %f{b};",
    "neg.f32": "neg.f32 %f{d}, %f{a};",
    "ex2.approx.ftz.f32": "ex2.approx.ftz.f32 %f{d}, %f{a};",
    "rcp.approx.ftz.f32": "rcp.approx.ftz.f32 %f{d}, %f{a};",
    "add.f64": "add.f64 %e{d}, %e{a}, %e{b};",
    "fma.rn.f64": "fma.rn.f64 %e{d}, %e{a}, %e{b}, %e{c};",
    "add.f16x2": "add.f16x2 %h{d}, %h{a}, %h{b};",
    "fma.rn.f16x2": "fma.rn.f16x2 %h{d}, %h{a}, %h{b}, %h{c};",
    "mul.bf16x2": "mul.bf16x2 %g{d}, %g{a}, %g{b};",
    "fma.rn.bf16x2": "fma.rn.bf16x2 %g{d}, %g{a}, %g{b}, %g{c};",
    "add.s32": "add.s32 %r{d}, %r{a}, %r{b};",
    "mul.lo.s32": "mul.lo.s32 %r{d}, %r{a}, %r{b};",
    "mad.lo.s32": "mad.lo.s32 %r{d}, %r{a}, %r{b}, %r{c};",
    "mul.wide.u32": "mul.wide.u32 %l{d}, %r{a}, %r{b};",
    "mad.wide.s32": "mad.wide.s32 %l{d}, %r{a}, %r{b}, %l{c};",
    "mul.hi.u32": "mul.hi.u32 %r{d}, %r{a}, %r{b};",
    "add.s64": "add.s64 %l{d}, %l{a}, %l{b};",
    "min.s32": "min.s32 %r{d}, %r{a}, %r{b};",
    "and.b32": "and.b32 %r{d}, %r{a}, %r{b};",
    "shl.b32": "shl.b32 %r{d}, %r{a}, 3;",
    "shr.u32": "shr.u32 %r{d}, %r{a}, %r3;",
    "lop3.b32": "lop3.b32 %r{d}, %r{a}, %r{b}, %r{c}, 0x96;",
    "prmt.b32": "prmt.b32 %r{d}, %r{a}, %r{b}, 0x5410;",
    "bfe.u32": "bfe.u32 %r{d}, %r{a}, 4, 7;",
    "shf.l.wrap.b32": "shf.l.wrap.b32 %r{d}, %r{a}, %r{b}, 5;",
    "mov.b32": "mov.b32 %r{d}, %r{a};",
    "mov.b32 {b16, b16}": "mov.b32 %r{d}, {{%s{a}, %s{b}}};",
    "mov.b64 {b32, b32}": "mov.b64 {{%r{d}, %r{e}}}, %l{a};",
    "setp.lt.s32": "setp.lt.s32 %q{d}, %r{a}, %r{b};",
    "setp.gt.f32": "setp.gt.f32 %q{d}, %f{a}, %f{b};",
    "setp.ne.f32": "setp.ne.f32 %q{d}, %f{a}, %f{b};",
    "setp.lt.and.s32": "setp.lt.and.s32 %q{d}, %r{a}, %r{b}, %q{a};",
    "selp.b32": "selp.b32 %r{d}, %r{a}, %r{b}, %q{c};",
    "@p mov.b32": "@%q{c} mov.b32 %r{d}, %r{a};",
    "cvt.rn.f32.s32": "cvt.rn.f32.s32 %f{d}, %r{a};",
    "cvt.rzi.s32.f32": "cvt.rzi.s32.f32 %r{d}, %f{a};",
    "cvt.s64.s32": "cvt.s64.s32 %l{d}, %r{a};",
    "cvt.u32.u64": "cvt.u32.u64 %r{d}, %l{a};",
    "cvt.f32.f16": "cvt.f32.f16 %f{d}, %s{a};",
    "cvt.rn.f16.f32": "cvt.rn.f16.f32 %s{d}, %f{a};",
    "cvt.f32.bf16": "cvt.f32.bf16 %f{d}, %t{a};",
    "cvt.rn.bf16.f32": "cvt.rn.bf16.f32 %t{d}, %f{a};",
    "cvt.rn.f16x2.f32": "cvt.rn.f16x2.f32 %h{d}, %f{a}, %f{b};",
    "cvt.rn.bf16x2.f32": "cvt.rn.bf16x2.f32 %g{d}, %f{a}, %f{b};",
    "cvt.rn.satfinite.e4m3x2.f32": "cvt.rn.satfinite.e4m3x2.f32 %s{d}, %f{a}, %f{b};",
    "cvt.rn.f16x2.e4m3x2": "cvt.rn.f16x2.e4m3x2 %h{d}, %u{a};",
}
"""By name: the instruction; `a`, `b`, `c` stand for sources, `d` (and `e`) for destinations."""

MATRIX = {
    "mma.m16n8k16.bf16": (
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{{%f{d}, %f{e}, %f{x}, %f{y}}}, {{%g0, %g1, %g2, %g3}}, {{%g{a}, %g{b}}}, "
        "{{%f{d}, %f{e}, %f{x}, %f{y}}};"
    ),
    "mma.m16n8k16.f16": (
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
        "{{%f{d}, %f{e}, %f{x}, %f{y}}}, {{%h0, %h1, %h2, %h3}}, {{%h{a}, %h{b}}}, "
        "{{%f{d}, %f{e}, %f{x}, %f{y}}};"
    ),
    "mma.m16n8k8.tf32": (
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
        "{{%f{d}, %f{e}, %f{x}, %f{y}}}, {{%r0, %r1, %r2, %r3}}, {{%r{a}, %r{b}}}, "
        "{{%f{d}, %f{e}, %f{x}, %f{y}}};"
    ),
    "mma.m16n8k32.s8": (
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
        "{{%r{d}, %r{e}, %r{x}, %r{y}}}, {{%r0, %r1, %r2, %r3}}, {{%r{a}, %r{b}}}, "
        "{{%r{d}, %r{e}, %r{x}, %r{y}}};"
    ),
}
"""By name: the instruction; `a` and `b` stand for B, `d`, `e`, `x`, `y` for the accumulator."""

_REPEATED = """.version 8.6
.target sm_90
.address_size 64
.visible .entry repeated(.param .u64 floats, .param .u64 integers, .param .u32 turns) {{
  .reg .f32 %f<48>; .reg .f64 %e<48>; .reg .b32 %r<48>; .reg .b64 %l<48>; .reg .pred %q<48>;
  .reg .b32 %h<48>, %g<48>; .reg .b16 %s<48>, %t<48>, %u<48>;
  .reg .b32 %lane, %left; .reg .b64 %at, %p; .reg .pred %again;
  mov.u32 %lane, %tid.x;
  ld.param.u64 %p, [floats];
  mad.wide.u32 %at, %lane, 32, %p;
{floats}
  ld.param.u64 %p, [integers];
  mad.wide.u32 %at, %lane, 32, %p;
{integers}
  mov.b32 %r3, 3;
  ld.param.u32 %left, [turns];
LOOP:
{body}
  sub.s32 %left, %left, 1;
  setp.ne.s32 %again, %left, 0;
  @%again bra LOOP;
  ret;
}}
"""
_FLOATS = """  ld.global.f32 %f{i}, [%at+{at}];
  cvt.f64.f32 %e{i}, %f{i};
  cvt.rn.f16.f32 %s{i}, %f{i};
  cvt.rn.bf16.f32 %t{i}, %f{i};
  cvt.rn.f16x2.f32 %h{i}, %f{i}, %f{i};
  cvt.rn.bf16x2.f32 %g{i}, %f{i}, %f{i};
  cvt.rn.satfinite.e4m3x2.f32 %u{i}, %f{i}, %f{i};"""
_INTEGERS = """  ld.global.b32 %r{i}, [%at+{at}];
  cvt.s64.s32 %l{i}, %r{i};
  setp.gt.s32 %q{i}, %r{i}, 0;"""


def repeated(instruction: str, copies: int = 64) -> str:
    """The program `repeated(floats, integers, turns)` around copies of one instruction."""
    body = []
    for i in range(copies):
        places = {"a": i % 8, "b": (i + 1) % 8, "c": (i + 2) % 8}
        results = {"d": 8 + i % 8, "e": 16 + i % 8, "x": 24 + i % 8, "y": 32 + i % 8}
        body.append("  " + instruction.format(**places, **results))
    return _REPEATED.format(
        floats="\n".join(_FLOATS.format(i=i, at=4 * i) for i in range(8)),
        integers="\n".join(_INTEGERS.format(i=i, at=4 * i) for i in range(8)),
        body="\n".join(body),
    )


STORES = """.version 8.6
.target sm_90
.address_size 64
.shared .align 16 .b8 tile[32768];
.visible .entry stores(.param .u32 turns) {
  .reg .b32 %lane, %at, %left, %v<4>; .reg .pred %again;
  mov.u32 %lane, %tid.x;
  mov.b32 %at, tile;
  mad.lo.s32 %at, %lane, 16, %at;
  mov.b32 %v0, 1; mov.b32 %v1, 2; mov.b32 %v2, 3; mov.b32 %v3, 4;
  ld.param.u32 %left, [turns];
LOOP:
BODY
  sub.s32 %left, %left, 1;
  setp.ne.s32 %again, %left, 0;
  @%again bra LOOP;
  ret;
}
""".replace("BODY", "\n".join(["  st.shared.v4.b32 [%at], {%v0, %v1, %v2, %v3};"] * 16))
"""Every lane stores 16 bytes to a place of its own, 16 times per turn."""
