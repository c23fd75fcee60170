"""Every form of the instruction table binds, and the list of forms here (forms.txt) covers the table.

NVIDIA's assembler takes every line of the list. `<a|b>` is a choice; `x1` is a register of the instruction's last
type, `w1` one of twice its width, `[@]` an address in the space that the instruction names.
"""

# ruff: noqa: E501  (lines of PTX stay whole)

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tilewright.runtime import vm
from tilewright.runtime.vm.isa import forms, is_type
from tilewright.runtime.vm.records import BITS
from tilewright.runtime.vm.survey import survey

CLASSES = {"f32": "f", "f64": "g", "pred": "p", "b128": "q"}
WIDER = {"h": "r", "r": "d"}
_CHOICE = re.compile(r"<([^<>]*)>")
_REGISTER = re.compile(r"(?<![.%\w])([hrdfgpq]\d+)\b")
CONTROL = {"bra", "brx", "call"}
"""Opcodes whose operands are labels and functions: test_language has them."""


def expand(line: str) -> list[str]:
    """All instructions that a line with choices stands for."""
    match = _CHOICE.search(line)
    if match is None:
        return [line]
    before, after = line[: match.start()], line[match.end() :]
    return [text for choice in match[1].split("|") for text in expand(before + choice + after)]


def register_class(opcode: str) -> str:
    """The letter of the registers that hold the last type of an instruction."""
    kind = next((m for m in reversed(opcode.split(".")) if is_type(m)), "b32")
    if kind in CLASSES:
        return CLASSES[kind]
    bits = BITS.get(kind, 32)
    return {8: "h", 16: "h", 32: "r", 64: "d"}[bits]


def complete(line: str) -> str:
    """An instruction with real register names."""
    opcode, _, rest = line.partition(" ")
    letter = register_class(opcode)
    rest = re.sub(r"\bx(\d)", rf"{letter}\1", rest)
    rest = re.sub(r"\bw(\d)", rf"{WIDER.get(letter, letter)}\1", rest)
    place = "smem" if "shared" in opcode else "local_" if "local" in opcode else "d0"
    rest = rest.replace("[@]", f"[{place}]")
    named = _REGISTER.sub(lambda match: f"%{match[1]}", rest)
    return f"{opcode} {named};"


def instructions() -> list[str]:
    lines = Path(__file__).with_name("forms.txt").read_text().splitlines()
    return [complete(x) for line in lines if not line.startswith("#") for x in expand(line)]


def program(body: str) -> str:
    return f"""
.version 9.0
.target sm_90a
.address_size 64
.global .align 16 .b8 gvar[64];
.const .align 16 .b32 cvar[4] = {{1, 2, 3, 4}};
.shared .align 128 .b8 smem[4096];
.visible .entry k(.param .u64 pa, .param .u64 pb) {{
 .reg .b16 %h<10>; .reg .b32 %r<40>; .reg .b64 %d<30>; .reg .f32 %f<12>; .reg .f64 %g<9>; .reg .pred %p<8>; .reg .b128 %q<5>; .reg .b8 %b<5>;
 .local .align 16 .b8 local_[64];
{body}
 ret;
}}"""


def test_every_form_of_the_list_binds() -> None:
    text = program("\n".join(instructions()))
    (entry,) = survey(text)
    assert [str(item.message) for item in entry.unsupported] == []
    assert entry.instructions > 2000


def test_the_list_covers_the_table() -> None:
    named = [i.split(";")[0].split(" ")[0].split(".") for i in instructions()]
    seen = [
        (opcode, tuple(m for m in mods if not is_type(m)), tuple(m for m in mods if is_type(m)))
        for opcode, *mods in named
    ]
    for opcode, items in forms().items():
        if opcode in CONTROL:
            continue
        mine = [(words, types) for name, words, types in seen if name == opcode]
        for form in items:
            matching = [pair for pair in mine if form.matches(*pair)]
            assert matching, f"no instruction of the list is of the form {form}"
            for position, types in enumerate(form.types):
                missing = set(types) - {pair[1][position] for pair in matching}
                assert not missing, f"the list has no {missing} of {form}"


@pytest.mark.parametrize(("line", "message"), [
    ("add.frob.u32 x1, x2, x3", "add has no .frob"),
    ("mul.u32 x1, x2, x3", "no form of it is like this"),
    ("add.f32.f16 f1, h2, f3", "no form of it is like this"),
    ("add.rn.f32x2 d1, d2, d3", "sm_100"),
    ("tex.2d.v4.f32.f32 {f1,f2,f3,f4}, [d0, {f5,f6}]", "textures"),
    ("sust.b.1d.b32.trap [d0, {r1}], {r2}", "surfaces"),
    ("multimem.st.relaxed.sys.global.f32 [d0], f1", "several devices"),
    ("cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes [r20], [d0, {r1,r2,r3,r4}], [r21], {h1,h2}", "im2col"),
    ("tcgen05.wait::ld.sync.aligned", "sm_100"),
    ("frobnicate.u32 x1", "instruction frobnicate.u32"),
])  # fmt: skip
def test_what_is_missing_names_the_opcode_and_the_line(line: str, message: str) -> None:
    text = program(complete(line))
    with pytest.raises(vm.Fault, match=message) as caught:
        vm.run(text, "k", 1, 32, [np.zeros(64, np.uint32), np.zeros(4, np.uint32)])
    fault = caught.value
    assert fault.kind == "unsupported" and fault.place is not None
    assert complete(line) in text.splitlines()[fault.place.line - 1]
