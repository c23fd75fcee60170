"""The class that users hold: all verbs and questions on one frozen value."""

from __future__ import annotations

from tilewright.ir.layout.text import print_layout
from tilewright.ir.layout.verbs import LayoutVerbs


class Layout(LayoutVerbs):
    """A map from tile coordinates to hardware places; see `ir.layout` for the whole picture."""

    __slots__ = ()

    def __str__(self) -> str:
        return print_layout(self)

    __repr__ = __str__
