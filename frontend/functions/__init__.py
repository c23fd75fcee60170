"""What the names of the language do, one file per family; importing this fills the table."""

from tilewright.frontend.functions import (
    atomics,
    checks,
    explicit,
    loops,
    math,
    memory,
    reductions,
    shapes,
)

__all__ = ["atomics", "checks", "explicit", "loops", "math", "memory", "reductions", "shapes"]
