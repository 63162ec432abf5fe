"""Boards as JSON files: the format of ``edgechat board --json``, and the known boards of ``--board NAME``.

The keys are the dataclasses' field names; unknown and missing keys are refused. Sizes are bytes. Each known board is
shipped as a file, which a test holds equal to what ``probe`` reads from the tree of its name under ``tests/boards``.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from edgechat.board.board import Board
from edgechat.board.probe.derived_boards import DERIVED, derive
from edgechat.errors import InvalidInputError, UsageError

_KNOWN_BOARDS = Path(__file__).parent / "known_boards"
_HINT = "Write one with: edgechat board --json > board.json"
_MAX_BYTES = 1 << 20
_WORDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false", type(None): "null"}


def to_json(board: Board) -> dict[str, Any]:
    """A board as a JSON object, the inverse of :func:`from_json`."""
    plain: dict[str, Any] = asdict(board)
    plain["cpu"]["features"] = list(board.cpu.features)
    plain["accelerators"] = list(plain["accelerators"])
    plain["notes"] = list(board.notes)
    plain["npus"] = list(board.npus)
    return plain


def from_json(document: object) -> Board:
    """Make a board from a JSON object.

    Raises:
        InvalidInputError: a key is missing, unknown or of the wrong kind, or the figures contradict each other.
    """
    board: Board = _read(Board, document, "")
    _check(board)
    return board


def known_names() -> tuple[str, ...]:
    """The names of the known boards, sorted."""
    return tuple(sorted({*recorded_names(), *DERIVED}))


def recorded_names() -> tuple[str, ...]:
    """The names of the known boards that were recorded; the others are derived from them."""
    return tuple(sorted(path.stem for path in _KNOWN_BOARDS.glob("*.json")))


def load_board(name_or_path: str) -> Board:
    """Read a known board by name (case ignored), or a board from a file.

    Raises:
        UsageError: neither a known name nor a file.
        InvalidInputError: the file is not a board.
    """
    names = known_names()
    name = name_or_path.strip().lower()
    if name in DERIVED:
        return derive(name, load_board)
    if name in names:
        return read_board_file(_KNOWN_BOARDS / f"{name}.json")
    path = Path(name_or_path).expanduser()
    if path.exists() or path.suffix == ".json" or "/" in name_or_path:
        return read_board_file(path)
    from difflib import get_close_matches  # noqa: PLC0415 - 4 ms that only an error costs

    near = get_close_matches(name, names, n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise UsageError(
        f"{name_or_path!r} is neither a board that edgechat knows nor a file.",
        hint=f"{hint}Known boards: {', '.join(names)}.",
    )


def read_board_file(path: Path) -> Board:
    """Read a board from a file.

    Raises:
        InvalidInputError: the file cannot be read, is not JSON, or is not a board.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInputError(f"The board file {path} cannot be read: {error.strerror}.", hint=_HINT) from error
    if len(content) > _MAX_BYTES:
        raise InvalidInputError(f"{path} is too large to be a board file.", hint=_HINT)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} is not JSON: {error}.", hint=_HINT) from error
    try:
        return from_json(document)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error.message}", hint=error.hint) from error


def _read(kind: Any, value: object, place: str) -> Any:  # noqa: ANN401 - the field's type, and a value of it
    """Check one value against a type of the dataclasses and convert it; ``place`` is its JSON Pointer."""
    if is_dataclass(kind):
        return _read_object(kind, value, place)
    if get_origin(kind) is tuple:
        if not isinstance(value, list):
            raise _wrong(place, "a list", value)
        item = get_args(kind)[0]
        return tuple(_read(item, entry, f"{place}/{number}") for number, entry in enumerate(value))
    options = get_args(kind) or (kind,)
    if float in options and type(value) is int:
        value = float(value)
    # type() and not isinstance(): true is not a whole number here.
    if type(value) not in options:
        raise _wrong(place, " or ".join(_WORDS[option] for option in options), value)
    # These texts are printed; a file must not send control characters to the terminal.
    if isinstance(value, str) and not value.isprintable():
        raise _wrong(place, "a text without control characters", value)
    return value


def _read_object(kind: Any, value: object, place: str) -> Any:  # noqa: ANN401 - as above
    if not isinstance(value, dict):
        raise _wrong(place, "an object", value)
    known = {field.name: field for field in fields(kind)}
    for key in value:
        if key not in known:
            raise InvalidInputError(f"A board has no {place}/{key}.", hint=_nearest(str(key), known))
    hints = get_type_hints(kind)
    missing = [
        name
        for name, field in known.items()
        if name not in value and field.default is MISSING and field.default_factory is MISSING
    ]
    if missing:
        raise InvalidInputError(f"The board lacks {place}/{missing[0]}.", hint=_HINT)
    return kind(**{key: _read(hints[key], entry, f"{place}/{key}") for key, entry in value.items()})


def _check(board: Board) -> None:
    cpu, memory = board.cpu, board.memory
    rules = (
        (memory.total > 0, "/memory/total must be above 0"),
        (0 <= memory.available <= memory.total, "/memory/available must lie between 0 and /memory/total"),
        (1 <= cpu.n_big_cores <= cpu.n_cores, "/cpu/n_big_cores must lie between 1 and /cpu/n_cores"),
        (cpu.n_cores <= cpu.n_threads, "/cpu/n_cores must not exceed /cpu/n_threads"),
        (cpu.quota is None or 0 < cpu.quota < float("inf"), "/cpu/quota must be above 0"),
        (memory.swap_total >= 0, "/memory/swap_total must not be negative"),
    )
    for holds, rule in rules:
        if not holds:
            raise InvalidInputError(f"This board cannot exist: {rule}.", hint=_HINT)
    for name in ("cgroup_limit", "cgroup_used", "bandwidth", "address_space_limit"):
        value = getattr(memory, name)
        if value is not None and value < 0:
            raise InvalidInputError(f"This board cannot exist: /memory/{name} must not be negative.", hint=_HINT)
    for number, accelerator in enumerate(board.accelerators):
        place = f"/accelerators/{number}"
        if accelerator.kind not in {"cuda", "metal"}:
            raise InvalidInputError(f"{place}/kind must be cuda or metal, not {accelerator.kind!r}.", hint=_HINT)
        if not 0 <= accelerator.free <= accelerator.total:
            raise InvalidInputError(
                f"This board cannot exist: {place}/free must lie between 0 and {place}/total.", hint=_HINT
            )


def _wrong(place: str, expected: str, value: object) -> InvalidInputError:
    shown = json.dumps(value, default=str)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return InvalidInputError(f"{place or 'The board'} must be {expected}, not {shown}.", hint=_HINT)


def _nearest(key: str, known: dict[str, Any]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - 4 ms that only an error costs

    near = get_close_matches(key, known, n=1)
    return f"Did you mean {near[0]}?" if near else f"It has: {', '.join(known)}."
