"""PTX names the line of the user's source, however many lines an instruction's template has."""

import re

import torch

import tilewright as tw
from tilewright.codegen.cuda.lines import pin_lines


@tw.kernel
def add_rows(x: tw.Tensor, y: tw.Tensor, *, block: tw.Static = 40):
    """y[i, j] += x[i, j], on rows of odd lengths"""
    i, j = tw.grid(x.shape[0], tw.cdiv(x.shape[1], block))
    tile = tw.load(x, (i, j * block), (1, block))
    tw.store(y, (i, j * block), tile + tw.load(y, (i, j * block), (1, block)))


def test_places_do_not_count_on_through_a_template():
    made = add_rows.compile(torch.zeros(3, 50), torch.zeros(3, 50), target="vm:sm_80")
    wanted = {int(n) for n in re.findall(r'#line (\d+) "/test_lines.py"', made.source)}
    (file,) = re.findall(r'\.file\s+(\d+) "/test_lines.py"', made.binary.ptx)
    found = {int(n) for n in re.findall(rf"\.loc\s+{file} (\d+)", made.binary.ptx)} - {0}
    assert found
    assert found <= wanted  # 0: of no line


def test_pinned_text_keeps_generated_places_and_joined_lines():
    text = 'a;\n#line 7 "/user.py"\n// note\nb;\nc \\\nd;\n#line 8 "/k.cu"\ne;\nf;'
    pinned = pin_lines(text, "/k.cu").split("\n")
    here = '#line 7 "/user.py"'
    assert pinned == [
        *("a;", "// note", here, "b;", here, "c \\", "d;"),
        *('#line 8 "/k.cu"', "e;", "f;"),
    ]
