"""The chat's connection to the engine, from any thread: connect, interrupt, close, ask before a model switch.

While the state directory cannot be written (read-only, or a full disk), the engine's socket and log go to a temporary
directory, in memory where the machine offers that. The engine that is started there leaves with this process.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.paths import private_directory
from edgechat.tui.session.messages import ModelSwitchRequested

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.message import Message

    from edgechat.engine.client.client import EngineClient
    from edgechat.paths import Paths

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a private directory is made below it
_PROBE_BYTES = 4096
_SOCKET = "engine.sock"


class EngineConnection:
    """One client of the engine, created when it is first used."""

    def __init__(self, paths: Paths, post: Callable[[Message], object]) -> None:
        self._paths = paths
        self._post = post
        self._client: EngineClient | None = None
        self._stopped = threading.Event()
        self._fallback: Path | None = None
        self._decide: Callable[[bool], None] | None = None

    @property
    def paths(self) -> Paths:
        """Where the engine is."""
        return self._paths

    @property
    def is_stopped(self) -> bool:
        """Whether :meth:`stop` was called since the last :meth:`reset`."""
        return self._stopped.is_set()

    def client(self) -> EngineClient:
        """The client; connects when there is none."""
        # The engine's side: 60 ms that the first frame need not wait for.
        from edgechat.engine.client.client import EngineClient  # noqa: PLC0415
        from edgechat.engine.protocol import unix_socket  # noqa: PLC0415

        if self._client is None:
            if (peer := unix_socket.connect(self._paths.state)) is not None:
                peer.close()  # with a running engine nothing has to be written
            else:
                self._paths, self._fallback = with_writable_state(self._paths)
            self._client = EngineClient(self._paths, keeps=True, may_switch=self._may_switch)
        return self._client

    def stop(self) -> None:
        """Interrupt the running answer and refuse a model switch that is being asked about."""
        self._stopped.set()
        if self._decide is not None:
            self._decide(False)
        if (client := self._client) is not None:
            client.interrupt()

    def reset(self) -> None:
        """Prepare for the next question: after :meth:`stop`, drop the interrupted client."""
        if self._stopped.is_set():
            self.drop()
            self._stopped.clear()

    def drop(self) -> None:
        """Close the client. An interrupted one cannot be used again; the next question connects anew."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def close(self) -> None:
        """Close the client and remove the temporary directory."""
        self.drop()
        if self._fallback is not None:
            shutil.rmtree(self._fallback, ignore_errors=True)

    def _may_switch(self, question: str) -> bool:
        """Ask the user, and wait for the decision. Runs in the worker thread."""
        done = threading.Event()
        answers: list[bool] = []

        def decide(answer: bool) -> None:
            answers.append(answer)
            done.set()

        self._decide = decide
        if self._stopped.is_set():
            return False
        self._post(ModelSwitchRequested(question, decide))
        done.wait()
        self._decide = None
        return answers[0]


def has_engine(paths: Paths) -> bool:
    """Whether an engine may be running for this user, by its socket's name; imports nothing of the engine's side."""
    shared = paths.shared
    return (paths.state / _SOCKET).exists() or (shared is not None and (shared / _SOCKET).exists())


def with_writable_state(paths: Paths) -> tuple[Paths, Path | None]:
    """Return ``paths``, with a temporary state directory if the real one cannot be written, and that directory.

    Raises:
        StateError: no directory can be written.
    """
    if is_writable(paths.state):
        return paths, None
    parent = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
    try:
        folder = Path(tempfile.mkdtemp(prefix="edgechat-", dir=parent))
    except OSError as error:
        raise StateError(
            f"Neither {paths.state} nor a temporary directory can be written: {error.strerror}.",
            hint="Free some space, or set EDGECHAT_HOME to a directory that can be written.",
        ) from error
    # No other client can find an engine in this directory, so it has to end with this process.
    os.environ["EDGECHAT_KEEP_ALIVE"] = "0"
    return replace(paths, state=folder), folder


def is_writable(folder: Path) -> bool:
    """Whether a page can be written in ``folder``, which is created if it is missing."""
    try:
        private_directory(folder)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            return file.write(b"\0" * _PROBE_BYTES) == _PROBE_BYTES
    except (OSError, StateError):
        return False
