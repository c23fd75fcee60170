"""Drawings show every element once, with its holder."""

import xml.etree.ElementTree as ElementTree

import pytest

from tilewright.ir.layout import (
    Layout,
    LayoutError,
    draw_svg,
    draw_text,
    local,
    row_major,
    spatial,
)


def test_text_of_a_fragment():
    tile = spatial(2, 1, axis="warp").product(local(2, 1), spatial(2, 2), local(1, 2))
    assert draw_text(tile).splitlines()[:3] == [
        "       0      1      2      3",
        "0  0.0:0  0.0:1  0.1:0  0.1:1",
        "1  0.2:0  0.2:1  0.3:0  0.3:1",
    ]
    assert draw_text(tile).splitlines()[-1] == "7  1.2:2  1.2:3  1.3:2  1.3:3"


def test_text_of_memory_copies_and_other_axes():
    assert draw_text(row_major((2, 3))).splitlines() == ["   0  1  2", "0  0  1  2", "1  3  4  5"]
    assert draw_text(spatial(2).replicate(4, "warp")).splitlines()[1] == "0  0.0:0+3  0.1:0+3"
    assert "device1 0" in draw_text(spatial(2, 1, axis="device").product(row_major((1, 2))))
    assert draw_text(Layout([])).splitlines()[1] == "0  0:0"


@pytest.mark.parametrize(
    "layout",
    [
        local(2, 1).product(spatial(8, 4), local(1, 2)),
        row_major((8, 64), bits=16).swizzled(3, 4, 3),
        spatial(3).replicate(2, "warp"),
        local(2, 3, 4),
        Layout([]),
    ],
)
def test_svg_is_well_formed_and_complete(layout):
    root = ElementTree.fromstring(draw_svg(layout))
    name = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{name}rect")) == layout.elements
    texts = [text.text for text in root.findall(f"{name}text")]
    assert str(layout) in texts
    labels = draw_text(layout).split()
    assert all(text in labels for text in texts if text != str(layout))


def test_too_large_to_draw():
    with pytest.raises(LayoutError, match="too many to draw"):
        draw_text(row_major((1024, 1024)))
