"""Print the size of the project: lines per folder, longest files and functions, test ratio.

The numbers are aims to look at on every change (files of 80 to 250 lines, functions under 40), not
limits that fail.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 10
OTHER = ("tests", "examples", "benchmarks")


def find_sources() -> Iterator[Path]:
    """Every Python file of the packages, tests, examples and benchmarks."""
    yield ROOT / "__init__.py"
    packages = [path.parent.name for path in sorted(ROOT.glob("*/__init__.py"))]
    for folder in (*packages, *OTHER):
        yield from sorted((ROOT / folder).rglob("*.py"))


def count_lines(path: Path) -> int:
    """Lines that are not blank."""
    return sum(1 for line in path.read_text().splitlines() if line.strip())


def find_functions(path: Path) -> Iterator[tuple[int, str]]:
    """(lines, place) of every function in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            yield length, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def print_longest(title: str, rows: list[tuple[int, str]]) -> None:
    print(f"\n{title}")
    for length, place in sorted(rows, reverse=True)[:LONGEST]:
        print(f"{length:7}  {place}")


def main() -> None:
    files = {path: count_lines(path) for path in find_sources()}
    folders: Counter[str] = Counter()
    for path, lines in files.items():
        folders[path.relative_to(ROOT).parts[0]] += lines
    print("lines per folder (blank ones not counted)")
    for folder, lines in folders.most_common():
        print(f"{lines:7}  {folder}")
    print_longest(
        "longest files",
        [(lines, str(path.relative_to(ROOT))) for path, lines in files.items()],
    )
    sources = [path for path in files if path.relative_to(ROOT).parts[0] not in OTHER]
    print_longest("longest functions", [row for path in sources for row in find_functions(path)])
    source = sum(files[path] for path in sources)
    print(f"\ntest lines per source line: {folders['tests'] / max(source, 1):.2f}")


if __name__ == "__main__":
    main()
