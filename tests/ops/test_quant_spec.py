"""QSpec: text and back, defaults per kind of code, and errors that name the field."""

from __future__ import annotations

import pytest
import torch

from tilewright.ir.types import u4
from tilewright.ops.quant import QSpec, quantize
from tilewright.runtime.errors import LaunchError

TEXTS = [
    "u4 group=128 zero=group scale=bf16",
    "i3 group=64 zero=none scale=f32",
    "u8 group=32 zero=mid scale=f16",
    "f6e3m2 group=128 zero=none scale=bf16",
    "nf4 group=64 zero=none scale=bf16",
    "codebook1<-1.0, 1.0> group=8 zero=none scale=bf16",
]


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_read_back(text):
    assert str(QSpec.parse(text)) == text
    assert QSpec.parse(str(QSpec.parse(text))) == QSpec.parse(text)


def test_defaults_follow_the_kind_of_code():
    assert QSpec() == QSpec.parse("u4 group=128 zero=group scale=bf16") == QSpec.parse("u4")
    assert QSpec("i4").zero == "none"
    assert QSpec("f6_e3m2").dtype == "f6e3m2"
    assert QSpec(u4, group=32) == QSpec("u4", 32)
    assert QSpec("u4", zero="mid").midpoint == 8
    assert QSpec("u4").groups(129) == 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: QSpec("u9"), "dtype of QSpec"),
        (lambda: QSpec("f16"), "1 to 8 bits"),
        (lambda: QSpec("e8m0"), "dtype of QSpec"),
        (lambda: QSpec(group=0), "group of QSpec is 0"),
        (lambda: QSpec(group=-8), "positive multiple of 8"),
        (lambda: QSpec(group=12), "positive multiple of 8"),
        (lambda: QSpec(group="128"), "group of QSpec"),
        (lambda: QSpec("i4", zero="group"), "unsigned"),
        (lambda: QSpec(zero="maybe"), "zero of QSpec"),
        (lambda: QSpec(scale="f64"), "scale of QSpec"),
        (lambda: QSpec.parse("u4 group=many"), "group=many"),
        (lambda: QSpec.parse("u4 colour=red"), "dtype of QSpec"),
        (lambda: QSpec.parse(""), "no QSpec"),
        (lambda: quantize(torch.ones(4, 8), 4), "spec is a int"),
        (lambda: quantize(torch.ones(4)), "want a matrix"),
        (lambda: quantize([1.0]), "weight is list"),
        (lambda: quantize(torch.ones(4, 8, dtype=torch.int32)), "want floats"),
        (lambda: quantize(torch.ones(0, 8)), "empty"),
        (lambda: quantize(torch.ones(4, 8, device="meta")), "meta and has no values"),
        (lambda: quantize(torch.full((2, 8), float("nan"))), "not numbers"),
        (lambda: quantize(torch.full((2, 8), float("inf"))), "infinite"),
        (lambda: quantize(torch.full((2, 8), 1e30), "u4 scale=f16"), "too large for scales"),
    ],
)
def test_errors_name_what_is_wrong(make, words):
    with pytest.raises(LaunchError, match=words):
        make()
