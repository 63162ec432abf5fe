"""``--schema`` and ``--text``: read the schema, and check the complete answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edgechat.engine.schema import ANY, parse, prepare
from edgechat.errors import AnswerError, EdgechatError, SchemaError


def read_schema(given: str) -> dict[str, Any]:
    """Read a schema from a file, inline JSON, or the word ``any``.

    Raises:
        SchemaError: it cannot be read, is not JSON, or cannot be enforced.
    """
    if given == "any":
        return ANY
    if not given.strip():
        raise SchemaError("The schema is empty.", hint="Name a file, write --schema '{…}', or --schema any")
    if given.lstrip().startswith("{"):
        text = given
    else:
        try:
            text = Path(given).read_text(encoding="utf-8-sig")
        except OSError as error:
            raise SchemaError(
                f"Cannot read the schema {given}: {error.strerror}.",
                hint="Name a file that exists, or write the schema itself: --schema '{…}', or --schema any",
            ) from error
        except UnicodeDecodeError as error:
            raise SchemaError(f"{given} is not UTF-8 text.") from error
    schema = parse(text)
    prepare(schema)
    if not isinstance(schema, dict):
        raise SchemaError("The schema is not an object.", hint="Use --schema any for any JSON object.")
    return schema


def check_answer(text: str, finish_reason: str, *, schema: dict[str, Any]) -> EdgechatError | None:
    """The error of a constrained answer, or None. Only an answer that was cut off can violate its schema."""
    if finish_reason == "length":
        return AnswerError("The answer was cut before the JSON was complete.", hint="Allow more tokens with -n N.")
    if finish_reason != "stop":
        return AnswerError(f"The answer is not complete ({finish_reason}).", hint="Allow more time with --timeout.")
    # 60 ms to import, needed for constrained answers only.
    from edgechat.engine.schema.validity import violations  # noqa: PLC0415

    try:
        value = json.loads(text)
    except ValueError as error:
        return AnswerError(f"The answer is not JSON: {error}.")
    for fault in violations(value, schema):
        return AnswerError(f"The answer does not satisfy the schema at {fault.json_path}: {fault.message}.")
    return None


def check_text(_text: str, finish_reason: str) -> EdgechatError | None:
    """What is wrong with an answer under a regular expression, or None.

    The engine's expressions are not Python's, so the text is not matched again; decoding lets nothing else through.
    """
    if finish_reason == "length":
        return AnswerError("The answer was cut before it matched --text.", hint="Allow more tokens with -n N.")
    if finish_reason != "stop":
        return AnswerError(f"The answer is not complete ({finish_reason}).", hint="Allow more time with --timeout.")
    return None
