"""Programs that load registers from memory, run something on them, and store registers."""

# ruff: noqa: E501  (lines of PTX stay whole)

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

HEAD = ".version 9.0\n.target sm_90a\n.address_size 64\n"


def vector(letter: str, count: int) -> str:
    """`{%x0, %x1, …}`."""
    return "{" + ", ".join(f"%{letter}{i}" for i in range(count)) + "}"


def program(body: str, inputs: Sequence[tuple[str, int, int]], output: tuple[str, int, int]) -> str:
    """Runs `body`; inputs and output are (letter, registers, bits each), in memory (warp, register, lane)."""
    lines, params = [], []
    for index, (letter, count, bits) in enumerate([*inputs, output]):
        is_output = index == len(inputs)
        params.append(f".param .u64 p{index}")
        lines.append(f".reg .b{bits} %{letter}<{count}>;")
        size = 32 * bits // 8
        move = (
            f"ld.param.u64 %q, [p{index}]; mad.wide.u32 %q, %w, {count * size}, %q; "
            f"mad.wide.u32 %q, %l, {bits // 8}, %q;\n"
        )
        for i in range(count):
            place = f"[%q+{i * size}]"
            register = f"%{letter}{i}"
            move += (
                f"st.global.b{bits} {place}, {register};\n"
                if is_output
                else f"ld.global.b{bits} {register}, {place};\n"
            )
        lines.append(body + "\n" + move if is_output else move)
    return f"""{HEAD}.visible .entry k({", ".join(params)}) {{
  .reg .u64 %q; .reg .u32 %t, %w, %l;
  mov.u32 %t, %tid.x; shr.u32 %w, %t, 5; and.b32 %l, %t, 31;
  {chr(10).join(lines)}
  ret;
}}"""


def pack(
    matrices: np.ndarray, places: Sequence[Sequence[tuple[int, int]]], bits: int
) -> np.ndarray:
    """Element codes (warps, rows, columns) to registers (warps, registers, lanes); `places[lane][i]`."""
    wide = max(bits, 32)
    per = wide // bits
    count = len(places[0])
    registers = np.zeros((len(matrices), count // per, 32), f"u{wide // 8}")
    for lane in range(32):
        for i, (row, column) in enumerate(places[lane]):
            code = matrices[:, row, column].astype(registers.dtype)
            registers[:, i // per, lane] |= code << registers.dtype.type(i % per * bits)
    return registers
