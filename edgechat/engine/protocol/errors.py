"""Errors across the wire: an error raised in the engine is raised again, same class, in the client."""

from __future__ import annotations

from typing import Any

from edgechat import errors
from edgechat.errors import EdgechatError


def error_frame(error: EdgechatError, request_id: int) -> dict[str, Any]:
    """The frame that carries an error of one request."""
    data = {k: v for k, v in vars(error).items() if k not in {"message", "hint"} and isinstance(v, (str, int))}
    return {
        "type": "error",
        "id": request_id,
        # A class that exists only in the engine travels as the nearest one that clients know.
        "kind": next(each.__name__ for each in type(error).__mro__ if hasattr(errors, each.__name__)),
        "message": error.message,
        "hint": error.hint,
        "data": data,
    }


def to_error(frame: dict[str, Any]) -> EdgechatError:
    """The error in such a frame."""
    kind = getattr(errors, str(frame.get("kind")), EdgechatError)
    if not (isinstance(kind, type) and issubclass(kind, EdgechatError)):
        kind = EdgechatError
    # Built without the class's own constructor, which may word the message itself.
    error: EdgechatError = kind.__new__(kind)
    EdgechatError.__init__(error, str(frame.get("message", "")), hint=str(frame.get("hint", "")))
    data = frame.get("data")
    for name, value in data.items() if isinstance(data, dict) else ():
        if not name.startswith("_") and not hasattr(EdgechatError, name):
            setattr(error, name, value)
    return error
