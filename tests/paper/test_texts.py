"""Every text of this folder parses, verifies in its phase, and prints back to itself."""

from __future__ import annotations

import pytest

from tilewright.ir.instructions.control import ForTiles
from tilewright.ir.instructions.elementwise import Binary, Cast, Compare, Fma, Select, Unary
from tilewright.ir.instructions.roles import Roles
from tilewright.ir.kernel import walk
from tilewright.ir.parser import parse_kernel
from tilewright.ir.printer import print_kernel, same_kernel
from tilewright.ir.values import PendingType, TileType
from tilewright.ir.verifier import verify
from tilewright.tests.paper.running import FOLDER

TEXTS = sorted(p for p in FOLDER.iterdir() if p.suffix in (".tile", ".scheduled"))
SCHEDULED = [p for p in TEXTS if p.suffix == ".scheduled"]


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_round_trip(path) -> None:
    text = path.read_text()
    kernel = parse_kernel(text, path.name)
    verify(kernel, layouts=kernel.phase == "scheduled")
    assert f".{kernel.phase}" == path.suffix
    printed = print_kernel(kernel)
    assert same_kernel(parse_kernel(printed), kernel)
    assert text.endswith(printed), "the text is not as the printer writes it"


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.name)
def test_head_comment(path) -> None:
    """The comment above a text says what it is: no text stands alone."""
    assert path.read_text().startswith("// ")
    assert path.with_suffix(".tile").exists()
    assert path.with_suffix(".scheduled").exists()


@pytest.mark.parametrize("path", SCHEDULED, ids=lambda p: p.stem)
def test_scheduled_has_roles(path) -> None:
    """One grid, and in it roles whose warps are the kernel's."""
    kernel = parse_kernel(path.read_text())
    (grid,) = (item for item in kernel.walk() if isinstance(item, ForTiles))
    (roles,) = (item for item in kernel.walk() if isinstance(item, Roles))
    assert roles in grid.body.instructions
    assert sum(roles.warps) == kernel.warps


ELEMENTWISE = (Unary, Binary, Compare, Fma, Select, Cast)


@pytest.mark.parametrize("path", SCHEDULED, ids=lambda p: p.stem)
def test_layouts_agree(path) -> None:
    """Elementwise operands lie where their result lies; a layout has its tile's shape and bits.

    No lane of a role lies beyond its warps.
    """
    kernel = parse_kernel(path.read_text())
    (roles,) = (item for item in kernel.walk() if isinstance(item, Roles))
    for warps, body in zip(roles.warps, roles.members, strict=True):
        for item in walk(body):
            tiles = [v.type for v in (*item.operand_values, *item.results)]
            tiles = [k.tile if isinstance(k, PendingType) else k for k in tiles]
            tiles = [k for k in tiles if isinstance(k, TileType)]
            for kind in tiles:
                assert kind.layout.shape == kind.shape
                assert kind.layout.bits == kind.dtype.bits
                assert kind.layout.size("lane") <= 32
                assert kind.layout.size("warp") <= warps
            if isinstance(item, ELEMENTWISE):
                assert len({k.layout.with_bits(8) for k in tiles}) <= 1, item
