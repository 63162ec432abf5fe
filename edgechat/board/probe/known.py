"""Boards that ``--board`` knows by name, shipped as the files that ``edgechat board --json`` wrote on them.

Each file equals what ``probe`` reads from the tree of the same name under ``tests/boards``; a test holds them equal.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.board.probe.board_file import read_board_file
from edgechat.errors import UsageError

if TYPE_CHECKING:
    from edgechat.board.board import Board

_DIRECTORY = Path(__file__).parent / "known_boards"


def known_names() -> tuple[str, ...]:
    """Return the names that ``load_board`` knows, sorted."""
    return tuple(sorted(path.stem for path in _DIRECTORY.glob("*.json")))


def load_board(name_or_path: str) -> Board:
    """Return a known board by name (case ignored), or read one from a file.

    Raises:
        UsageError: neither a known name nor a file.
        InvalidInputError: the file is not a board.
    """
    names = known_names()
    name = name_or_path.strip().lower()
    if name in names:
        return read_board_file(_DIRECTORY / f"{name}.json")
    path = Path(name_or_path).expanduser()
    if path.exists() or path.suffix == ".json" or "/" in name_or_path:
        return read_board_file(path)
    from difflib import get_close_matches  # noqa: PLC0415 - 4 ms, for a mistake only

    near = get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise UsageError(
        f"{name_or_path!r} is neither a board that edgechat knows nor a file.",
        hint=f"{hint}Known boards: {', '.join(names)}.",
    )
