"""The documentation of the running Python's standard library, from its docstrings.

Files are parsed with `ast` and never imported.
"""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Iterator

from nanohydra.data.sources.base import Row, RowSource
from nanohydra.data.stdlib import modules

_Function = ast.FunctionDef | ast.AsyncFunctionDef


class PyDocsSource(RowSource):
    """One document per module: its docstring, then each public signature with its own."""

    def rows(self) -> Iterator[Row]:
        """The documents; a file that does not parse is refused, one without docstrings noted."""
        for module in modules(tests=self.config.tests):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # old escapes in strings of the library
                    tree = ast.parse(module.read())
            except (SyntaxError, ValueError) as error:
                self.refuse(str(module.path), error)
                continue
            text = document(module.name, tree)
            if text:
                yield str(module.path), {"text": text}
            else:
                self.tally.noted["module without docstrings"] += 1


def document(name: str, tree: ast.Module) -> str:
    """The documentation of a parsed module, or "" if nothing in it has a docstring."""
    sections = list(_sections(name, tree))
    overview = ast.get_docstring(tree)
    if overview:
        sections.insert(0, overview)
    if not sections:
        return ""
    title = f"Module {name}"
    return "\n\n".join([f"{title}\n{'=' * len(title)}", *sections]) + "\n"


def _sections(prefix: str, node: ast.Module | ast.ClassDef) -> Iterator[str]:
    for child in node.body:
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            bases = ", ".join(map(ast.unparse, child.bases))
            heading = f"class {prefix}.{child.name}" + (f"({bases})" if bases else "")
            yield from _section(heading, child)
            yield from _sections(f"{prefix}.{child.name}", child)
        elif isinstance(child, _Function) and not child.name.startswith("_"):
            returns = f" -> {ast.unparse(child.returns)}" if child.returns else ""
            word = "async " if isinstance(child, ast.AsyncFunctionDef) else ""
            heading = f"{word}{prefix}.{child.name}({ast.unparse(child.args)}){returns}"
            yield from _section(heading, child)


def _section(heading: str, node: ast.ClassDef | _Function) -> Iterator[str]:
    text = ast.get_docstring(node)
    if text:
        yield f"{heading}\n\n" + inspect.cleandoc(text)
