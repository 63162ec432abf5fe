"""Finds the running engine, or starts one. Clients only; imports ``subprocess`` when there is one to start."""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.engine.child.environment import native_environment
from edgechat.engine.protocol import unix_socket
from edgechat.engine.state import log
from edgechat.errors import EngineError, StateError
from edgechat.paths import Paths, private_directory

if TYPE_CHECKING:
    import socket
    from pathlib import Path

START_LOCK = "engine.start.lock"
_wardens: list[int] = []
"""Children of this process that it has not buried. A server lives for months, and starts an engine after each nap."""

READY_TIMEOUT_S = 30.0
"""Starting Python from a worn SD card can take long; loading the model is not part of it."""


@dataclass(slots=True)
class _Start:
    """An engine process on its way."""

    state: Path
    ready: int
    """A pipe in which it says that it listens."""
    log_start: int
    """Where its part of the log begins, in bytes."""
    lock: int = -1
    """The start lock, where it is held until somebody waits for the engine."""

    def wait(self) -> None:
        """Return when it listens, or when it gave way to one that still holds the engine's lock.

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
            time.sleep(0.1)  # a dying engine still holds the lock: try again in a moment
            return
        raise EngineError(
            f"The engine did not start: {tail.splitlines()[-1]}",
            cause="exit",
            hint=f"Its log is {log.path(self.state)}.",
        )


_ahead: list[_Start] = []
"""What :func:`start_ahead` began and nobody has waited for yet."""


def start_ahead(paths: Paths) -> None:
    """Begin to start an engine where none is, and return at once; :func:`attach_or_start` waits for it.

    For the beginning of a process that will ask something: Python takes as long to start there as it does here. An
    engine that nobody calls after all leaves after some seconds, without ever having loaded a model.

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
        os.close(lock)  # somebody else is at it
    except BaseException:
        os.close(lock)
        raise
    else:
        start.lock = lock
        _ahead.append(start)


def attach_or_start(paths: Paths) -> socket.socket:
    """A connection to the engine of this user, started now if there is none.

    Raises:
        EngineError: a new engine ended before it listened.
        StateError: the state directory cannot be used.
    """
    if _ahead:
        start = _ahead.pop()
        try:
            start.wait()
        finally:
            os.close(start.lock)  # others wait for it, and not for an answer of ours
    if client := unix_socket.connect(paths.state):
        return client
    lock = _start_lock(paths)
    try:
        # One client starts the engine, the others find it when they get here.
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
        return os.open(paths.state / START_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(
            f"Cannot write in {paths.state}: {error.strerror}.",
            hint="Set EDGECHAT_HOME to a directory that can be written.",
        ) from error


def _start(paths: Paths) -> _Start:
    """Start a process. Whoever calls holds the start lock, so that it is the only one."""
    import subprocess  # noqa: PLC0415 - 10 ms that a warm client need not pay

    _bury()
    ready, ready_for_engine = os.pipe()
    log_descriptor = log.open_for_engine(paths.state)
    log_start = log.path(paths.state).stat().st_size
    env = {**native_environment(), "EDGECHAT_STATE": str(paths.state)}
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "edgechat.engine.process.main", str(ready_for_engine)],
            stdin=subprocess.DEVNULL,
            stdout=log_descriptor,
            stderr=log_descriptor,
            pass_fds=(ready_for_engine,),
            # Outlives the terminal and the login that started it, and is not hit by their Ctrl-C.
            start_new_session=True,
            cwd=paths.state,
            env=env,
        )
    except BaseException:
        os.close(ready)
        raise
    finally:
        os.close(ready_for_engine)
        os.close(log_descriptor)
    # The engine is on its own from here; without this, subprocess warns about a child nobody waited for.
    process.returncode = 0
    _wardens.append(process.pid)
    return _Start(paths.state, ready, log_start)


def _bury() -> None:
    """Take the ends of earlier wardens from the kernel's list of processes. The start lock lets one thread in."""
    for pid in tuple(_wardens):
        try:
            is_over = os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            is_over = True  # somebody who waits for any child was first
        if is_over:
            _wardens.remove(pid)
