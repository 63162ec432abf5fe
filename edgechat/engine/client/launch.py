"""Connects to the running engine, or starts one. Used by clients only."""

from __future__ import annotations

import fcntl
import os
import select
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.engine.child.environment import native_environment
from edgechat.engine.child.interpreter import WORKING_DIRECTORY, python_command
from edgechat.engine.protocol import unix_socket
from edgechat.engine.state import log
from edgechat.errors import EngineError, StateError
from edgechat.ownership import open_own
from edgechat.paths import Paths, private_directory

if TYPE_CHECKING:
    import socket
    from pathlib import Path

START_LOCK = "engine.start.lock"
_supervisors: list[int] = []
"""Children that are not reaped yet: a server runs for months and starts an engine after each idle time."""

READY_TIMEOUT_S = 30.0
"""Starting Python from a slow SD card can take long; loading the model is not included."""


@dataclass(slots=True)
class _StartingEngine:
    """An engine process that is starting."""

    state: Path
    ready: int
    """Descriptor of a pipe to which the engine writes a byte when it listens."""
    log_start: int
    """Offset in bytes at which its part of the log begins."""
    lock: int = -1
    """Descriptor of the start lock, where it is held until :func:`attach_or_start` waits for the engine."""

    def wait(self) -> None:
        """Return when it listens, or when it exited because another engine still holds the engine's lock.

        Raises:
            EngineError: it ended before it listened.
        """
        try:
            readable, _, _ = select.select([self.ready], [], [], READY_TIMEOUT_S)
            if readable and os.read(self.ready, 1) == b"r":
                return
        finally:
            os.close(self.ready)
        tail = log.tail(self.state, start=self.log_start).strip()
        if not tail:
            time.sleep(0.1)  # an exiting engine still holds the lock: the caller tries again
            return
        raise EngineError(
            f"The engine did not start: {tail.splitlines()[-1]}",
            cause="exit",
            hint=f"Its log is {log.path(self.state)}.",
        )


_started_early: list[_StartingEngine] = []
"""The engine that :func:`start_early` started, until :func:`attach_or_start` waits for it."""


def start_early(paths: Paths) -> None:
    """Start an engine if none runs, and return at once; :func:`attach_or_start` waits for it.

    Called at the beginning of a process that will send a request, so that both processes start Python at the same time.
    An engine that no client connects to exits after 10 s without loading a model.

    Raises:
        StateError: the state directory cannot be used.
        OSError: no process can be started.
    """
    if paths.socket.exists():
        return
    if peer := unix_socket.connect_shared(paths.shared):
        peer.close()
        return
    lock = _start_lock(paths)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        start = _start(paths)
    except BlockingIOError:
        os.close(lock)  # another client starts one
    except BaseException:
        os.close(lock)
        raise
    else:
        start.lock = lock
        _started_early.append(start)


def attach_or_start(paths: Paths) -> socket.socket:
    """A connection to the engine of this user, started now if there is none.

    Raises:
        EngineError: a new engine ended before it listened.
        StateError: the state directory cannot be used.
    """
    if _started_early:
        start = _started_early.pop()
        try:
            start.wait()
        finally:
            os.close(start.lock)  # other clients wait for it
    if client := unix_socket.connect(paths.state):
        return client
    lock = _start_lock(paths)
    try:
        # One client starts the engine; the others find it when they get the lock.
        fcntl.flock(lock, fcntl.LOCK_EX)
        until = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < until:
            if client := unix_socket.connect(paths.state):
                return client
            _start(paths).wait()
    finally:
        os.close(lock)
    raise EngineError(
        f"The engine did not start within {READY_TIMEOUT_S:.0f} s.", hint=f"Its log is {log.path(paths.state)}."
    )


def _start_lock(paths: Paths) -> int:
    private_directory(paths.state)
    try:
        return open_own(paths.state / START_LOCK, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise StateError(
            f"Cannot write in {paths.state}: {error.strerror}.",
            hint="Set EDGECHAT_HOME to a directory that can be written.",
        ) from error


def _start(paths: Paths) -> _StartingEngine:
    """Start an engine process. The caller holds the start lock."""
    import subprocess  # noqa: PLC0415 - 10 ms that a client of a running engine does not pay

    _reap_supervisors()
    ready, ready_for_engine = os.pipe()
    log_descriptor = log.open_for_engine(paths.state)
    log_start = log.path(paths.state).stat().st_size
    env = {**native_environment(), "EDGECHAT_STATE": str(paths.state)}
    try:
        process = subprocess.Popen(
            python_command("edgechat.engine.process.main", str(ready_for_engine)),
            stdin=subprocess.DEVNULL,
            stdout=log_descriptor,
            stderr=log_descriptor,
            pass_fds=(ready_for_engine,),
            # The engine outlives the terminal and the login session, and does not get their Ctrl-C.
            start_new_session=True,
            cwd=WORKING_DIRECTORY,
            env=env,
        )
    except BaseException:
        os.close(ready)
        raise
    finally:
        os.close(ready_for_engine)
        os.close(log_descriptor)
    # Without this, subprocess warns about a child that was not waited for.
    process.returncode = 0
    _supervisors.append(process.pid)
    return _StartingEngine(paths.state, ready, log_start)


def _reap_supervisors() -> None:
    """Reap finished supervisor processes. The start lock admits one thread at a time."""
    for pid in tuple(_supervisors):
        try:
            is_over = os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            is_over = True  # already reaped by a caller that waits for any child
        if is_over:
            _supervisors.remove(pid)
