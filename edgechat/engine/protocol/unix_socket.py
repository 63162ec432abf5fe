"""The engine's Unix socket: listening and connecting.

Socket addresses hold about 107 bytes; a longer path is reached through an open directory (``/proc/self/fd``), so that
``EDGECHAT_HOME`` may be any directory.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from edgechat.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "engine.sock"
_LIMIT = 100
_SOL_LOCAL, _LOCAL_PEERCRED = 0, 1
"""Of <sys/un.h> on macOS."""


@contextlib.contextmanager
def _address(state: Path) -> Iterator[str]:
    full = str(state / NAME)
    if len(os.fsencode(full)) <= _LIMIT:
        yield full
        return
    if not Path("/proc/self/fd").is_dir():
        raise StateError(
            f"The path {full} is too long for a socket.", hint="Set EDGECHAT_HOME to a directory with a shorter path."
        )
    directory = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{NAME}"
    finally:
        os.close(directory)


def listen(state: Path) -> socket.socket:
    """Bind and listen. The caller holds the engine's lock, so an existing socket belongs to a dead engine.

    Raises:
        StateError: the socket cannot be made.
    """
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        remove(state)
        with _address(state) as path:
            server.bind(path)
        (state / NAME).chmod(0o600)
        server.listen(64)
    except StateError:
        server.close()
        raise
    except OSError as error:
        server.close()
        raise StateError(f"Cannot listen in {state}: {error.strerror}.") from error
    server.setblocking(False)
    return server


def listen_shared(shared: Path | None) -> socket.socket | None:
    """Bind and listen for this user's group too, where this user owns the shared directory; else None.

    Only the service owns it: systemd creates the directory for the service's user and group.
    """
    try:
        if shared is None or shared.stat().st_uid != os.geteuid():
            return None
    except OSError:
        return None
    server = listen(shared)
    try:
        (shared / NAME).chmod(0o660)
    except OSError as error:
        server.close()
        raise StateError(f"Cannot share the engine in {shared}: {error.strerror}.") from error
    return server


def connect_shared(shared: Path | None) -> socket.socket | None:
    """A connection to the machine's own engine; None when there is none, or this user may not use it."""
    try:
        if shared is None or shared.stat().st_uid == os.geteuid() or not os.access(shared / NAME, os.W_OK):
            return None
        return connect(shared, owner=shared.stat().st_uid)
    except (OSError, StateError):
        return None


def connect(state: Path, *, owner: int | None = None) -> socket.socket | None:
    """A connection to the engine, or None when none runs.

    Args:
        state: the directory of the socket.
        owner: the user whose process must be behind it; this user by default.

    Raises:
        StateError: the engine cannot be reached, or another user's process is behind the socket.
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(state) as path:
            client.connect(path)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        client.close()
        return None
    except StateError:
        client.close()
        raise
    except OSError as error:
        client.close()
        raise StateError(f"Cannot reach the engine in {state}: {error.strerror}.") from error
    peer = peer_uid(client)
    # Root can do all that this user can.
    if peer not in {None, 0, os.geteuid() if owner is None else owner}:
        client.close()
        raise StateError(
            f"Behind {state / NAME} is a process of another user ({peer}); nothing was sent to it.",
            hint=f"Remove that socket and see who can write there: ls -la {state}",
        )
    return client


def peer_uid(peer: socket.socket) -> int | None:
    """The user at the other end of a connection; for a client the one who called listen(). None: unknown."""
    if hasattr(socket, "SO_PEERCRED"):
        _, uid, _ = struct.unpack("iII", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return int(uid)
    try:  # macOS and BSD: struct xucred begins with its version and the uid
        _, uid = struct.unpack_from("II", peer.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 128))
    except (OSError, struct.error):
        return None
    return int(uid)


def supervisor_pid(client: socket.socket) -> int | None:
    """Process id of the supervisor of the connected engine, alive or not; None where it is unknown.

    Linux reports the process that called listen(): the supervisor, before it forked.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    pid, _, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return pid or None  # 0: the process is in another container


def process_group(client: socket.socket) -> int | None:
    """Process group of the connected engine, which its supervisor leads; None where it is unknown."""
    pid = supervisor_pid(client)
    if pid is None:
        return None
    try:
        group = os.getpgid(pid)
    except ProcessLookupError:
        return None
    return group if group != os.getpgid(0) else None


def remove(state: Path) -> None:
    """Remove the socket's name."""
    (state / NAME).unlink(missing_ok=True)
