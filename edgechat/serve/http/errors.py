"""Error responses: the HTTP status, OpenAI's error object and the headers for each error of edgechat. Pure.

Clients map a status to an exception type and retry some of them. A status therefore says whether a retry can help;
where it would not, the header ``x-should-retry: false`` tells OpenAI's clients so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgechat.errors import (
    AnswerError,
    ContextOverflowError,
    DeadlineError,
    EdgechatError,
    EngineBusyError,
    EngineError,
    InvalidInputError,
    ModelBusyError,
    ModelNotFoundError,
    NoModelError,
    SchemaError,
    StateError,
    TransferError,
    UsageError,
    WrongModelError,
)

if TYPE_CHECKING:
    from pydantic import ValidationError

_MAX_ERRORS_SHOWN = 5


@dataclass
class ApiError(Exception):
    """An error response."""

    status: int
    message: str
    kind: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


_NO_RETRY = {"x-should-retry": "false"}

_TABLE: tuple[tuple[type[EdgechatError], int, str, str | None, dict[str, str]], ...] = (
    (ContextOverflowError, 400, "invalid_request_error", "context_length_exceeded", {}),
    (SchemaError, 400, "invalid_request_error", "invalid_schema", {}),
    (WrongModelError, 400, "invalid_request_error", "wrong_model", {}),
    (InvalidInputError, 400, "invalid_request_error", None, {}),
    (UsageError, 400, "invalid_request_error", None, {}),
    (ModelNotFoundError, 404, "invalid_request_error", "model_not_found", {}),
    (ModelBusyError, 503, "server_error", "model_busy", {"Retry-After": "30"}),
    (NoModelError, 503, "server_error", "no_model", _NO_RETRY),
    (DeadlineError, 503, "server_error", "timeout", {"Retry-After": "5"}),
    (AnswerError, 422, "invalid_request_error", "no_valid_answer", {}),
    (EngineBusyError, 503, "server_error", "busy", {"Retry-After": "2"}),
    # The engine was restarted once and died again on this request, so a third try would not help.
    (EngineError, 503, "server_error", "engine_died", _NO_RETRY),
    (TransferError, 503, "server_error", None, _NO_RETRY),
    (StateError, 503, "server_error", "state_unavailable", _NO_RETRY),
)


def api_error(error: EdgechatError) -> ApiError:
    """The error response for an error of edgechat."""
    for kind, status, name, code, headers in _TABLE:
        if isinstance(error, kind):
            message, param = str(error), "model" if isinstance(error, WrongModelError) else None
            if isinstance(error, SchemaError):
                param = "response_format"
                if error.path not in message:
                    message = f"At {error.path} of the schema: {message}"
            return ApiError(status, message, name, code, param, dict(headers))
    return ApiError(500, str(error), "server_error")


def server_busy(retry_after_s: float) -> ApiError:
    """503 for a full queue, with the time after which to try again."""
    return ApiError(
        503,
        "The queue is full. Try again in a moment.",
        "server_error",
        "busy",
        headers={"Retry-After": str(max(1, round(retry_after_s)))},
    )


def validation_error(error: ValidationError) -> ApiError:
    """400 for a body that does not fit, with its wrong fields."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    texts = [
        f"{_field_path(each['loc'])}: {each['msg'].removeprefix('Value error, ')}" for each in found[:_MAX_ERRORS_SHOWN]
    ]
    if len(found) > _MAX_ERRORS_SHOWN:
        texts.append(f"and {len(found) - _MAX_ERRORS_SHOWN} more")
    return ApiError(400, "; ".join(texts) + ".", param=_field_path(found[0]["loc"]))


def _field_path(steps: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in steps) or "the body"
