"""The transfer of one file over an unreliable link: resumed, hashed while it is written, and verified.

Opens no connection: an ``Opener`` (made from ``hub.py``) supplies bytes from an offset on. The file is identified by
its sha256, so a partial file stays useful when the server, the presigned location or its ETag changes. ``partial.py``
decides which bytes on disk can be trusted after an interruption.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgechat.errors import TransferError
from edgechat.files import state_error, sync_directory, write_all
from edgechat.models.download.partial import digest, discard, log_boot, log_path, log_sync, resume
from edgechat.models.store.disk_space import require_space
from edgechat.ownership import open_own
from edgechat.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from edgechat.models.download.partial import Hasher


SYNC_EVERY = 64 << 20
"""Bytes between two syncs: what a power cut can cost."""
PROGRESS_RESETS_RETRIES = 1 << 20
"""An attempt that brings this many new bytes counts as success: failures are counted from zero again."""


class TemporaryFailure(Exception):  # noqa: N818 - it becomes an error when the retries are used up
    """An attempt failed and a retry may work. ``wait_s`` is the pause that the server asked for, or None."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s


class NoConnection(TemporaryFailure):
    """No server answered. Final when nothing has been fetched yet."""


class WrongBytesError(TransferError):
    """The bytes of a file are not the expected ones, twice; they were thrown away.

    Attributes:
        found: the sha256 of the bytes that came.
    """

    def __init__(self, expected: ExpectedFile, found: str) -> None:
        super().__init__(
            f"{expected.label}: the bytes that came are not the right ones, twice: their sha256 is {found} "
            f"and {expected.sha256} was expected. They were thrown away.",
            hint="Something between here and the server changes them: try another network or mirror (HF_ENDPOINT).",
        )
        self.found = found


@dataclass(frozen=True, slots=True)
class ExpectedFile:
    """The file to fetch; other bytes are refused."""

    label: str
    """Its name in messages."""
    address: str
    """Its address for a browser."""
    size: int
    sha256: str


@dataclass(slots=True)
class RangeReply:
    """A reply with the bytes of a file from an offset on."""

    start: int
    """Offset of the first byte in it."""
    total: int | None
    """Size of the whole file according to the server, or None."""
    etag: str | None
    """A strong validator for If-Range, or None."""
    blocks: Iterator[bytes]


if TYPE_CHECKING:
    Opener = Callable[[int, str | None], AbstractContextManager[RangeReply]]
    """Takes ``(offset, etag)`` and opens a reply; raises TemporaryFailure or TransferError."""


@dataclass(slots=True)
class RetryPolicy:
    """How often and after which pauses to retry; counts the failures in a row.

    Five failures in a row end it. Pauses grow from 0.5 s to 8 s, or are as long as the server asks.
    """

    attempts: int = 5
    first_wait_s: float = 0.5
    longest_wait_s: float = 8.0
    longest_retry_after_s: float = 120.0
    """When the server asks for a longer pause, the download ends and the user decides."""
    sleep: Callable[[float], None] = time.sleep
    progress: Progress = field(default=SILENT)
    failures: int = 0

    def reset(self) -> None:
        """Count failures from zero again."""
        self.failures = 0

    def wait_after(self, failure: TemporaryFailure, label: str) -> None:
        """Count a failure and wait for the next attempt.

        Raises:
            TransferError: there were too many failures in a row, or the server asks for too long a pause.
        """
        self.failures += 1
        if failure.wait_s is not None and failure.wait_s > self.longest_retry_after_s:
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
    expected: ExpectedFile,
    part: Path,
    opener: Opener,
    *,
    progress: Progress = SILENT,
    retry: RetryPolicy | None = None,
    checkpoint: Callable[[str], None] = lambda _: None,
) -> None:
    """Complete ``part`` to exactly the expected bytes, synced to disk.

    The partial file stays when the download fails or is interrupted, and the next call resumes it. It is removed only
    when its bytes are wrong or the disk fails.

    Raises:
        WrongBytesError: other bytes came, twice.
        TransferError: the server does not send those bytes.
        StateError: the disk is full, read-only or broken.
    """
    retry = retry or RetryPolicy(progress=progress)
    _Fetch(expected, part, opener, progress=progress, retry=retry, checkpoint=checkpoint).run()


class _Fetch:
    def __init__(
        self,
        expected: ExpectedFile,
        part: Path,
        opener: Opener,
        *,
        progress: Progress,
        retry: RetryPolicy,
        checkpoint: Callable[[str], None],
    ) -> None:
        self.expected, self.part, self.opener = expected, part, opener
        self.progress, self.retry, self.checkpoint = progress, retry, checkpoint
        self.hasher: Hasher = hashlib.sha256()
        self.at = 0
        self.etag: str | None = None
        self.synced = 0
        self.mismatches = 0
        self.farthest = 0

    def run(self) -> None:
        if self._is_complete_already():
            return
        with self._disk():
            self.hasher, self.at = resume(
                self.part, self.expected.size, self.progress, f"Checking what has arrived of {self.expected.label}"
            )
            self.synced = self.farthest = self.at
            log_boot(self.part)
        require_space(self.part.parent, self.expected.size - self.at, self.expected.label)
        with self._disk():
            handle = open_own(self.part, os.O_RDWR | os.O_CREAT)
        self.progress.begin(self.expected.label, self.expected.size, self.at)
        try:
            self.checkpoint("transfer-begun")
            while not self._is_verified(handle):
                self._attempt(handle)
        finally:
            os.close(handle)
            self.progress.end()
        self.checkpoint("transfer-verified")

    def _is_complete_already(self) -> bool:
        """Whether ``part`` is complete already: it has no log, and the right bytes.

        Such a file may be a hard link to another model's file. So it is only read here, and unlinked when it is wrong.
        """
        if not self.part.exists() or log_path(self.part).exists():
            return False
        with self._disk():
            if self.part.stat().st_size == self.expected.size:
                self.progress.begin(f"Checking {self.expected.label}", self.expected.size)
                try:
                    if digest(self.part, self.progress) == self.expected.sha256:
                        return True
                finally:
                    self.progress.end()
            self.part.unlink()
        return False

    def _is_verified(self, handle: int) -> bool:
        """Whether all bytes are here and right. Wrong bytes are fetched again once, then they are an error."""
        if self.at < self.expected.size:
            return False
        with self._disk():
            os.fsync(handle)
        if self.hasher.hexdigest() == self.expected.sha256:
            with self._disk():
                log_path(self.part).unlink(missing_ok=True)
                sync_directory(self.part.parent)
            return True
        self.mismatches += 1
        found = self.hasher.hexdigest()
        with self._disk():
            os.ftruncate(handle, 0)
            log_path(self.part).unlink(missing_ok=True)
        self._restart()
        self.farthest = 0
        if self.mismatches > 1:
            with self._disk():
                discard(self.part)
            raise WrongBytesError(self.expected, found)
        self.progress.note("The bytes that came are not the right ones; fetching them once more from the start")
        return False

    def _attempt(self, handle: int) -> None:
        try:
            with self.opener(self.at, self.etag) as incoming:
                if not self._accept(incoming):
                    return
                self._read(handle, incoming)
        except TemporaryFailure as failure:
            self._count_failure(failure)
        else:
            if self.at < self.expected.size:
                self._count_failure(
                    TemporaryFailure(f"the connection closed after {self.at} of {self.expected.size} bytes")
                )

    def _count_failure(self, failure: TemporaryFailure) -> None:
        # Only offsets never reached before count: with a server that starts over and drops at the same offset the
        # download would otherwise never end.
        if self.at >= self.farthest + PROGRESS_RESETS_RETRIES:
            self.farthest = self.at
            self.retry.reset()
        self.retry.wait_after(failure, self.expected.label)

    def _accept(self, incoming: RangeReply) -> bool:
        """Check the reply's size and offset; False to request again."""
        expected = self.expected
        if incoming.total is not None and incoming.total != expected.size:
            raise TransferError(
                f"{expected.label}: the server offers {incoming.total} bytes and the file has {expected.size}.",
                hint=f"The file may have been replaced, or a proxy answers in its place: look at {expected.address}",
            )
        if incoming.start == self.at:
            self.etag = incoming.etag or self.etag
            return True
        if incoming.start != 0:
            raise TemporaryFailure(f"the server sent bytes from {incoming.start} on where {self.at} was asked")
        if self.etag is not None:
            # Another ETag for the same file: the hub has just confirmed its sha256, so request without that condition
            # instead of fetching everything twice. The sha256 is checked in any case.
            self.etag = None
            return False
        # This server ignores Range. The bytes on disk stay and are written again with the same content, so that an
        # interruption before the old end loses nothing.
        self.progress.note("The server cannot resume; it sends everything from the start")
        self._restart()
        return True

    def _restart(self) -> None:
        self.progress.advance(-self.at)
        self.hasher, self.at, self.synced, self.etag = hashlib.sha256(), 0, 0, None

    def _read(self, handle: int, incoming: RangeReply) -> None:
        for block in incoming.blocks:
            if self.at + len(block) > self.expected.size:
                raise TransferError(
                    f"{self.expected.label}: the server sends more than the {self.expected.size} bytes of the file.",
                    hint=f"A proxy may answer in its place: look at {self.expected.address}",
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
            log_sync(self.part, self.at, self.hasher)
        self.synced = self.at
        self.checkpoint("transfer-synced")

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        """Turn an OSError into a StateError and remove the partial file: a board needs the space on a full disk."""
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):
                discard(self.part)
            raise state_error("write", self.part, error) from error
