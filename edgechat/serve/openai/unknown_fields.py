"""What all request models share: strict types, and the rule for fields that this server does not know. Pure.

A field that changes no answer is ignored and named in the response header ``X-Edgechat-Ignored``, because clients send
fields of their own and of other servers. A field that would change the answer is refused by name: one that OpenAI has
and this server lacks, a misspelt one, and the word of another server for something that this one calls differently.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from edgechat.serve.http.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_UNKNOWN = 200
"""Unknown fields of one request; more are refused, because each is compared with the known ones."""
_MAX_NAME = 40
_MAX_HEADER = 1000
_SIMILAR = 0.85
"""Similarity (difflib) from which an unknown name is taken for a misspelt one."""

_RESPONSE_FORMAT = "response_format with a JSON schema"
_OTHER_WORDS = {
    "n_predict": "max_tokens",
    "num_predict": "max_tokens",
    "max_new_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "temp": "temperature",
    "repetition_penalty": "repeat_penalty",
    "format": _RESPONSE_FORMAT,
    "grammar": _RESPONSE_FORMAT,
    "json_schema": _RESPONSE_FORMAT,
    "guided_json": _RESPONSE_FORMAT,
    "guided_regex": f"{_RESPONSE_FORMAT} (a pattern)",
    "guided_choice": f"{_RESPONSE_FORMAT} (an enum)",
    "guided_grammar": _RESPONSE_FORMAT,
    "structured_outputs": _RESPONSE_FORMAT,
    "extra_body": "its fields at the top level of the body",
    "options": "its fields at the top level of the body",
}
"""Words of other servers for what would change the answer -> what to send instead."""


def _require_empty(value: object) -> object:
    if value:
        raise ValueError("is not supported by this server; leave it out")
    return value


class _Harmless:
    """Marks a field that changes no answer; names that resemble it are harmless, too."""


Ignored = Annotated[Any, Field(description="Accepted and ignored: it changes no answer."), _Harmless()]
Unsupported = Annotated[
    Any,
    AfterValidator(_require_empty),
    WithJsonSchema({"enum": [None, False, 0, "", [], {}], "description": "Not supported: null, false, 0 or empty."}),
]


class Fields(BaseModel):
    """A JSON object of a request."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False, use_attribute_docstrings=True)


def unknown_fields(body: Fields) -> list[str]:
    """The paths of fields that are not known and are ignored, such as ``messages.0.id``.

    Raises:
        ApiError: a field would change the answer if it were known, or there are too many.
    """
    found: list[str] = []
    for path, model, name in _unknown(body, ""):
        full = f"{path}{name}"
        meant = _meant(model, name, (model.model_extra or {})[name])
        if meant:
            raise ApiError(400, f"{full[:200]}: there is no such field; send {meant}.", param=full[:200])
        found.append(full)
        if len(found) > MAX_UNKNOWN:
            raise ApiError(400, f"The request has more than {MAX_UNKNOWN} unknown fields.", param=full[:200])
    return found


def ignored_header(paths: list[str]) -> dict[str, str]:
    """The response header that names ignored fields; empty where there are none."""
    text = ", ".join(path.encode("ascii", "backslashreplace").decode() for path in paths)
    text = "".join(char if " " <= char <= "~" else "?" for char in text)
    return {"X-Edgechat-Ignored": text[:_MAX_HEADER]} if text else {}


def _unknown(value: object, path: str) -> Iterator[tuple[str, BaseModel, str]]:
    """Every unknown field: the path before its name, the model around it, its name."""
    if isinstance(value, BaseModel):
        for name in value.model_extra or ():
            yield path, value, name
        for name in value.model_fields_set:
            if name in type(value).model_fields:
                yield from _unknown(getattr(value, name), f"{path}{name}.")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _unknown(each, f"{path}{index}.")


def _meant(model: BaseModel, name: str, value: object) -> str:
    """What an unknown field would change the answer as; ``""`` for a harmless one."""
    if value in (None, "", 0, False) or value in ([], {}):
        return ""
    if name in _OTHER_WORDS and path_is_body(model) and not (name == "repetition_penalty" and value == 1):
        return _OTHER_WORDS[name]
    if len(name) > _MAX_NAME:
        return ""
    known = {
        _folded(each): each
        for each, field in type(model).model_fields.items()
        if not any(isinstance(mark, _Harmless) for mark in field.metadata)
    }
    (close,) = difflib.get_close_matches(_folded(name), known, 1, _SIMILAR) or ("",)
    return known.get(close, "")


def path_is_body(model: BaseModel) -> bool:
    """Whether a model is a whole request body, where the words of other servers are expected."""
    return "model" in type(model).model_fields


def _folded(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
