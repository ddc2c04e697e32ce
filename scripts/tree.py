"""Write into README.md what the code says itself: the tree of the package, and the models it takes.

Both come from the first lines of docstrings. `python scripts/tree.py` rewrites what stands between
the markers; with --check it only compares, and exits with 1 if the README is out of date.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FAMILIES = "nanohydra/checkpoint/families/__init__.py"
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


def models(root: Path) -> Iterator[str]:
    """A table of the model families, in the order of their table in the code, without our own."""
    yield "| `model_type` | class in transformers | |"
    yield "|---|---|---|"
    (table,) = (
        node
        for node in ast.walk(ast.parse((root / FAMILIES).read_text(encoding="utf-8")))
        if isinstance(node, ast.Dict)
    )
    for key, value in zip(table.keys, table.values, strict=True):
        name, place = ast.literal_eval(key), ast.literal_eval(value)
        path = root / f"{place.partition(':')[0].replace('.', '/')}.py"
        if name != "nanohydra":
            yield f"| `{name}` | `{constant(path, 'architecture')}` | {first_line(path)} |"


def constant(path: Path, name: str) -> str:
    """The value that a class of the file gives to a name; of several classes, the last one's."""
    values = [
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == [name]
    ]
    return str(ast.literal_eval(values[-1]))


def updated(readme: str, root: Path) -> str:
    """The README with the tree and the models between their markers."""
    lines = "\n".join(line.rstrip() for line in tree(root))
    readme = replaced(readme, "tree", f"```\n{lines}\n```")
    return replaced(readme, "models", "\n".join(models(root)))


def replaced(readme: str, part: str, body: str) -> str:
    """The README with another text between the markers of a part."""
    begin, end = f"<!-- {part}:begin -->", f"<!-- {part}:end -->"
    before, found, rest = readme.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"README.md lacks the markers {begin} and {end}")
    return f"{before}{begin}\n{body}\n{end}{after}"


def main(words: list[str], root: Path = ROOT) -> int:
    """Update or check the README; returns the exit code."""
    readme = root / "README.md"
    old = readme.read_text(encoding="utf-8")
    new = updated(old, root)
    if "--check" in words:
        if old != new:
            print("README.md is out of date; run python scripts/tree.py", file=sys.stderr)
        return int(old != new)
    readme.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
