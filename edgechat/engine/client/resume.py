"""The part of an answer that has arrived, and the request that continues it after the engine died.

Token ids are valid for one vocabulary only: once a second model has continued the answer, its text is sent instead.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.engine.protocol.events import Event, Started, Text

if TYPE_CHECKING:
    from edgechat.engine.protocol.request import Request

_SEVERAL = ""
"""In place of the model's name once more than one model has written the answer."""


class PartialAnswer:
    """The part of an answer that has arrived."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._model = request.resume_model
        self._tokens = list(request.resume)
        self._text = [request.resume_text]
        self._began = time.monotonic()

    def add(self, event: Event) -> None:
        """Add the content of an event."""
        if isinstance(event, Started) and event.model != self._model:
            self._model = event.model if self._model is None else _SEVERAL
        elif isinstance(event, Text):
            self._tokens += event.tokens
            if not event.is_thought:
                self._text.append(event.text)

    @property
    def is_missing(self) -> bool:
        """Whether the model ended its answer without a text, although nothing in the request asked for that."""
        request = self._request
        return not (request.texts or request.stop or request.constraint or "".join(self._text).strip())

    def remainder(self) -> Request:
        """The request for the rest of the answer, with the time that is left."""
        left = self._request.timeout_s
        if left is not None:
            left = max(left - (time.monotonic() - self._began), 0.001)
        overflow = self._request.overflow
        if self._tokens and overflow == "summarize" and not self._request.summary:
            # A refusal for a summary would restart the answer, whose beginning has already been shown.
            overflow = "trim"
        return replace(
            self._request,
            timeout_s=left,
            overflow=overflow,
            resume=() if self._model == _SEVERAL else tuple(self._tokens),
            resume_model=self._model,
            resume_text="".join(self._text),
        )
