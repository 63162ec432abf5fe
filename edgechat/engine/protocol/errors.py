"""Errors as frames: an error of the engine is raised again in the client, with the same class."""

from __future__ import annotations

from typing import Any

from edgechat import errors
from edgechat.errors import EdgechatError


def error_frame(error: EdgechatError, request_id: int) -> dict[str, Any]:
    """The frame for an error of one request."""
    data = {k: v for k, v in vars(error).items() if k not in {"message", "hint"} and isinstance(v, (str, int))}
    return {
        "type": "error",
        "id": request_id,
        # A class that exists only in the engine is sent as its nearest base class in edgechat.errors.
        "kind": next(each.__name__ for each in type(error).__mro__ if hasattr(errors, each.__name__)),
        "message": error.message,
        "hint": error.hint,
        "data": data,
    }


def to_error(frame: dict[str, Any]) -> EdgechatError:
    """The error in a frame of :func:`error_frame`."""
    kind = getattr(errors, str(frame.get("kind")), EdgechatError)
    if not (isinstance(kind, type) and issubclass(kind, EdgechatError)):
        kind = EdgechatError
    # Without the class's own constructor, which may build another message.
    error: EdgechatError = kind.__new__(kind)
    EdgechatError.__init__(error, str(frame.get("message", "")), hint=str(frame.get("hint", "")))
    data = frame.get("data")
    for name, value in data.items() if isinstance(data, dict) else ():
        if not name.startswith("_") and not hasattr(EdgechatError, name):
            setattr(error, name, value)
    return error
