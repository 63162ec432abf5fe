"""File locks of the model store: ``flock``, which the kernel releases when the process ends.

Only the holder of an exclusive lock removes its file. After locking, the file is compared with the one at the path,
since a lock on a removed file protects nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from typing import TYPE_CHECKING

from edgechat.errors import ModelNotFoundError
from edgechat.files import is_at, state_error
from edgechat.ownership import open_own

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from typing_extensions import Self

IN_USE = "lock"
"""The lock file beside each installed model: locked shared while the model is loaded, exclusively to remove it."""


class Lock:
    """One held lock, released by :meth:`close`, at the end of a ``with`` block, or when the process ends."""

    def __init__(self, handle: int, path: Path) -> None:
        self._handle = handle
        self.path = path

    def close(self, *, remove: bool = False) -> None:
        """Release; ``remove`` deletes the lock file first (exclusive locks only)."""
        if self._handle < 0:
            return
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._handle)
        self._handle = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def try_lock(path: Path, *, shared: bool = False) -> Lock | None:
    """The lock at ``path``, or None when another process holds it. An exclusive lock creates the file.

    Raises:
        FileNotFoundError: there is no such file (shared locks only, which need read permission only).
        StateError: the lock file cannot be opened.
    """
    while True:
        try:
            # A shared lock is also taken on a model file outside the store, which may be a link or another user's.
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if shared else open_own(path, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise state_error("lock", path, error) from error
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            if is_at(handle, path):
                return Lock(handle, path)
        except OSError as error:
            os.close(handle)
            if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                return None
            raise state_error("lock", path, error) from error
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # its last holder has removed the file: open the new one


def lock(path: Path, *, waiting: Callable[[], None] | None = None, poll_s: float = 0.1) -> Lock:
    """Take the lock at ``path``; ``waiting`` is called once when another process holds it.

    Polls instead of blocking in the kernel, so that Ctrl-C works everywhere.
    """
    if (held := try_lock(path)) is not None:
        return held
    if waiting is not None:
        waiting()
    while (held := try_lock(path)) is None:
        time.sleep(poll_s)
    return held


def lock_model(model: Path) -> Lock:
    """Keep an installed model file from being removed while it is loaded.

    A file outside the store has no lock file and is locked itself.

    Raises:
        ModelNotFoundError: the file is not there, or is being removed at this moment.
        StateError: the lock cannot be read.
    """
    path = model.parent / IN_USE
    try:
        held = try_lock(path if path.exists() else model, shared=True)
    except FileNotFoundError:
        held = None
    if held is None or not model.exists():
        raise ModelNotFoundError(f"{model} has been removed.", hint="See what there is: edgechat models list")
    return held
