"""Texts in which every instruction occurs; families are spelled out from the registry.

A new instruction without a sample fails `test_printer.test_every_instruction_has_a_sample`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tilewright.ir.instruction import REGISTRY, Instruction
from tilewright.ir.instructions.atomic import Atomic
from tilewright.ir.instructions.elementwise import BITWISE, INTEGER_UNARY, Binary, Compare, Unary
from tilewright.ir.instructions.reduce import Reduce
from tilewright.ir.kernel import Kernel
from tilewright.ir.parser import parse_kernel

LAYOUTS = """\
layout #0 = [8, 4]{8:4@lane, 4:1@lane}
layout #1 = [8, 4]{8:1@lane, 4:1@reg}
layout #2 = [8, 16]{8:4@lane, 4:1@lane 4:1@reg | bits 8}
layout #3 = [8, 4]{8:4@addr, 4:1@addr}
layout #5 = [4, 2]{4:4@addr, 2:1@addr | at 18@addr}
layout #4 = [64, 8]{4:1@warp 16:1@lane, 8:1@reg}
"""
PARAMS = """\
%t: tensor<f32, strides=[x16B, 1], extents=[x16, any], aligned>, %n: tensor<i32, strides=[1], \
extents=[any]>, %p: tensor<u4, strides=[], extents=[], packing=wgmma>, \
%w: tensor<u4, strides=[any, 1], extents=[any, any]>, %i: i32, %b: bool, %f: f32, \
%x: tile<[8, 4], f32, #0>, %m: tile<[8, 4], i32>, %c: tile<[8, 4], bool>, %rows: tile<[8], i32>"""

BODIES: dict[str, str] = {
    "memory": """\
  %1: tile<[8, 4], f32> = load %t, [%i, %i], shape=[8, 4]
  %2: tile<[8, 4], f32> = load %t, [%rows, %i], other=%f, shape=[8, 4], \
bounds=[true, false], vector=4
  store %t, [%i, %i], %1, bounds=[false, true]
  %3: tile<[8, 4], f32> = gather %t, [%m, %m], mask=%c, other=%f
  scatter %t, [%m, %m], %3, mask=%c
  %4: f32 = element %t, [%i, %i]
  element.store %t, [%i, %i], %4
  %5: tensor<f32, strides=[x16B, 1], extents=[any, any]> = rows %t, %i, %i
  %6: tensor<f32, strides=[1], extents=[any], aligned> = subview %t, %i
  %7: tensor<u8, strides=[any, 1], extents=[any, any]> = bytes %w
  signal %n, [%i], %i
  signal.wait %n, [%i], %i
  print [%i, %x], text="{} \\"quoted\\" {}"
  check %b, text="stays below 2^31"
  assume %b
""",
    "scalars": """\
  %1: i32 = const value=-7, dtype=i32
  %2: f32 = const value=1e-30, dtype=f32
  %3: f32 = const value=-inf, dtype=f32
  %4: f32 = const value=nan, dtype=f32
  %5: bool = const value=true, dtype=bool
  %6: i64 = extent %t, axis=1, dtype=i64
  %7: i32 = stride %t, axis=0, dtype=i32
""",
    "shapes": """\
  %1: tile<[8, 4], f32> = full %f, shape=[8, 4]
  %2: tile<[8], i32> = arange %i, size=8
  %3: tile<[8, 1], f32> = slice %1, start=[0, 3], shape=[8, 1]
  %4: tile<[8, 4], f32> = broadcast %3, shape=[8, 4]
  %5: tile<[32], f32> = reshape %4, shape=[32]
  %6: tile<[4, 8], f32> = transpose %4, axes=[1, 0]
  %7: tile<[1], f32> = slice %5, start=[31], shape=[1]
  %8: f32 = item %7
  %9: tile<[8, 16], u8, #2> = view %x, dtype=u8, layout=#2
  %10: tile<[8, 4], f32, #1> = convert %x, layout=#1
  %11: tile<[8, 4], f32> = fma %1, %1, %4
  %12: tile<[8, 4], f32> = select %c, %1, %4
  %13: tile<[8, 4], f6_e3m2> = cast %12, dtype=f6_e3m2
  %14: tile<[64, 8], f32, #4> = full %f, shape=[64, 8]
  %15: tile<[4, 8], f32> = reduce.parts %14, combine="sum", axis=0
""",
    "products": """\
  %1: tile<[4, 8], f32> = transpose %x, axes=[1, 0]
  %2: tile<[8, 8], f32> = full %f, shape=[8, 8]
  %3: tile<[8, 8], f32> = mma %x, %1, %2, precision="tf32", atom="simt", warp_grid=[1, 1]
  %4: pending<[8, 8], f32>, %5: token = mma.async %x, %1, %3, atom="wgmma"
  %6: pending<[8, 8], f32>, %7: token = mma.async %x, %1, %4
  %8: tile<[8, 8], f32> = wait [%5, %7], [%6]
  %9: tile<[4, 8], u4> = cast %1, dtype=u4
  %10: tile<[2, 8], f32> = slice %1, start=[0, 0], shape=[2, 8]
  %11: tile<[8, 8], f32> = mma.scaled %x, %9, %10, %8, zero=%10
  %12: pending<[8, 8], f32> = pend %11
""",
    "copies": """\
  %s: buffer<[2, 8, 4], f32> = buffer shape=[2, 8, 4], dtype=f32
  %q: buffer<[8, 4], f32, #3> = buffer shape=[8, 4], dtype=f32, layout=#3, offset=1024
  %1: buffer<[8, 4], f32> = buffer.at %s, [%i]
  %2: buffer<[4, 2], f32, #5> = buffer.part %q, start=[4, 2], shape=[4, 2]
  %9: buffer<[2, 4], f32> = buffer.block %1, %i, axis=0, size=2
  %3: buffer<[4, 8], f32> = buffer.transpose %1, axes=[1, 0]
  %4: tile<[4, 2], f32> = buffer.load %2
  buffer.store %q, %x
  %full: barrier<2, 33> = barrier size=2, count=33, offset=2048
  barrier.arrive %full, %i, expect=128
  %6: token = copy %t, [%rows, %i], %q, when=%b, width=16
  %5: token = copy %t, [%i, %i], %1, barrier=%full, slot=%i, path="tma", bounds=[true, true]
  barrier.arrive %full, %i, after=%6, arrivals=32
  barrier.wait %full, %i, %i
  %7: token = copy.out %q, %t, [%i, %i], path="bulk", reduce="add"
  %8: token = commit [%6, %7]
  %9: token = token.done
  wait [%8, %9], [], groups=1, reads_only=true
  sync scope="warp", barrier_id=3
  fence proxy="tensormap"
  named.sync number=1, warps=8
  named.arrive number=2, warps=8
""",
    "control": """\
  for_tiles [%i, %i], order="grouped", persistent=true (%u: i32, %v: i32) {
    %1: f32, %2: i32 = for %i, %u, %v, [%f, %i], stages=3, exactly=true, \
unroll=2 (%k: i32, %y: f32, %z: i32) {
      if %b {
        break [%y, %z]
      } {
        yield []
      }
      %3: f32 = if %b {
        yield [%y]
      } {
        continue [%y, %k]
      }
      yield [%3, %k]
    }
    %4: f32 = while [%1] (%g: f32) {
      condition %b
    } (%h: f32) {
      yield [%h]
    }
    roles names=["load", "math"], warps=[4, 4], registers=[24, 240] {
      yield []
    } {
      yield []
    }
    yield []
  }
""",
}


def _family_lines() -> Iterator[str]:
    """One line for every mnemonic of a family, on types that it accepts."""
    for mnemonic, (cls, op) in REGISTRY.items():
        if op is None:
            continue
        whole = "[8, 4]"
        if cls is Unary:
            value, kind = ("%m", "i32") if op in INTEGER_UNARY else ("%x", "f32")
            yield f"tile<{whole}, {kind}> = {mnemonic} {value}"
        elif cls is Binary:
            value, kind = ("%m", "i32") if op in BITWISE else ("%x", "f32")
            yield f"tile<{whole}, {kind}> = {mnemonic} {value}, {value}"
        elif cls is Compare:
            yield f"tile<{whole}, bool> = {mnemonic} %m, %m"
        elif cls is Reduce:
            value, kind = ("%c", "bool") if op in ("any", "all") else ("%x", "f32")
            yield f"tile<[8, 1], {kind}> = {mnemonic} {value}, axis=1"
        elif cls is Atomic:
            yield f'i32 = {mnemonic} %n, [%i], %i, order="acq_rel"'
        else:
            raise AssertionError(f"the family {cls.name} has no sample")


def texts() -> dict[str, str]:
    """Every sample kernel by name."""
    families = "".join(f"  %{i}: {line}\n" for i, line in enumerate(_family_lines()))
    return {
        name: f"{LAYOUTS}kernel @{name}({PARAMS}), phase=scheduled {{\n{body}  yield []\n}}\n"
        for name, body in (BODIES | {"families": families}).items()
    }


def kernels() -> dict[str, Kernel]:
    """Every sample, parsed."""
    return {name: parse_kernel(text, name) for name, text in texts().items()}


def instructions() -> Iterator[Instruction]:
    """Every instruction of every sample."""
    for kernel in kernels().values():
        yield from kernel.walk()
