"""Prompt prefixes whose KV cells are kept on disk: a task's instructions, a system message, a conversation.

Computing 400 tokens takes a Raspberry Pi most of a minute; restoring them takes milliseconds. A file's name is a digest
of everything its content depends on: the model file, its projector, llama.cpp's build, the cache's type, and the token
ids. A file that does not match the digest written beside it is deleted and computed again. Bounded by bytes; the least
recently used files go first. A prefix is written once, so an SD card hardly notices.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import time
from typing import TYPE_CHECKING

from edgechat.engine.child.background import BackgroundCall
from edgechat.files import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

LIMIT_BYTES = 2 * 1024**3
"""Of all prefixes: manuals that were read ahead take some tens of megabytes a section."""
_DISK_SHARE = 0.2
"""Of the room that prefixes and free space have together."""
MAX_UNSYNCED = 4
"""Prefixes that wait to be synced: a client that sends other instructions with every request must not fill the disk."""

_MOST_AHEAD = 16 * 1024 * 1024
"""Bytes that are checked ahead: a wrong guess must not delay the loading of a model."""

_SAMPLES, _SAMPLE_BYTES = 64, 4096
_STALE_S = 3600.0
"""An unfinished file this old belongs to an engine that died."""


def limit_bytes(directory: Path, most: int = LIMIT_BYTES) -> int:
    """Bytes that all prefixes may take: ``most``, and no more than a share of the free disk."""
    used = sum(each.stat().st_size for each in directory.glob("*.kv"))
    try:
        disk = os.statvfs(directory)
    except OSError:
        return most
    return min(most, round(_DISK_SHARE * (used + disk.f_bavail * disk.f_frsize)))


class DigestAhead:
    """Checks the most recently used prefix while the model is being loaded: first requests often begin with it.

    Args:
        directory: of the prefixes.
    """

    def __init__(self, directory: Path) -> None:
        self._digest = ""
        self._state: tuple[int, ...] = ()
        with contextlib.suppress(OSError):
            file = max(directory.glob("*.kv"), key=lambda each: each.stat().st_mtime_ns, default=None)
            if file is not None and file.stat().st_size <= _MOST_AHEAD:
                self._state = _state(file)
                self._checking = BackgroundCall(self._check, file)

    def digest(self, file: Path) -> str:
        """A file's digest, computed ahead or now.

        Raises:
            OSError: it cannot be read.
        """
        if self._state and _state(file) == self._state:
            self._checking.join()
            if self._digest:
                return self._digest
        return _digest(file)

    def _check(self, file: Path) -> None:
        with contextlib.suppress(OSError):  # reading the file fails again, and is handled there
            self._digest = _digest(file)


class PrefixCache:
    """The files of one model under one set of context parameters.

    Args:
        directory: of the files; shared by all models, since the bound is on all of them together.
        model_key: :func:`model_key` of the loaded model.
        limit: bytes in all.
        ahead: a file that is checked already.
    """

    def __init__(
        self, directory: Path, model_key: str, limit: int = LIMIT_BYTES, *, ahead: DigestAhead | None = None
    ) -> None:
        self._directory = directory
        self._model_key = model_key
        self._limit = limit
        self._digest_of = _digest if ahead is None else ahead.digest
        self._unsynced: list[Path] = []

    def file_of(self, tokens: Sequence[int]) -> Path:
        """The file for the cells of exactly these tokens; it need not exist."""
        digest = hashlib.sha256(self._model_key.encode() + struct.pack(f"<{len(tokens)}i", *tokens)).hexdigest()
        return self._directory / f"{digest}.kv"

    def named(self, name: str) -> Path:
        """The file for the cells of a named conversation, whatever its tokens are now."""
        digest = hashlib.sha256(f"{self._model_key} {name}".encode()).hexdigest()
        return self._directory / f"{digest}.kv"

    def read(self, file: Path, restore: Callable[[Path], list[int]]) -> list[int]:
        """Restore a file if it exists and is undamaged; returns its tokens, or none."""
        checksum = file.with_suffix(".sha256")
        try:
            expected = checksum.read_text().strip()
            is_whole = self._digest_of(file) == expected
        except OSError:
            return []  # absent, or unreadable: the prefix is computed again
        tokens = restore(file) if is_whole else []
        if tokens:
            with contextlib.suppress(OSError):
                os.utime(file)
        else:
            self._remove(file)
        return tokens

    def touch(self, file: Path) -> bool:
        """Note that a file is used; False where it or its digest is absent, so that it would not be read."""
        if not file.with_suffix(".sha256").exists():
            return False
        try:
            os.utime(file)
        except FileNotFoundError:
            return False
        except OSError:
            pass  # a read-only disk: the file is there all the same
        return True

    def write(self, file: Path, save: Callable[[Path], bool]) -> None:
        """Write a file atomically, and delete old ones beyond the limit. On a full disk nothing changes."""
        if self._save(file, save):
            self._finish(file)

    def write_unsynced(self, file: Path, save: Callable[[Path], bool]) -> None:
        """Write cells that will soon change, without waiting for the disk; :meth:`sync_unsynced` finishes the file."""
        is_wanted = len(self._unsynced) < MAX_UNSYNCED and file not in self._unsynced and not file.exists()
        if is_wanted and self._save(file, save):
            self._unsynced.append(file)

    def sync_unsynced(self) -> None:
        """Finish the files of :meth:`write_unsynced`; an SD card may take a second for it."""
        for file in self._unsynced:
            self._finish(file)
        self._unsynced.clear()

    def _save(self, file: Path, save: Callable[[Path], bool]) -> bool:
        temporary = _unfinished(file)
        is_saved = False
        with contextlib.suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            is_saved = save(temporary)
        if not is_saved:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        return is_saved

    def _finish(self, file: Path) -> None:
        """Sync a file, write the digest beside it, and give it its name."""
        temporary, checksum = _unfinished(file), file.with_suffix(".sha256")
        try:
            digest = _digest(temporary, sync=True)
            # A file without a digest is not read, so a crash between these lines costs only the prefix.
            checksum.unlink(missing_ok=True)
            temporary.replace(file)
            write_atomically(checksum, digest.encode(), sync=False)
            self._make_room(file)
        except OSError:
            self._remove(file)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _make_room(self, kept: Path) -> None:
        files = sorted(
            ((each.stat().st_mtime, each.stat().st_size, each) for each in self._directory.glob("*.kv")), reverse=True
        )
        total, limit = 0, limit_bytes(self._directory, self._limit)
        for _, size, file in files:
            total += size
            if total > limit and file != kept:
                self._remove(file)
        for left in self._directory.glob("*.new"):
            if time.time() - left.stat().st_mtime > _STALE_S:
                left.unlink(missing_ok=True)

    @staticmethod
    def _remove(file: Path) -> None:
        with contextlib.suppress(OSError):
            file.with_suffix(".sha256").unlink(missing_ok=True)
            file.unlink(missing_ok=True)


def _unfinished(file: Path) -> Path:
    """The name of a file until it is complete."""
    return file.with_suffix(f".{os.getpid()}.new")


def _state(file: Path) -> tuple[int, ...]:
    """Facts that change with a file's content."""
    facts = file.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _digest(file: Path, *, sync: bool = False) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
        if sync:
            os.fsync(content.fileno())
    return digest.hexdigest()


def model_key(
    file_digest: str, *, build: str, kv_type: str, flash_attn: bool, projector: str = "", has_long_rope: bool = False
) -> str:
    """Everything that saved cells depend on, beside their tokens.

    Not the length of the context, but for LongRoPE: cells are the same in a longer context, and a change of ``--ctx``
    must not lose them all.

    Args:
        file_digest: the model file's SHA-256 where an install recorded one, else :func:`sampled_digest`.
        build: llama.cpp's version and system information, since kernels differ in their last bits.
        kv_type: type of the KV cache.
        flash_attn: whether flash attention computed the cells.
        projector: a digest of the file that turns pictures into cells; ``""`` where there is none.
        has_long_rope: whether the context is longer than the one that the file's header names as the original
            (``rope.scaling.original_context_length``): llama.cpp then turns positions by LongRoPE's long factors, where
            the model has them, instead of the short ones (``llama_model::get_rope_factors``).
    """
    parts = [file_digest, build, kv_type, str(flash_attn)]
    parts += [f"projector {projector}"] if projector else []
    parts += ["long rope"] if has_long_rope else []
    return "\n".join(parts)


def sampled_digest(file: Path) -> str:
    """A digest for files without a recorded hash: of size, time of change, and samples spread over the file.

    Hashing a gigabyte takes a Pi five seconds at every start; a replaced file differs in size, time or any sample.
    """
    facts = file.stat()
    digest = hashlib.sha256(f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ino}".encode())
    with file.open("rb") as content:
        for number in range(_SAMPLES):
            content.seek(facts.st_size * number // _SAMPLES)
            digest.update(content.read(_SAMPLE_BYTES))
    return digest.hexdigest()
