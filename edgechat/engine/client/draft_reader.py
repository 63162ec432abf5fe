"""Sends the draft of a question to a running engine while a person types, so that it reads ahead.

On a connection of its own that exists only while something is typed: that of the answers has one request at a time.
Never starts an engine, never replaces a model, waits for no reply, and reports no failure: the question itself does all
that when it is asked.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from edgechat.engine.client.connection import EngineConnection, EngineGoneError
from edgechat.engine.protocol import unix_socket

if TYPE_CHECKING:
    from edgechat.engine.protocol.request import Request
    from edgechat.paths import Paths

_HANDSHAKE_S = 1.0
"""An engine that takes longer is loading or busy, and would not read ahead."""


class DraftReader:
    """The drafts of one question after another. Not thread-safe.

    Args:
        paths: whose engine.
        limit: most tokens of a draft to read.
    """

    def __init__(self, paths: Paths, limit: int) -> None:
        self._paths, self._limit = paths, limit
        self._link: EngineConnection | None = None
        self._next_id = 0

    def read(self, request: Request, *, is_finished: bool = False) -> bool:
        """Let the engine read the beginning of a request's prompt, in place of the draft before.

        Args:
            request: the question so far.
            is_finished: it may well be sent as it is, so all of the prompt is read.

        Returns:
            Whether an engine got it.
        """
        try:
            link = self._connected()
            if link is None:
                return False
            while link.receive(timeout_s=0.001) is not None:
                pass  # what earlier drafts came to
            self._next_id += 1
            draft = replace(request, prefill_only=True, prefill_whole=is_finished, prefill_limit=self._limit)
            link.send({"type": "generate", "id": self._next_id, "request": draft.to_dict()})
        except EngineGoneError:
            self._disconnect()
            return False
        return True

    def stop(self) -> None:
        """End the reading and disconnect; what was read stays in the engine's cache."""
        if self._link is not None:
            with contextlib.suppress(EngineGoneError):
                self._link.send({"type": "cancel", "id": self._next_id})
            self._disconnect()

    def _disconnect(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def _connected(self) -> EngineConnection | None:
        """The connection; None where no engine of the same version runs."""
        if self._link is None:
            peer = unix_socket.connect(self._paths.state) or unix_socket.connect_shared(self._paths.shared)
            if peer is None:
                return None
            link = EngineConnection(peer, keeps=False, timeout_s=_HANDSHAKE_S)
            if not link.is_same_version:
                link.close()
                return None
            self._link = link
        return self._link
