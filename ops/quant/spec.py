"""How a weight is quantized: one record for every format, with a text form.

    value[n, k] = (number(code[n, k]) - zero[n, g]) * scale[n, g],   g = k // group

A format is a row of `ir.types`: unsigned or signed integers, small floats and codebooks of 1 to 8
bits. `zero` says where the origin lies: "none" (numbers as they are), "mid" (unsigned codes less
half their range: symmetric), or "group" (an integer zero point per group: asymmetric).

    QSpec()                              u4 group=128 zero=group scale=bf16
    QSpec("i4", group=64)                i4 group=64 zero=none scale=bf16
    QSpec("f6_e3m2", scale="f32")        f6e3m2 group=128 zero=none scale=f32

The text is what operators and checkpoints carry; `QSpec.parse` is its inverse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, cached_property

import torch

from tilewright.ir.types import DType, parse_dtype
from tilewright.runtime.errors import LaunchError

UNIT_K = 8
"""Codes per unit of the device order: groups are whole units."""

SCALE_DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
_KINDS = ("uint", "int", "float", "codebook")
_TEXT = re.compile(r"(.+?)((?: (?:group|zero|scale)=\w+)*)")


@dataclass(frozen=True)
class QSpec:
    """dtype of the codes, codes per scale along K, kind of zero point, dtype of the scales.

    `zero` is "group" for unsigned codes and "none" for all others unless given. Raises
    `LaunchError` naming the field that does not fit.
    """

    dtype: str = "u4"
    group: int = 128
    zero: str = ""
    scale: str = "bf16"

    def __post_init__(self) -> None:
        code = _parse_code(self.dtype)
        object.__setattr__(self, "dtype", code.name)
        if not self.zero:
            object.__setattr__(self, "zero", "group" if code.kind == "uint" else "none")
        _check_fields(self, code)

    @cached_property
    def code(self) -> DType:
        """The type of one code."""
        return parse_dtype(self.dtype)

    @property
    def bits(self) -> int:
        return self.code.bits

    @property
    def scale_dtype(self) -> torch.dtype:
        return SCALE_DTYPES[self.scale]

    @property
    def midpoint(self) -> int:
        """The zero point that holds for all groups; 0 unless `zero` is "mid"."""
        return 1 << (self.bits - 1) if self.zero == "mid" else 0

    @property
    def has_zeros(self) -> bool:
        """Whether every group has a zero point of its own."""
        return self.zero == "group"

    def groups(self, k: int) -> int:
        """Groups of a row of `k` codes; the last one may be short."""
        return -(-k // self.group)

    @cached_property
    def text(self) -> str:
        """What `parse` reads."""
        return f"{self.dtype} group={self.group} zero={self.zero} scale={self.scale}"

    def __str__(self) -> str:
        return self.text

    @classmethod
    def parse(cls, text: str) -> QSpec:
        """The spec that prints as `text`; fields that it lacks take their defaults."""
        return _parse_spec(text)


def _parse_code(given: object) -> DType:
    text = str(given)
    try:
        code = parse_dtype(text)
    except ValueError as error:
        raise LaunchError(f"dtype of QSpec: {error}") from None
    if code.bits > 8 or code.kind not in _KINDS:
        raise LaunchError(
            f"dtype of QSpec is {text}: codes are integers, small floats or codebooks of 1 to 8 "
            "bits",
            'choose for example "u4", "i8", "f6_e3m2" or "nf4"',
        )
    return code


def _check_fields(spec: QSpec, code: DType) -> None:
    group = spec.group
    if not isinstance(group, int) or group < UNIT_K or group % UNIT_K:
        raise LaunchError(
            f"group of QSpec is {group!r}, want a positive multiple of {UNIT_K}",
            "group=32, 64 or 128; a group longer than a row gives one scale per row",
        )
    if spec.zero not in ("none", "mid", "group"):
        raise LaunchError(f"zero of QSpec is {spec.zero!r}", 'choose "none", "mid" or "group"')
    if spec.zero != "none" and code.kind != "uint":
        raise LaunchError(
            f"zero={spec.zero!r} wants unsigned integer codes, not {code.name}", 'zero="none"'
        )
    if spec.scale not in SCALE_DTYPES:
        raise LaunchError(f"scale of QSpec is {spec.scale!r}", f"choose {', '.join(SCALE_DTYPES)}")


@cache
def _parse_spec(text: str) -> QSpec:
    match = _TEXT.fullmatch(text)
    if match is None:
        raise LaunchError(f"{text!r} is no QSpec", f"write for example {str(QSpec())!r}")
    fields = dict(item.split("=") for item in match[2].split())
    group = fields.pop("group", "128")
    if not group.isdecimal():
        raise LaunchError(f"group={group} in {text!r} is no number", "group=128")
    return QSpec(match[1], int(group), **fields)
