"""Write the tree of the package into README.md from the first line of each module's docstring.

`python scripts/tree.py` rewrites what stands between the markers; with --check it only compares,
and exits with 1 if the README is out of date.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- tree:begin -->", "<!-- tree:end -->"
# Data flows down this list and imports point up it; tests/test_structure.py holds it.
ORDER = [
    "core", "kernels", "tokenizer", "data", "model", "checkpoint", "adapters", "tools", "tasks",
    "training", "continual", "engine", "align", "eval", "memory", "chat", "learn", "server",
]  # fmt: skip


def first_line(path: Path) -> str:
    """The first line of a module's docstring, or of a recipe's opening comment."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".toml":
        return text.partition("\n")[0].removeprefix("# ")
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def tree(root: Path) -> Iterator[str]:
    """One line per module and package; a package within a package is one line."""
    package = root / "nanohydra"
    yield "nanohydra/"
    folders = {path.parent.name: path.parent for path in package.glob("*/__init__.py")}
    for name in [*ORDER, *sorted(set(folders) - set(ORDER))]:
        if name in folders:
            yield entry(1, f"{name}/", folders[name] / "__init__.py")
            inner = [p for p in folders[name].glob("*.py") if p.name != "__init__.py"]
            for path in sorted([*inner, *folders[name].glob("*/__init__.py")], key=shown):
                yield entry(2, shown(path), path)
    for path in sorted(package.glob("[!_]*.py")):
        yield entry(1, path.name, path)
    for folder, pattern in (("recipes", "*.toml"), ("benchmarks", "*.py"), ("scripts", "*.py")):
        paths = sorted((root / folder).glob(pattern))
        if paths:
            yield f"{folder}/"
        for path in paths:
            yield entry(1, path.name, path)


def shown(path: Path) -> str:
    """`x.py` for a module, `x/` for a package."""
    return f"{path.parent.name}/" if path.name == "__init__.py" else path.name


def entry(depth: int, name: str, path: Path) -> str:
    """An indented name and what the file says of itself."""
    return f"{'  ' * depth}{name}".ljust(26) + f" {first_line(path)}"


def updated(readme: str, root: Path) -> str:
    """The README with the tree between its markers."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"README.md lacks the markers {BEGIN} and {END}")
    body = "\n".join(line.rstrip() for line in tree(root))
    return f"{before}{BEGIN}\n```\n{body}\n```\n{END}{after}"


def main(words: list[str], root: Path = ROOT) -> int:
    """Update or check the README; returns the exit code."""
    readme = root / "README.md"
    old = readme.read_text(encoding="utf-8")
    new = updated(old, root)
    if "--check" in words:
        if old != new:
            print("README.md: the tree is out of date; run python scripts/tree.py", file=sys.stderr)
        return int(old != new)
    readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
