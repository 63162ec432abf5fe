r"""The journal of a batch run: finished records, synced to disk, so that a killed run can be resumed.

One line ``CRC32 JSON\n`` per finished record, in the order in which they finished. A line that a power cut damaged
fails its checksum; the journal ends before it. This module uses no task and no model.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import zlib
from typing import TYPE_CHECKING, Any

from edgechat.errors import InvalidInputError, StateError, UsageError
from edgechat.files import sync_directory
from edgechat.ownership import open_own

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from typing_extensions import Self

SUFFIX = ".journal"
FORMAT = 1
_CRC = 8


class BatchJournal:
    """The journal of one run; holds a file lock until it is closed.

    Args:
        path: the file, beside the output, named after it with :data:`SUFFIX`.
        header: the settings that a resumed run must share (task, version, fields, …).
        resume: continue an existing journal; without it an existing journal is an error.

    Raises:
        UsageError: there is a journal and ``resume`` is false.
        InvalidInputError: the journal belongs to a run with other settings.
        StateError: it cannot be read or written, or another process has it open.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], *, resume: bool) -> None:
        self.path = path
        self._header = {"format": FORMAT, **header}
        self._done = bytearray()
        self.count = 0
        """Number of finished records."""
        self._is_begun = False
        """Whether this run has begun to write a record."""
        self.dropped_bytes = 0
        """Bytes of damaged lines that were removed from the end."""
        self._replayed: dict[int, dict[str, Any]] = {}
        self._reader: Iterator[dict[str, Any]] = iter(())
        try:
            existed = path.exists() and path.stat().st_size > 0
            # A run that was killed before its first record has left nothing to go on with.
            is_bare = existed and not resume and next(_read(path, skip=1), None) is None
            if existed and not resume and not is_bare:
                raise UsageError(
                    f"{path} is left from a run that was interrupted.",
                    hint="Continue it with --resume, or remove that file to start again.",
                )
            self._handle = open_own(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        except OSError as error:
            raise _state_error("open", path, error) from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_bare:
                os.ftruncate(self._handle, 0)
            self._recover()
        except BlockingIOError as error:
            os.close(self._handle)
            raise StateError(f"Another run is writing {path}.", hint="Wait for it, or name another --out.") from error
        except OSError as error:
            os.close(self._handle)
            raise _state_error("read", path, error) from error
        except BaseException:
            os.close(self._handle)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __contains__(self, number: int) -> bool:
        return number < len(self._done) and bool(self._done[number])

    def append(self, entries: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Write finished records and sync them to disk; ``entries`` are pairs of record number and result.

        Raises:
            StateError: the write failed, for example because the disk is full.
        """
        numbers, lines = [], []
        for number, entry in entries:
            numbers.append(number)
            lines.append(_line({"n": number, "entry": entry}))
        if not lines:
            return
        self._is_begun = True
        try:
            self._write(b"".join(lines))
        except OSError as error:
            raise _state_error("write", self.path, error) from error
        for number in numbers:
            self._mark(number)

    @property
    def is_empty(self) -> bool:
        """Whether no record can be in the file; an interrupt may come when one is written and not yet counted."""
        return not (self.count or self._is_begun)

    def read_entry(self, number: int) -> dict[str, Any]:
        """The entry of a finished record. Call once per record, in input order.

        Entries that stand before it in the file stay in memory: at most as many as were running when the run stopped.
        """
        while number not in self._replayed:
            found = next(self._reader, None)
            if found is None:
                raise StateError(f"{self.path} changed while it was read.", hint="Remove it and start again.")
            self._replayed[found["n"]] = found["entry"]
        return self._replayed.pop(number)

    def close(self) -> None:
        """Close the file and release the lock; the run can be resumed later."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            with contextlib.suppress(OSError):
                os.close(handle)

    def discard(self) -> None:
        """Remove the journal of a completed run, or of one that has finished no record."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.close()

    def _recover(self) -> None:
        size = os.fstat(self._handle).st_size
        good = 0
        header: dict[str, Any] | None = None
        for value, end in _read(self.path):
            if header is None:
                header = value
            else:
                self._mark(int(value["n"]))
            good = end
        if header is None:
            # A new file, or one damaged in its first line.
            os.ftruncate(self._handle, 0)
            self._write(_line(self._header))
            sync_directory(self.path.parent)
        else:
            if header != self._header:
                changed = sorted(key for key in {*header, *self._header} if header.get(key) != self._header.get(key))
                raise InvalidInputError(
                    f"{self.path} belongs to another run: {', '.join(changed)} changed since.",
                    hint="Run the same command again with --resume, or remove that file to start again.",
                )
            os.ftruncate(self._handle, good)
            self.dropped_bytes = size - good
        self._reader = (value for value, _ in _read(self.path, skip=1, limit=max(good, 0)))

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._handle, view) :]
        os.fsync(self._handle)

    def _mark(self, number: int) -> None:
        if number >= len(self._done):
            self._done.extend(bytes(max(number + 1, 2 * len(self._done)) - len(self._done)))
        self.count += not self._done[number]
        self._done[number] = 1


def _line(value: Mapping[str, Any]) -> bytes:
    # ASCII, because a refused record may hold a lone surrogate, which UTF-8 cannot encode.
    body = json.dumps(value, separators=(",", ":")).encode("ascii")
    return b"%08x %b\n" % (zlib.crc32(body), body)


def _read(path: Path, *, skip: int = 0, limit: int | None = None) -> Iterator[tuple[dict[str, Any], int]]:
    """The entries up to the first damaged line, each with the offset of its end."""
    end = 0
    with path.open("rb") as stream:
        for line in stream:
            end += len(line)
            if limit is not None and end > limit:
                return
            body = line[_CRC + 1 : -1]
            if not line.endswith(b"\n") or line[:_CRC] != b"%08x" % zlib.crc32(body):
                return
            if skip:
                skip -= 1
                continue
            yield json.loads(body), end


def _state_error(doing: str, path: Path, error: OSError) -> StateError:
    return StateError(
        f"Cannot {doing} {path}: {error.strerror or error}.",
        hint="Free some space or get write permission there, then continue with --resume.",
    )
