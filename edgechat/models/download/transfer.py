"""One file over an unreliable link: resumed, hashed while it is written, verified before anyone may have it.

Opens no connection: an ``Opener`` (``hub.py``) gives bytes from an offset on. The bytes wanted are known by their
sha256, so a partial file stays good whatever became of the server, the presigned location or its ETag.

What is on disk after an interruption is ``partial.py``'s to judge.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgechat.errors import StateError, TransferError
from edgechat.files import PRIVATE_FILE, state_error, sync_directory, write_all
from edgechat.models.download.partial import begin_session, digest, discard, log_of, mark, resume
from edgechat.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from edgechat.models.download.partial import Hasher


SYNC_EVERY = 64 << 20
"""Bytes between two syncs: what a power cut can cost."""
SPACE_MARGIN = 64 << 20
"""Bytes that stay free on the disk after a download, for logs and databases that live beside it."""
PROGRESS_RESETS_PATIENCE = 1 << 20
"""An attempt that brings this many bytes counts as success: the next failure starts counting anew."""


class TemporaryFailure(Exception):  # noqa: N818 - it is not an error until patience has run out
    """An attempt failed in a way that may pass. ``wait_s`` is what the server asked for, None when it did not."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s


class NoConnection(TemporaryFailure):
    """Nobody answered at all: before anything has been fetched that is final."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The bytes to fetch: nothing else is accepted in their place."""

    label: str
    """What people call it."""
    address: str
    """Where a browser would find it."""
    size: int
    sha256: str
    advice: str = "Something between here and the server changes them: try another network or mirror (HF_ENDPOINT)."
    """What to do when wrong bytes come twice."""


@dataclass(slots=True)
class Incoming:
    """A reply that is being read."""

    start: int
    """Offset of the first byte that comes."""
    total: int | None
    """Size of the whole file, as the server says it."""
    etag: str | None
    """A strong validator for If-Range, or None."""
    blocks: Iterator[bytes]


if TYPE_CHECKING:
    Opener = Callable[[int, str | None], AbstractContextManager[Incoming]]
    """``(offset, etag)`` to a reply; raises TemporaryFailure or TransferError."""


@dataclass(slots=True)
class Patience:
    """How often and how long to try again: five failures in a row, waits from 0.5 s to 8 s or what the server asks."""

    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0
    longest_obedience_s: float = 120.0
    """A server that asks for a longer pause than this gets a person's decision instead."""
    sleep: Callable[[float], None] = time.sleep
    progress: Progress = field(default=SILENT)
    failures: int = 0

    def reset(self) -> None:
        """Something worked: count from zero again."""
        self.failures = 0

    def after(self, failure: TemporaryFailure, label: str) -> None:
        """Wait for the next attempt.

        Raises:
            TransferError: too many failures in a row, or the server asks for too long a pause.
        """
        self.failures += 1
        if failure.wait_s is not None and failure.wait_s > self.longest_obedience_s:
            raise TransferError(
                f"{label}: {failure.reason}; the server asks to wait {failure.wait_s:.0f} s.",
                hint="Run the same command again then; it goes on where it stopped.",
            )
        if self.failures >= self.attempts:
            raise TransferError(
                f"{label}: {failure.reason} ({self.failures} times in a row).",
                hint="Run the same command again later; it goes on where it stopped.",
            )
        wait = failure.wait_s
        if wait is None:
            wait = min(self.longest_wait_s, self.first_wait_s * 2 ** (self.failures - 1))
        self.progress.note(f"{failure.reason}; trying again in {wait:g} s ({self.failures} of {self.attempts - 1})")
        self.sleep(wait)


def fetch(
    wanted: Wanted,
    part: Path,
    opener: Opener,
    *,
    progress: Progress = SILENT,
    patience: Patience | None = None,
    checkpoint: Callable[[str], None] = lambda _: None,
) -> None:
    """Complete ``part`` to exactly the bytes wanted, synced to disk.

    What has arrived stays when the download fails or is interrupted, so that the next call goes on from there;
    it is removed only when it is wrong, or when the disk refuses it.

    Raises:
        TransferError: the server does not give those bytes.
        StateError: the disk is full, read-only or broken.
    """
    patience = patience or Patience(progress=progress)
    _Fetch(wanted, part, opener, progress=progress, patience=patience, checkpoint=checkpoint).run()


class _Fetch:
    def __init__(
        self,
        wanted: Wanted,
        part: Path,
        opener: Opener,
        *,
        progress: Progress,
        patience: Patience,
        checkpoint: Callable[[str], None],
    ) -> None:
        self.wanted, self.part, self.opener = wanted, part, opener
        self.progress, self.patience, self.checkpoint = progress, patience, checkpoint
        self.hasher: Hasher = hashlib.sha256()
        self.at = 0
        self.etag: str | None = None
        self.synced = 0
        self.mismatches = 0
        self.farthest = 0

    def run(self) -> None:
        if self._is_whole():
            return
        with self._disk():
            self.hasher, self.at = resume(
                self.part, self.wanted.size, self.progress, f"Checking what has arrived of {self.wanted.label}"
            )
            self.synced = self.farthest = self.at
            begin_session(self.part)
        _require_space(self.part, self.wanted, self.at)
        with self._disk():
            handle = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        self.progress.begin(self.wanted.label, self.wanted.size, self.at)
        try:
            self.checkpoint("transfer-begun")
            while not self._complete(handle):
                self._attempt(handle)
        finally:
            os.close(handle)
            self.progress.end()
        self.checkpoint("transfer-verified")

    def _is_whole(self) -> bool:
        """Whether a finished file lies there: one without a log, perhaps shared with another model by a hard link.

        It is only ever read here, and unlinked when it is not the right one: writing to it could change the other.
        """
        if not self.part.exists() or log_of(self.part).exists():
            return False
        with self._disk():
            if self.part.stat().st_size == self.wanted.size:
                self.progress.begin(f"Checking {self.wanted.label}", self.wanted.size)
                try:
                    if digest(self.part, self.progress) == self.wanted.sha256:
                        return True
                finally:
                    self.progress.end()
            self.part.unlink()
        return False

    def _complete(self, handle: int) -> bool:
        """Whether everything is here and right; wrong bytes are thrown away once, and refused the second time."""
        if self.at < self.wanted.size:
            return False
        with self._disk():
            os.fsync(handle)
        if self.hasher.hexdigest() == self.wanted.sha256:
            with self._disk():
                log_of(self.part).unlink(missing_ok=True)
                sync_directory(self.part.parent)
            return True
        self.mismatches += 1
        found = self.hasher.hexdigest()
        with self._disk():
            os.ftruncate(handle, 0)
            log_of(self.part).unlink(missing_ok=True)
        self._restart()
        self.farthest = 0
        if self.mismatches > 1:
            with self._disk():
                discard(self.part)
            raise TransferError(
                f"{self.wanted.label}: the bytes that came are not the right ones, twice: their sha256 is {found} and "
                f"{self.wanted.sha256} was expected. They were thrown away.",
                hint=self.wanted.advice,
            )
        self.progress.note("The bytes that came are not the right ones; fetching them once more from the start")
        return False

    def _attempt(self, handle: int) -> None:
        try:
            with self.opener(self.at, self.etag) as incoming:
                if not self._accept(incoming):
                    return
                self._read(handle, incoming)
        except TemporaryFailure as failure:
            self._after(failure)
        else:
            if self.at < self.wanted.size:
                self._after(TemporaryFailure(f"the connection closed after {self.at} of {self.wanted.size} bytes"))

    def _after(self, failure: TemporaryFailure) -> None:
        # Only ground never reached before counts: a server that starts over and drops at the same place would
        # otherwise keep us for ever.
        if self.at >= self.farthest + PROGRESS_RESETS_PATIENCE:
            self.farthest = self.at
            self.patience.reset()
        self.patience.after(failure, self.wanted.label)

    def _accept(self, incoming: Incoming) -> bool:
        """Check what the server is about to send; False asks again."""
        wanted = self.wanted
        if incoming.total is not None and incoming.total != wanted.size:
            raise TransferError(
                f"{wanted.label}: the server offers {incoming.total} bytes and the file has {wanted.size}.",
                hint=f"The file may have been replaced, or a proxy answers in its place: look at {wanted.address}",
            )
        if incoming.start == self.at:
            self.etag = incoming.etag or self.etag
            return True
        if incoming.start != 0:
            raise TemporaryFailure(f"the server sent bytes from {incoming.start} on where {self.at} was asked")
        if self.etag is not None:
            # Another ETag for the same file: the hub has just confirmed its sha256, so ask without that condition
            # instead of fetching everything twice. The sha256 has the last word in any case.
            self.etag = None
            return False
        # This server ignores Range. What is on disk stays while the same bytes come again over it, so that an
        # interruption before the old end loses nothing.
        self.progress.note("The server cannot resume; it sends everything from the start")
        self._restart()
        return True

    def _restart(self) -> None:
        self.progress.advance(-self.at)
        self.hasher, self.at, self.synced, self.etag = hashlib.sha256(), 0, 0, None

    def _read(self, handle: int, incoming: Incoming) -> None:
        for block in incoming.blocks:
            if self.at + len(block) > self.wanted.size:
                raise TransferError(
                    f"{self.wanted.label}: the server sends more than the {self.wanted.size} bytes of the file.",
                    hint=f"A proxy may answer in its place: look at {self.wanted.address}",
                )
            with self._disk():
                write_all(handle, block, self.at)
            self.hasher.update(block)
            self.at += len(block)
            self.progress.advance(len(block))
            if self.at - self.synced >= SYNC_EVERY:
                self._sync(handle)

    def _sync(self, handle: int) -> None:
        with self._disk():
            os.fdatasync(handle) if hasattr(os, "fdatasync") else os.fsync(handle)
            mark(self.part, self.at, self.hasher)
        self.synced = self.at
        self.checkpoint("transfer-synced")

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        """A disk that is full or broken keeps nothing of ours: a board needs that room for other things."""
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):
                discard(self.part)
            raise state_error("write", self.part, error) from error


def _require_space(part: Path, wanted: Wanted, at: int) -> None:
    disk = os.statvfs(part.parent)
    free, need = disk.f_bavail * disk.f_frsize, wanted.size - at + SPACE_MARGIN
    if free < need:
        raise StateError(
            f"{wanted.label} needs {need:,} bytes on the disk of {part.parent}, which has {free:,} free.",
            hint="Free some space (edgechat models rm MODEL), or move the models with EDGECHAT_MODELS.",
        )
