"""What was executed, by class for people and by unit for the roofline.

A *class* says what an instruction is, a *unit* which part of a multiprocessor it occupies. PTX is
not machine code: moves, conversions that only widen, predicate logic and loads of parameters mostly
vanish (`none`), integer sums run where there is room (`any`). Where sources disagree about a rate,
an instruction gets the faster unit, so that a bound stays one. (CUDA C++ Programming Guide,
"Arithmetic Instructions"; Nsight Compute, "Pipelines".)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tilewright.runtime.vm.instructions.mma import Form, form_of
from tilewright.runtime.vm.instructions.wgmma import Form as WgmmaForm
from tilewright.runtime.vm.instructions.wgmma import form_of as group_form_of
from tilewright.runtime.vm.instructions.wmma import form_of as wmma_form_of
from tilewright.runtime.vm.records import BITS, Instruction, Vector

_CLASSES = {
    "memory": "ld ldu st atom red ldmatrix stmatrix prefetch prefetchu",
    "async": "cp",
    "matrix": "mma wgmma wmma",
    "control": "bra brx call ret exit trap brkpt",
    "barrier": "bar barrier mbarrier membar fence",
    "warp": "shfl vote match redux activemask elect",
    "move": "mov cvta isspacep",
    "convert": "cvt",
    "compare": "setp set selp slct testp",
    "logic": "and or xor not cnot lop3 shf shl shr bfe bfi bmsk szext prmt bfind clz popc brev fns",
    "special": "ex2 lg2 sin cos tanh rcp rsqrt sqrt div rem",
}
_CLASS_OF = {opcode: name for name, opcodes in _CLASSES.items() for opcode in opcodes.split()}
_PRODUCTS = frozenset("mul mad madc mul24 mad24 dp4a dp2a".split())
_ARITHMETIC = frozenset("add addc sub subc fma abs neg min max sad copysign".split()) | _PRODUCTS
_COUNTS = frozenset("bfind clz popc brev fns".split())
_HALVES = frozenset("f16 f16x2 bf16 bf16x2".split())
_MATRIX_RATES = {
    "f64": "f64", "tf32": "tf32", "f16": "f16", "bf16": "f16", "e4m3": "f8", "e5m2": "f8",
    "s8": "s8", "u8": "s8", "s4": "s4", "u4": "s4", "b1": "b1",
}  # fmt: skip


@dataclass
class Work:
    """Warp instructions by class and unit, and what matrix instructions multiply and read.

    `flops` are by operand type; `matrix` by the name of a device's matrix rate, where a sparse
    product takes half the time; `vector_flops` are those of the lanes; `operand_bytes` is what
    wgmma reads from shared memory.
    """

    classes: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    flops: Counter[str] = field(default_factory=Counter)
    matrix: Counter[str] = field(default_factory=Counter)
    vector_flops: int = 0
    operand_bytes: int = 0

    def add(self, ins: Instruction, count: int) -> None:
        """`count` warps executed `ins`."""
        self.classes[classify(ins)] += count
        self.units[find_unit(ins)] += count
        self.vector_flops += count * count_flops(ins)
        self._add_matrix(ins, count)

    def _add_matrix(self, ins: Instruction, count: int) -> None:
        form: Form | WgmmaForm
        if ins.opcode == "mma":
            form = form_of(ins)
        elif ins.opcode == "wmma" and ins.mods[0] == "mma":
            form = wmma_form_of(ins)
        elif ins.opcode == "wgmma" and ins.mods[0] == "mma_async":
            form = group_form_of(ins)
            rows = form.n if isinstance(ins.operands[1], Vector) else form.n + 64
            self.operand_bytes += count * rows * form.k * BITS[form.a] // 8 // 4
        else:
            return
        flops, rate = count * form.flops, _MATRIX_RATES[form.a]
        self.flops[form.a] += flops
        narrow = rate in ("f16", "f8") and form.d == "f16"
        self.matrix[f"{rate}_f16" if narrow else rate] += flops // (2 if "sp" in ins.mods else 1)


def measure(instructions: list[Instruction], counts: Mapping[int, int]) -> Work:
    """The work of a run: how many warps executed each instruction."""
    work = Work()
    for pc, count in counts.items():
        work.add(instructions[pc], count)
    return work


def classify(ins: Instruction) -> str:
    """The class of an instruction in the counters."""
    if ins.opcode in _ARITHMETIC:
        kind = kind_of(ins)
        if kind in ("f32", "f64"):
            return kind
        if kind in _HALVES:
            return "half"
        return "multiply" if ins.opcode in _PRODUCTS else "integer"
    if ins.opcode in ("ld", "ldu") and "param" in ins.mods:
        return "move"
    return _CLASS_OF.get(ins.opcode, "other")


def kind_of(ins: Instruction) -> str:
    """The last type in the modifiers: that of the operands."""
    return next((mod for mod in reversed(ins.mods) if mod in BITS), "")


def find_unit(ins: Instruction) -> str:
    """The unit of a multiprocessor that an instruction occupies."""
    kind, opcode = kind_of(ins), ins.opcode
    match classify(ins):
        case "move":
            return "none"
        case "memory":
            return "memory"
        case "matrix" if ins.opcode == "wmma" and ins.mods[0] != "mma":
            return "memory"
        case "async":
            return "memory" if "shared" in ins.mods and "bulk" not in ins.mods else "any"
        case "warp":
            return {"shfl": "memory", "vote": "alu"}.get(opcode, "any")
        case "f32" | "f64" | "half" as name if opcode in ("min", "max", "abs", "neg"):
            return {"f32": "alu", "f64": "f64"}.get(name, "any") if opcode[0] == "m" else "none"
        case "f32" | "f64" | "half" | "multiply" | "special" as name:
            return name
        case "logic" if kind == "pred":
            return "none"
        case "logic":
            return "special" if opcode in _COUNTS else "alu"
        case "compare":
            return "f64" if kind == "f64" else "any" if kind in _HALVES else "alu"
        case "convert":
            return _find_conversion_unit(ins)
    return "any"


def _find_conversion_unit(ins: Instruction) -> str:
    """Slow ones are to and from f64, from floats to integers, and roundings to whole numbers."""
    kinds = [mod for mod in ins.mods if mod in BITS]
    if len(kinds) < 2 or "pack" in ins.mods:
        return "alu"
    target, source = kinds[0], kinds[-1]
    if "f64" in (target, source):
        return "special"
    integers = [kind[0] in "usb" and not kind.startswith("bf") for kind in (target, source)]
    if all(integers):
        return "none" if BITS[target] >= BITS[source] else "any"
    if integers[0] or target == source:
        return "special"
    return "alu" if BITS[source] >= BITS[target] or integers[1] else "any"


def count_flops(ins: Instruction) -> int:
    """Floating-point operations of a warp: a multiply-add is two, a packed pair twice that."""
    kind = kind_of(ins)
    if classify(ins) not in ("f32", "f64", "half") or ins.opcode in ("abs", "neg", "copysign"):
        return 0
    fused = ins.opcode in ("fma", "mad")
    return 32 * (2 if fused else 1) * (2 if kind.endswith("x2") else 1)
