"""The text form: exact round trip, and errors that quote what was not understood."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tilewright.ir.layout import (
    LAYOUT_PATTERN,
    LayoutError,
    local,
    parse_layout,
    row_major,
    spatial,
)
from tilewright.tests.ir.layout.strategies import laws, layouts


@laws
@given(layouts(holes=True, offset=True), st.integers(1, 64))
def test_text_parses_back_to_the_same_value(layout, bits):
    layout = layout.with_bits(bits)
    text = str(layout)
    assert "\n" not in text
    assert parse_layout(text) is layout
    assert re.fullmatch(LAYOUT_PATTERN, text)


@laws
@given(layouts(axes=("addr",), copies=False, offset=True))
def test_swizzles_round_trip(layout):
    layout = layout.with_bits(8).swizzled(2, 4, 3)
    assert parse_layout(str(layout)) is layout


def test_goldens():
    accumulator = local(2, 1).product(spatial(8, 4), local(1, 2))
    assert str(accumulator) == "[16, 8]{2:2@reg 8:4@lane, 4:1@lane 2:1@reg}"
    assert str(spatial(32).replicate(4, "warp")) == "[32]{32:1@lane | copies 4:1@warp}"
    shared = row_major((64, 64), bits=16).swizzled(3, 4, 3)
    assert str(shared) == "[64, 64]{64:64@addr, 64:1@addr | xor 3 4 3 | bits 16}"
    assert str(local(2, 1)) == "[2, 1]{2:1@reg, 1}"
    part = row_major((4, 8)).slice((2, 0), (2, 8))
    assert str(part) == "[2, 8]{2:8@addr, 8:1@addr | at 16@addr}"
    assert parse_layout("[3]{3:0}").dims == (((3, 0, ""),),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("16, 8", "not a layout"),
        ("[16]{2:1@reg}", "pieces of 2 elements for extent 16"),
        ("[16]{16:1@reg, 1}", "1 extents but 2 dimensions"),
        ("[16]{16@reg}", "not a piece"),
        ("[16]{16:1@reg | around 3}", "unknown part 'around 3'"),
        ("[16]{16:1@addr | xor 3 four 3}", "not a number: 'four'"),
        ("[16]{16:1@addr | at 3}", "not a place"),
    ],
)
def test_text_that_does_not_parse(text, message):
    with pytest.raises(LayoutError, match=message):
        parse_layout(text)
