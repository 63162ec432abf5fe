"""The structure of the source tree: no import cycles, small folders, and packages that say what lives in them."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
MAX_MODULES = 20
MAX_COMMANDS = 30
"""``edgechat/cli`` has one module for each command."""


def modules(tree: str) -> list[Path]:
    return sorted(path for path in (ROOT / tree).rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: Path) -> set[Path]:
    """The files of this checkout that ``path`` imports: in functions, classes and under TYPE_CHECKING too."""
    names = set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join([*package, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return {file for file in map(file_of, names) if file is not None and file != path}


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every statement at every depth; expressions, which are most of a tree, hold no import."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases"):
            below = getattr(node, field, [])
            waiting += below if isinstance(below, list) else []


@cache
def file_of(name: str) -> Path | None:
    """The file that defines a module, or the module in which a name stands; None outside this checkout."""
    for dotted in (name, name.rpartition(".")[0]):
        stem = ROOT / dotted.replace(".", "/")
        for file in (stem.with_suffix(".py"), stem / "__init__.py"):
            if dotted and file.is_file():
                return file
    return None


def cycles(graph: dict[Path, set[Path]]) -> list[set[str]]:
    """The strongly connected components of more than one file (Tarjan's algorithm)."""
    order: dict[Path, int] = {}
    lowest: dict[Path, int] = {}
    stack: list[Path] = []
    found = []

    def visit(file: Path) -> None:
        order[file] = lowest[file] = len(order)
        stack.append(file)
        for other in graph.get(file, ()):
            if other not in order:
                visit(other)
                lowest[file] = min(lowest[file], lowest[other])
            elif other in stack:
                lowest[file] = min(lowest[file], order[other])
        if lowest[file] == order[file]:
            at = stack.index(file)
            found.append({str(each.relative_to(ROOT)) for each in stack[at:]})
            del stack[at:]

    for file in graph:
        if file not in order:
            visit(file)
    return [component for component in found if len(component) > 1]


def test_no_two_files_import_each_other() -> None:
    graph = {path: imports(path) for tree in ("edgechat", "scripts") for path in modules(tree)}
    assert len(graph) > 300
    assert sum(map(len, graph.values())) > 1000
    found = cycles(graph)
    assert [sorted(each) for each in found] == []


def test_cycles_are_found() -> None:
    a, b, c, d = (ROOT / name for name in "abcd")
    assert cycles({a: {b}, b: {c}, c: {a}, d: {a}}) == [{"a", "b", "c"}]
    assert cycles({a: {b, c}, b: {d}, c: {d}, d: set()}) == []


@pytest.mark.parametrize("tree", ["edgechat", "scripts", "tests"])
def test_no_folder_has_too_many_modules(tree: str) -> None:
    counts: dict[str, int] = {}
    for path in modules(tree):
        folder = str(path.parent.relative_to(ROOT))
        counts[folder] = counts.get(folder, 0) + (path.name != "__init__.py")
    assert {
        folder: count
        for folder, count in counts.items()
        if count > (MAX_COMMANDS if folder == "edgechat/cli" else MAX_MODULES)
    } == {}


@pytest.mark.parametrize("tree", ["edgechat", "scripts"])
def test_every_package_says_what_lives_there(tree: str) -> None:
    folders = {path.parent for path in modules(tree)}
    silent = [
        str(folder.relative_to(ROOT))
        for folder in sorted(folders)
        if not (folder / "__init__.py").is_file()
        or len(ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or "") < 20
    ]
    assert silent == []
