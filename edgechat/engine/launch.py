"""Finds the running engine, or starts one. Clients only; imports ``subprocess`` when there is one to start."""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time
from typing import TYPE_CHECKING

from edgechat.engine import address, log
from edgechat.errors import EngineError, StateError
from edgechat.paths import Paths, private_directory

if TYPE_CHECKING:
    import socket

START_LOCK = "engine.start.lock"
_wardens: list[int] = []
"""Children of this process that it has not buried. A server lives for months, and starts an engine after each nap."""

READY_TIMEOUT_S = 30.0
"""Starting Python from a worn SD card can take long; loading the model is not part of it."""


def attach_or_start(paths: Paths) -> socket.socket:
    """A connection to the engine of this user, started now if there is none.

    Raises:
        EngineError: a new engine ended before it listened.
        StateError: the state directory cannot be used.
    """
    if client := address.connect(paths.state):
        return client
    private_directory(paths.state)
    try:
        lock = os.open(paths.state / START_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateError(
            f"Cannot write in {paths.state}: {error.strerror}.",
            hint="Set EDGECHAT_HOME to a directory that can be written.",
        ) from error
    try:
        # One client starts the engine, the others find it when they get here.
        fcntl.flock(lock, fcntl.LOCK_EX)
        until = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < until:
            if client := address.connect(paths.state):
                return client
            _start(paths)
    finally:
        os.close(lock)
    raise EngineError(
        f"The engine did not start within {READY_TIMEOUT_S:.0f} s.", hint=f"Its log is {log.path(paths.state)}."
    )


def _start(paths: Paths) -> None:
    """Start a process and return when it listens, or when it gave way to one that still holds the lock."""
    import subprocess  # noqa: PLC0415 - 10 ms that a warm client need not pay

    _bury()
    ready, ready_for_engine = os.pipe()
    log_descriptor = log.open_for_engine(paths.state)
    started_at = log.path(paths.state).stat().st_size
    # ggml's own backtrace starts a debugger, if there is one, in a process that is already broken.
    env = {**os.environ, "GGML_NO_BACKTRACE": "1", "EDGECHAT_STATE": str(paths.state)}
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "edgechat.engine.host", str(ready_for_engine)],
            stdin=subprocess.DEVNULL,
            stdout=log_descriptor,
            stderr=log_descriptor,
            pass_fds=(ready_for_engine,),
            # Outlives the terminal and the login that started it, and is not hit by their Ctrl-C.
            start_new_session=True,
            cwd=paths.state,
            env=env,
        )
    finally:
        os.close(ready_for_engine)
        os.close(log_descriptor)
    # The engine is on its own from here; without this, subprocess warns about a child nobody waited for.
    process.returncode = 0
    _wardens.append(process.pid)
    try:
        readable, _, _ = select.select([ready], [], [], READY_TIMEOUT_S)
        if readable and os.read(ready, 1) == b"r":
            return
    finally:
        os.close(ready)
    tail = log.tail(paths.state, start=started_at).strip()
    if not tail:
        time.sleep(0.1)  # a dying engine still holds the lock: try again in a moment
        return
    raise EngineError(
        f"The engine did not start: {tail.splitlines()[-1]}", cause="exit", hint=f"Its log is {log.path(paths.state)}."
    )


def _bury() -> None:
    """Take the ends of earlier wardens from the kernel's list of processes. The start lock lets one thread in."""
    for pid in tuple(_wardens):
        try:
            is_over = os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            is_over = True  # somebody who waits for any child was first
        if is_over:
            _wardens.remove(pid)
