"""A .venv that was interrupted or moved: which packages are not whole, and the paths in its text files put right."""

from __future__ import annotations

import csv
import os
import re
import shutil
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from pathlib import Path

SHEBANG_LIMIT = 127  # bytes of a first line that every kernel reads


def torn_distributions(site: Path) -> list[Path]:
    """The .dist-info folders of packages that are not whole: no RECORD, or a file missing or of another size.

    Scripts are only looked for: their first line, and so their size, changes when the folder moves.
    """
    torn = []
    for info in sorted(site.glob("*.dist-info")):
        record = info / "RECORD"
        if not record.exists() or not (info / "METADATA").exists():
            torn.append(info)
            continue
        with record.open(newline="", encoding="utf-8") as stream:
            if not all(_whole(site, name, size) for name, _hash, size in csv.reader(stream)):
                torn.append(info)
    return torn


def _whole(site: Path, name: str, size: str) -> bool:
    file = site / name
    if file.suffix == ".pyc":
        return True
    return file.exists() and (not size or name.startswith("..") or file.stat().st_size == int(size))


def relocate(venv: Path, old_root: str, new_root: str) -> None:
    """Put the new place into the text files of a moved .venv: scripts, activation, .pth, direct_url.json.

    May be interrupted and done again: paths that are already right stay as they are.
    """
    for file in [venv / "pyvenv.cfg", *(venv / "bin").iterdir()]:
        _rewrite(file, old_root, new_root)
    for site in (venv / "lib").glob("python*/site-packages"):
        for file in [*site.glob("*.pth"), *site.glob("__editable__*.py")]:
            _rewrite(file, old_root, new_root)
        for file in site.glob("*.dist-info/direct_url.json"):
            _rewrite(file, quote(old_root), quote(new_root))


def _rewrite(file: Path, old_root: str, new_root: str) -> None:
    if file.is_symlink() or not file.is_file():
        return
    old, new, mark = os.fsencode(old_root), os.fsencode(new_root), b"\0place\0"
    before = file.read_bytes()
    if old not in before or b"\0" in before:  # a NUL byte: a program, not a text
        return
    held = before.replace(new, mark)
    after = re.sub(re.escape(old) + rb"(?![\w.-])", lambda _: mark, held).replace(mark, new)
    first, newline, rest = after.partition(b"\n")
    if first.startswith(b"#!" + new) and (b" " in new or len(first) > SHEBANG_LIMIT):
        # The kernel takes no such first line. This one is sh to sh and a string to Python; pip writes the same.
        first = b"#!/bin/sh\n'''exec' \"" + first[2:] + b'" "$0" "$@"\n\' \'\'\''
    after = first + newline + rest
    if after != before:
        draft = file.with_name(f"{file.name}.new")
        draft.write_bytes(after)
        shutil.copymode(file, draft)
        draft.replace(file)
