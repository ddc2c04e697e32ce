"""The shape of the code: imports point one way, files stay small, public names exist."""

from __future__ import annotations

import ast
import importlib
import re
import runpy
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TREE = runpy.run_path(str(ROOT / "scripts" / "tree.py"))
ORDER: list[str] = TREE["ORDER"]
BANS = {
    "engine": {"tokenizer", "data"},  # token ids only
    "model": {"tokenizer", "data"},
    # reaches models through chat and learn alone
    "server": {"kernels", "model", "checkpoint", "adapters", "training", "engine", "align"},
}
MAX_FILE, MAX_FUNCTION, MAX_LINE = 400, 60, 100
PACKAGE = sorted((ROOT / "nanohydra").rglob("*.py"))
FOLDERS = ("nanohydra", "tests", "scripts", "benchmarks", "examples")
SOURCES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in PACKAGE}


def imports(tree: ast.AST, *, typing: bool) -> Iterator[str]:
    """Modules of the package that a module imports, wherever; `typing`: also for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in MODULES else str(node.module) for name in names)
        yield from imports(node, typing=typing)


def targets(tree: ast.AST) -> set[str]:
    """The "module:name" texts of tables, which are imports as well."""
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return {t for t in texts if isinstance(t, str) and re.fullmatch(r"nanohydra[\w.]*:\w+", t)}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_imports_point_up(name: str) -> None:
    package = (name.split(".") + [""])[1]
    if package not in ORDER:
        return  # recipe, commands and cli stand on top of everything
    tree = TREES[MODULES[name]]
    tables = {target.partition(":")[0] for target in targets(tree)}
    used = {
        module.split(".")[1] for module in {*imports(tree, typing=True), *tables} if "." in module
    }
    allowed = set(ORDER[: ORDER.index(package) + 1]) - BANS.get(package, set())
    assert used <= allowed, f"{name} may not import {sorted(used - allowed)}"


def test_no_import_cycles() -> None:
    graph = {name: set(imports(TREES[path], typing=False)) for name, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which shows the cycle


def test_packages_from_elsewhere_are_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(line for extra in extras for line in extra)]
    declared = {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in wanted}
    nodes = [node for path in PACKAGE for node in ast.walk(TREES[path])]
    used = {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names}
    used |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    roots = {name.partition(".")[0] for name in used} - set(sys.stdlib_module_names)
    assert roots <= declared | {"nanohydra"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_size_and_manners(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_FILE
    assert not [i for i, line in enumerate(lines, 1) if len(line) > MAX_LINE]
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION, node.name
        assert not (isinstance(node, ast.ImportFrom) and node.level), "a relative import"
    assert path.is_relative_to(ROOT / "tests") or ast.get_docstring(TREES[path])


@pytest.mark.parametrize("name", [n for n in sorted(MODULES) if MODULES[n].stem == "__init__"])
def test_public_names_are_listed_and_exist(name: str) -> None:
    module = importlib.import_module(name)
    assert len(module.__all__) == len(set(module.__all__))  # ruff sorts it (RUF022)
    assert all(hasattr(module, public) for public in module.__all__)


@pytest.mark.parametrize("target", sorted({t for path in PACKAGE for t in targets(TREES[path])}))
def test_tables_point_at_what_exists(target: str) -> None:
    module, _, attribute = target.partition(":")
    assert hasattr(importlib.import_module(module), attribute)


def test_the_generated_parts_of_the_readme_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nanohydra" / "core").mkdir(parents=True)
    (tmp_path / "nanohydra" / "core" / "__init__.py").write_text('"""The base."""')
    families = tmp_path / TREE["FAMILIES"]
    families.parent.mkdir(parents=True)
    families.write_text('FAMILIES = Table("family", {"big": "nanohydra.big:Big"})')
    (tmp_path / "nanohydra" / "big.py").write_text('"""Big ones."""\narchitecture = "BigLM"')
    parts = [f"<!-- {name}:{end} -->" for name in ("models", "tree") for end in ("begin", "end")]
    (tmp_path / "README.md").write_text("\n".join(["a", *parts, "b"]))
    assert TREE["main"](["--check"], tmp_path) == 1
    assert TREE["main"]([], tmp_path) == 0 and TREE["main"](["--check"], tmp_path) == 0
    written = (tmp_path / "README.md").read_text()
    assert re.search(r"  core/ +The base.\n", written)
    assert "| `big` | `BigLM` | Big ones. |\n" in written
