"""C names from the user's names: legal, readable, unique in one kernel."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_RESERVED = frozenset(
    """alignas alignof and asm auto bool break case catch char class const constexpr continue
    default delete do double else enum explicit export extern false float for friend goto if inline
    int long mutable namespace new not nullptr operator or private protected public register return
    short signed sizeof static struct switch template this throw true try typedef typename union
    unsigned using virtual void volatile while xor lane warp threadIdx blockIdx blockDim gridDim
    warpSize exp exp2 log log2 sin cos tanh erf sqrt rsqrt floor ceil round abs min max pow fmod
    main printf r at""".split()
)


@dataclass
class Names:
    """Gives out names; a second `x` becomes `x_1`."""

    taken: set[str] = field(default_factory=set)

    def fresh(self, hint: str) -> str:
        """A name that nothing else in the kernel has, like `hint`."""
        base = re.sub(r"\W", "_", hint, flags=re.ASCII) or "v"
        if base[0].isdigit() or base in _RESERVED or base.startswith(("tw_", "__")):
            base = f"v_{base}" if base[0].isdigit() else f"{base}_"
        name, count = base, 0
        while name in self.taken:
            count += 1
            name = f"{base}_{count}"
        self.taken.add(name)
        return name
