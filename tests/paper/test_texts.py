"""Every text of this folder parses, verifies in its phase, and prints back to itself."""

from __future__ import annotations

import pytest

from tilewright.ir.instructions.control import ForTiles
from tilewright.ir.instructions.roles import Roles
from tilewright.ir.parser import parse_kernel
from tilewright.ir.printer import print_kernel, same_kernel
from tilewright.ir.verifier import verify
from tilewright.tests.paper.running import FOLDER

TEXTS = sorted(p for p in FOLDER.iterdir() if p.suffix in (".tile", ".scheduled"))


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


@pytest.mark.parametrize(
    "path", [p for p in TEXTS if p.suffix == ".scheduled"], ids=lambda p: p.stem
)
def test_scheduled_has_roles(path) -> None:
    """One grid, and in it roles whose warps are the kernel's."""
    kernel = parse_kernel(path.read_text())
    (grid,) = (item for item in kernel.walk() if isinstance(item, ForTiles))
    (roles,) = (item for item in kernel.walk() if isinstance(item, Roles))
    assert roles in grid.body.instructions
    assert sum(roles.warps) == kernel.warps
