"""What has arrived of one answer, so that it can go on behind it when its engine has died. Knows no sockets.

Token ids mean something to the vocabulary they come from alone: once a second model has gone on with the answer, it is
its text that is handed on.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.engine.protocol.events import Event, Started, Text

if TYPE_CHECKING:
    from edgechat.engine.protocol.request import Request

_SEVERAL = ""
"""Stands for the model's name once more than one has written the answer."""


class Received:
    """The part of an answer that is there."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._model = request.resume_model
        self._tokens = list(request.resume)
        self._text = [request.resume_text]
        self._began = time.monotonic()

    def take(self, event: Event) -> None:
        """Remember what an event brings."""
        if isinstance(event, Started) and event.model != self._model:
            self._model = event.model if self._model is None else _SEVERAL
        elif isinstance(event, Text):
            self._tokens += event.tokens
            if not event.is_thought:
                self._text.append(event.text)

    def remainder(self) -> Request:
        """The request for what is still missing, in the time that is left."""
        left = self._request.timeout_s
        if left is not None:
            left = max(left - (time.monotonic() - self._began), 0.001)
        overflow = self._request.overflow
        if self._tokens and overflow == "summarize" and not self._request.summary:
            # Refused for a summary now, the question would be asked anew: its reader has the beginning of an answer.
            overflow = "trim"
        return replace(
            self._request,
            timeout_s=left,
            overflow=overflow,
            resume=() if self._model == _SEVERAL else tuple(self._tokens),
            resume_model=self._model,
            resume_text="".join(self._text),
        )
