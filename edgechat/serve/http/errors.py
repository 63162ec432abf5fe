"""What an HTTP client is told when something went wrong: status, OpenAI's error object, headers. Pure.

Clients map statuses to exception types and try some of them again, so each status here says truly whether trying again
can help; ``x-should-retry`` is the header by which OpenAI's own clients are told otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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


@dataclass
class Fault(Exception):  # noqa: N818 - a refusal that is answered, not a defect
    """A request that is answered with an error."""

    status: int
    message: str
    kind: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


_NEVER = {"x-should-retry": "false"}

_TABLE: tuple[tuple[type[EdgechatError], int, str, str | None, dict[str, str]], ...] = (
    (ContextOverflowError, 400, "invalid_request_error", "context_length_exceeded", {}),
    (SchemaError, 400, "invalid_request_error", "invalid_schema", {}),
    (WrongModelError, 400, "invalid_request_error", "wrong_model", {}),
    (InvalidInputError, 400, "invalid_request_error", None, {}),
    (UsageError, 400, "invalid_request_error", None, {}),
    (ModelNotFoundError, 404, "invalid_request_error", "model_not_found", {}),
    (ModelBusyError, 503, "server_error", "model_busy", {"Retry-After": "30"}),
    (NoModelError, 503, "server_error", "no_model", _NEVER),
    (DeadlineError, 503, "server_error", "timeout", {"Retry-After": "5"}),
    (AnswerError, 422, "invalid_request_error", "no_valid_answer", {}),
    (EngineBusyError, 503, "server_error", "busy", {"Retry-After": "2"}),
    # The engine was brought back once and died again over this very request: trying it a third time would not help.
    (EngineError, 503, "server_error", "engine_died", _NEVER),
    (TransferError, 503, "server_error", None, _NEVER),
    (StateError, 503, "server_error", "state_unavailable", _NEVER),
)


def fault_of(error: EdgechatError) -> Fault:
    """The answer to a request that ended in ``error``."""
    for kind, status, name, code, headers in _TABLE:
        if isinstance(error, kind):
            message, param = str(error), "model" if isinstance(error, WrongModelError) else None
            if isinstance(error, SchemaError):
                param = "response_format"
                if error.path not in message:
                    message = f"At {error.path} of the schema: {message}"
            return Fault(status, message, name, code, param, dict(headers))
    return Fault(500, str(error), "server_error")


def busy(retry_after_s: float) -> Fault:
    """The queue is full."""
    return Fault(
        503,
        "As many requests wait as this board can hold; try again in a moment.",
        "server_error",
        "busy",
        headers={"Retry-After": str(max(1, round(retry_after_s)))},
    )
