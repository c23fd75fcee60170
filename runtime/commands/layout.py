"""`tilewright layout "[16, 8]{…}"`: a layout, described and drawn; needs no GPU and no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tilewright.ir.layout import draw_svg, draw_text, parse_layout


def layout(
    text: Annotated[
        str, typer.Argument(help='Such as "[16, 8]{2:2@reg 8:4@lane, 4:1@lane 2:1@reg}".')
    ],
    svg: Annotated[Path | None, typer.Option(help="Also draw it into this file.")] = None,
) -> None:
    """Print a layout: its size along each hardware axis, and who holds which element."""
    found = parse_layout(text)
    typer.echo(str(found))
    sizes = ", ".join(f"{found.size(axis)} along {axis}" for axis in found.axes)
    kind = "one to one" if found.is_bijective() else "not one to one"
    typer.echo(
        f"{found.elements} elements of {found.bits} bits at places: {sizes or 'one'}; {kind}"
    )
    typer.echo(draw_text(found))
    if svg is not None:
        svg.write_text(draw_svg(found))
        typer.echo(f"drawn into {svg}")
