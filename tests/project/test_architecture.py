"""``docs/architecture.md`` is true: its paths exist, its tree names every package, its table leads to files."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/architecture.md"
MIN_CHANGES = 25


def prose() -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def paths(text: str) -> list[str]:
    """The paths in backquotes that begin with a folder of this checkout; a name behind ``::`` or ``:`` is left off."""
    return re.findall(r"`((?:edgechat|scripts|tests|docs)/[^`:]*)(?::[^`]*)?`", text)


def tree() -> set[str]:
    """The paths of the first fenced block; each line is indented below its folder and ends in a description."""
    block = re.search(r"^```\w*\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert block, "docs/architecture.md has no tree in a fenced block"
    found: set[str] = set()
    above: list[tuple[int, str]] = []
    for line in block[1].splitlines():
        entry = re.match(r"( *)([\w./-]+(?:/|\.py))(?: |$)", line)
        if entry is None:
            continue
        indent = len(entry[1])
        while above and above[-1][0] >= indent:
            above.pop()
        path = (above[-1][1] if above else "") + entry[2]
        found.add(path)
        if path.endswith("/"):
            above.append((indent, path))
    return found


def changes() -> list[tuple[str, list[str]]]:
    """The rows of the table whose columns are ``change`` and ``file``."""
    table = re.search(r"^\| *change *\| *file *\|\n\|[-| :]+\|\n((?:\|.*\n?)+)", prose(), re.IGNORECASE | re.MULTILINE)
    assert table, "docs/architecture.md has no table with the columns `change` and `file`"
    rows = [line.strip("|").split("|", 1) for line in table[1].splitlines()]
    return [(change.strip(), paths(files)) for change, files in rows]


def missing(named: list[str]) -> list[str]:
    return [path for path in named if not (ROOT / path).exists()]


def test_every_path_on_the_page_exists() -> None:
    named = paths(prose())
    assert len(named) >= MIN_CHANGES
    assert missing(named) == []


def test_the_tree_names_every_package_and_nothing_else() -> None:
    named = tree()
    assert missing(sorted(named)) == []
    packages = {f"{path.parent.relative_to(ROOT)}/" for path in (ROOT / "edgechat").rglob("__init__.py")}
    assert sorted(packages - named) == []


def test_ordinary_changes_lead_to_files() -> None:
    rows = changes()
    assert len({change for change, _ in rows}) >= MIN_CHANGES
    assert [change for change, files in rows if not any((ROOT / file).is_file() for file in files)] == []
