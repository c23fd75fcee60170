"""One program of the corpus: a Triton kernel with everything that its compilation depends on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Program:
    """`signature` reads `name:type`, or `name:type:16` for multiples of 16, separated by blanks."""

    name: str
    kernel: Any
    arch: int
    signature: str
    constants: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    lines: bool = False  # keeps `.loc`, so that faults name the kernel's source

    @property
    def types(self) -> dict[str, str]:
        """Parameter → type, compile-time constants included."""
        plain = {word.split(":")[0]: word.split(":")[1] for word in self.signature.split()}
        return plain | dict.fromkeys(self.constants, "constexpr")

    @property
    def attributes(self) -> dict[tuple[int, ...], list[list[Any]]]:
        """What the compiler may assume of parameters."""
        names = list(self.kernel.arg_names)
        return {
            (names.index(word.split(":")[0]),): [["tt.divisibility", 16]]
            for word in self.signature.split()
            if word.endswith(":16")
        }
