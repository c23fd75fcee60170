"""C names from the user's names: legal, readable, unique in one kernel."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_KEYWORDS = """alignas alignof and asm auto bool break case catch char char8_t char16_t char32_t
    class concept const const_cast consteval constexpr constinit continue co_await co_return
    co_yield decltype default delete do double dynamic_cast else enum explicit export extern false
    float for friend goto if inline int long mutable namespace new noexcept not nullptr operator or
    private protected public register reinterpret_cast requires return short signed sizeof static
    static_assert static_cast struct switch template this thread_local throw true try typedef typeid
    typename union unsigned using virtual void volatile wchar_t while xor"""
_VARIABLES = "lane warp threadIdx blockIdx blockDim gridDim warpSize"
_FUNCTIONS = """abs atomicAdd atomicAnd atomicCAS atomicExch atomicMax atomicMin atomicOr ceil
    copysign cos erf exp exp2 fabs floor fma fmax fmin fmod isinf isnan log log2 main max memcpy min
    pow printf rint round rsqrt sin sqrt std tanh vprintf"""
_RESERVED = frozenset(
    [*_KEYWORDS.split(), *_VARIABLES.split(), *_FUNCTIONS.split(), "r", "at"]
    + [f"{name}f" for name in _FUNCTIONS.split()]
)
_MACRO = re.compile("[A-Z][A-Z0-9_]{2,}")
"""What a header may have defined: only macros are all capitals."""


@dataclass
class Names:
    """Gives out names; a second `x` becomes `x_1`."""

    taken: set[str] = field(default_factory=set)

    def fresh(self, hint: str) -> str:
        """A name that nothing else in the kernel has, like `hint`."""
        base = re.sub(r"\W", "_", hint, flags=re.ASCII) or "v"
        taken = base in _RESERVED or _MACRO.fullmatch(base)
        if taken or base[0].isdigit() or base.startswith(("tw_", "__")):
            base = f"v_{base}" if base[0].isdigit() else f"{base}_"
        name, count = base, 0
        while name in self.taken:
            count += 1
            name = f"{base}_{count}"
        self.taken.add(name)
        return name
