"""The main job, end to end: quantize a trained model, measure Llama-sized layers, compile for GPUs.

Fails (exit code 1) only where a number is wrong, never because something is slow.
"""

from __future__ import annotations

import sys

import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits

from tilewright.benchmarks.harness import time_all
from tilewright.examples.matmul import matmul as plain_matmul
from tilewright.ops import matmul
from tilewright.ops.quant import QSpec, quant_linear, quantize, quantize_

SPEC = QSpec(dtype="u4", group=128)
LAYERS = {"MLP up": (4096, 14336), "attention projection": (4096, 4096)}
MAX_POINTS_LOST = 2.0
wrong: list[str] = []


def train_classifier() -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """A small network trained on scikit-learn's handwritten digits, and the held-out part."""
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images, dtype=torch.float32) / 16, torch.tensor(labels)
    order = torch.randperm(len(x))
    train, test = order[:1300], order[1300:]
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 128), torch.nn.ReLU(),
        torch.nn.Linear(128, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(120):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[train]), y[train]).backward()
        optimizer.step()
    return model.eval(), x[test], y[test]


def show_classifier(console: Console) -> None:
    """Accuracy before and after the linear layers become 4-bit ones."""
    model, x, y = train_classifier()

    def accuracy() -> float:
        with torch.no_grad():
            return float((model(x).argmax(-1) == y).float().mean()) * 100

    before = accuracy()
    quantize_(model, SPEC)
    after = accuracy()
    if before - after > MAX_POINTS_LOST:
        wrong.append(f"the 4-bit classifier lost {before - after:.1f} points")
    table = Table(title=f"handwritten digits, {len(x)} held-out images")
    for column in ("linear layers", "accuracy"):
        table.add_column(column, justify="right")
    table.add_row("float32", f"{before:.2f} %")
    table.add_row("4-bit (ours)", f"{after:.2f} %")
    console.print(table)


def error_of(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Relative Frobenius norm of the difference, in float64."""
    return float((found.double() - wanted).norm() / wanted.norm())


def judge(name: str, error: float, bound: float) -> str:
    """The error as text; one above its bound is noted as wrong."""
    if not error <= bound:
        wrong.append(f"{name}: error {error:.1e} above {bound:.1e}")
    return f"{error:.1e}"


def show_layers(console: Console) -> None:
    """Llama-3-8B layers: 4-bit against torch's int4 and bf16 linear; our bf16 product."""
    table = Table(title="Llama-3-8B layers on the CPU, bf16 activations")
    for column in ("layer", "M", "operator", "µs", "peer", "µs", "ratio", "error"):
        table.add_column(column, justify="right" if column not in ("layer", "operator") else "left")
    for name, (k, n) in LAYERS.items():
        weight = torch.randn(n, k) / k**0.5
        q = quantize(weight, SPEC)
        exact = q.dequantize().double()
        dense = weight.to(torch.bfloat16)
        int4 = int4_peer(weight)
        for m in (1, 16):
            x = torch.randn(m, k, dtype=torch.bfloat16)
            runs = {
                "ours": lambda _, x=x, q=q: quant_linear(x, q),
                "int4pack": lambda _, x=x, run=int4: run(x),
                "bf16 linear": lambda _, x=x, w=dense: torch.nn.functional.linear(x, w),
            }
            times = time_all(runs, rounds=7)
            # one rounding to bf16 (2^-9 relative) and f32 sums: 2^-8 is twice the bound
            shown = judge(
                f"{name} u4 M={m}", error_of(quant_linear(x, q), x.double() @ exact.T), 2**-8
            )
            add_rows(table, name, m, "u4 linear", times, shown)
            runs = {
                "ours": lambda _, x=x, w=dense: matmul(x, w.T),
                "torch": lambda _, x=x, w=dense: x @ w.T,
            }
            times = time_all(runs, rounds=7)
            wanted = x.double() @ dense.double().T
            shown = judge(f"{name} bf16 M={m}", error_of(matmul(x, dense.T), wanted), 2**-8)
            add_rows(table, name, m, "bf16 matmul", times, shown)
    console.print(table)


def int4_peer(weight: torch.Tensor):  # type: ignore[no-untyped-def]
    """torch's own int4 kernel on codes of the same weight (timing only)."""
    n, k = weight.shape
    codes = torch.randint(0, 16, (n, k), dtype=torch.int32)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(codes, 1)
    scales = torch.rand(k // SPEC.group, n, 2, dtype=torch.bfloat16)
    call = torch.ops.aten._weight_int4pack_mm_for_cpu
    return lambda x: call(x, packed, SPEC.group, scales)


def add_rows(
    table: Table, layer: str, m: int, operator: str, times: dict[str, float], error: str
) -> None:
    """One row per peer."""
    ours = times["ours"]
    for peer, seconds in times.items():
        if peer != "ours":
            numbers = (
                f"{ours * 1e6:,.0f}",
                peer,
                f"{seconds * 1e6:,.0f}",
                f"{seconds / ours:.2f}x",
            )
            table.add_row(layer, str(m), operator, *numbers, error)


def show_gpu_code(console: Console) -> None:
    """The same kernel compiled for two GPUs, and run on the virtual machine at an odd shape."""
    table = Table(
        title="matmul (bf16) compiled for GPUs, run on the virtual machine at 70 x 90 x 130"
    )
    columns = (
        "target", "registers", "spill bytes", "shared bytes", "equal", "error", "steps",
        "bank conflicts", "sectors/request",
    )  # fmt: skip
    for column in columns:
        table.add_column(column, justify="right")
    a, b = torch.randn(70, 130, dtype=torch.bfloat16), torch.randn(90, 130, dtype=torch.bfloat16)
    wanted = a.double() @ b.double().T
    for target in ("sm_80", "sm_90a"):
        c = torch.full((70, 90), float("nan"), dtype=torch.bfloat16)
        compiled = plain_matmul.compile(a, b, c, target=target)
        report = plain_matmul(a, b, c, target=f"vm:{target}")
        found = compiled.resources
        error = error_of(c, wanted)
        shown = judge(f"matmul on vm:{target}", error, 2**-8)
        if report.races:
            wrong.append(f"matmul on vm:{target} races: {report.races[0]}")
        table.add_row(
            target, str(found.registers), str(found.spill_stores + found.spill_loads),
            str(compiled.shared + found.static_shared), "yes" if error <= 2**-8 else "NO", shown,
            f"{report.steps:,}", *memory_columns(report.counters),
        )  # fmt: skip
    console.print(table)


def memory_columns(counters: dict[str, object]) -> tuple[str, str]:
    """Bank conflicts, and sectors per global request, of a virtual run."""
    shared, memory = counters["shared"], counters["global"]
    return f"{shared['bank_conflicts']:,}", f"{memory['sectors_per_request']:.2f}"


def show_gpu_run(console: Console) -> None:
    """Where a GPU is present: the matmul on it, against torch."""
    if not torch.cuda.is_available():
        console.print("no GPU here: skipped the run on one")
        return
    a, b = (torch.randn(4096, 4096, dtype=torch.bfloat16, device="cuda") for _ in range(2))
    times = time_all(
        {"ours": lambda _: matmul(a, b), "torch": lambda _: a @ b}, wait=torch.cuda.synchronize
    )
    wanted = a.double() @ b.double()
    shown = judge("matmul on the GPU", error_of(matmul(a, b), wanted), 2**-8)
    console.print(
        f"{torch.cuda.get_device_name()}: bf16 4096^3 ours {times['ours'] * 1e6:,.0f} µs, "
        f"torch {times['torch'] * 1e6:,.0f} µs, error {shown}"
    )


def main() -> int:
    """Run all parts; 1 if a number was wrong."""
    console = Console(width=130)
    show_classifier(console)
    show_layers(console)
    show_gpu_code(console)
    show_gpu_run(console)
    for line in wrong:
        console.print(f"wrong: {line}", style="red")
    console.print("all numbers right" if not wrong else f"{len(wrong)} numbers wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
