"""Reads reference files: one record with its expected answer per line, ``{"input": {...}, "reference": {...}}``.

The whole file is checked before the first question, so that a mistake in line 900 is not found after an hour.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from edgechat.errors import InvalidInputError
from edgechat.tasks.batch.records import BOM
from edgechat.tasks.batch.text_encoding import decoded, lines
from edgechat.tasks.json_input import DuplicateKeyError, parse_json
from edgechat.tasks.runner import id_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgechat.tasks.contract import Task


@dataclass(frozen=True, slots=True)
class Pair:
    """One input with its expected answer."""

    id: str | int
    """The input's own id, else its line number."""
    input: dict[str, Any]
    reference: dict[str, Any]

    def line(self) -> bytes:
        """The input as one JSON line for a batch run, with this pair's id."""
        return json.dumps({**self.input, "id": self.id}).encode("ascii") + b"\n"


def read_pairs(pieces: Iterable[bytes], name: str, task: Task[Any, Any], *, limit: int | None = None) -> list[Pair]:
    """The pairs of a file, in order.

    Raises:
        InvalidInputError: a line is not a pair, or the file has none.
    """
    pairs = list(islice(_pairs(pieces, name), limit))
    if not pairs:
        raise InvalidInputError(
            f"{name} holds no pair.", hint='One per line: {"input": {…}, "reference": {…}}; see docs/eval.md.'
        )
    _require_inputs(pairs, name, task)
    return pairs


def _pairs(pieces: Iterable[bytes], name: str) -> Iterable[Pair]:
    for number, line in enumerate(lines(decoded(pieces, "utf-8", name), name), 1):
        text = line.removeprefix(BOM) if number == 1 else line
        if not text.strip():
            continue
        try:
            value = parse_json(text)
        except DuplicateKeyError as error:
            raise InvalidInputError(
                f"{name}, line {number} cannot be used: {error}.", hint="Remove one of the two."
            ) from error
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"{name}, line {number} is not JSON: {error}.") from error
        if not isinstance(value, dict) or not all(isinstance(value.get(key), dict) for key in ("input", "reference")):
            raise InvalidInputError(
                f"{name}, line {number} is not a pair.",
                hint='It needs {"input": {…}, "reference": {…}}; see docs/eval.md.',
            )
        identity = id_of(value.get("id", value["input"].get("id")), number)
        yield Pair(identity, {key: item for key, item in value["input"].items() if key != "id"}, value["reference"])


def _require_inputs(pairs: Sequence[Pair], name: str, task: Task[Any, Any]) -> None:
    from pydantic import ValidationError  # noqa: PLC0415 - loaded already by the task's models

    for pair in pairs:
        try:
            task.input_model.model_validate(pair.input)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = "/".join(str(step) for step in first["loc"])
            raise InvalidInputError(
                f"{name}: the input of {pair.id} is not one of {task.name}: {place}: {first['msg']}.",
                hint=f"What it takes: edgechat tasks show {task.name} --schema input",
            ) from error
