"""`make bench`: every CPU benchmark, printed as tables; `--write FILE.csv` keeps the rows."""

from __future__ import annotations

import argparse
from pathlib import Path

from tilewright.benchmarks import cpu_matmul, launch, quant_linear, vm_speed
from tilewright.benchmarks.harness import Row, show, write

SUITES = {
    "matmul": cpu_matmul.measure,
    "quant": quant_linear.measure,
    "launch": launch.measure,
    "vm": vm_speed.measure,
}


def main() -> None:
    """Run the named suites (all of them without a name)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[[], *SUITES], help="default: all")
    parser.add_argument("--write", type=Path, help="also write the rows as CSV")
    options = parser.parse_args()
    rows: list[Row] = []
    for name in options.suites or SUITES:
        found = SUITES[name]()
        show(name, found)
        rows += found
    if options.write:
        write(options.write, rows)


if __name__ == "__main__":
    main()
