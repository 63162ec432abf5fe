"""A forward-only cursor over the bytes of one GGUF file: numbers, strings and fast skips, each checked against the end.

Reads windows with ``pread`` and never maps the file: when a mapped file shrinks or its USB stick is pulled out, the
process gets SIGBUS, while a read returns an error. Decodes values and does not interpret them.
"""

from __future__ import annotations

import os
import stat
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from edgechat.errors import InvalidModelFileError, ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WINDOW = 256 * 1024
"""Bytes read at a time. Larger windows were not faster; a skip holds two windows in memory."""

MARK_STRIDE = 4096
"""Strings between two remembered offsets of a skipped array, so that one string is found without skipping from 0."""

DOWNLOAD_AGAIN = "Download it again, or use another file."

_LENGTH = struct.Struct("<Q")


def invalid(path: Path, fault: str, hint: str = DOWNLOAD_AGAIN) -> InvalidModelFileError:
    """The error for a damaged or unusable file, with the file and the fault in its message."""
    return InvalidModelFileError(f"{path} is not a usable GGUF model: {fault}.", hint=hint)


def quoted(text: str) -> str:
    """A name from a file for a message: shortened, quoted, control characters escaped."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, int]]:
    """Open a regular file; yields its descriptor and size. A pipe or a device is refused before it is opened.

    Raises:
        ModelNotFoundError: there is no such file.
        InvalidModelFileError: it cannot be opened, or is not a regular file.
    """
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
        # O_NONBLOCK: if a pipe replaces the file in between, opening it must not wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK) if regular else -1
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotFoundError(f"{path} does not exist.", hint="Check the path.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise invalid(path, f"it cannot be read: {reason}", "Check its permissions and the disk.") from error
    if fd < 0:
        raise invalid(path, "it is not a regular file", "Give the path of a .gguf file.")
    try:
        yield fd, os.fstat(fd).st_size
    finally:
        os.close(fd)


class Cursor:
    """A position in an open file.

    Args:
        path: for messages only.
        fd: an open descriptor; the caller closes it.
        size: the file's size in bytes; nothing beyond it is read.
        offset: the first byte to read.
    """

    __slots__ = ("_base", "_fd", "_pos", "_window", "path", "size")

    def __init__(self, path: Path, fd: int, size: int, offset: int = 0) -> None:
        self.path = path
        self.size = size
        self._fd = fd
        self._base = offset
        self._pos = 0
        self._window = b""

    @property
    def offset(self) -> int:
        """Bytes from the start of the file."""
        return self._base + self._pos

    @property
    def remaining(self) -> int:
        """Bytes from here to the end of the file."""
        return self.size - self.offset

    def fail(self, fault: str, hint: str = DOWNLOAD_AGAIN) -> NoReturn:
        """Raise :func:`invalid` for this file."""
        raise invalid(self.path, fault, hint)

    def peek(self, count: int) -> bytes:
        """Up to ``count`` bytes from here, fewer at the end of the file, without moving."""
        count = min(count, self.remaining)
        self._need(count, "the file")
        return self._window[self._pos : self._pos + count]

    def number(self, layout: struct.Struct, what: str) -> int | float | bool:
        """One scalar of the given layout."""
        if self._pos + layout.size > len(self._window):
            self._need(layout.size, what)
        (value,) = layout.unpack_from(self._window, self._pos)
        self._pos += layout.size
        return value  # type: ignore[no-any-return]  # unpack gives Any; the layout decides

    def numbers(self, code: str, count: int, what: str) -> tuple[int | float | bool, ...]:
        """``count`` scalars of one struct code; the caller limits ``count``."""
        layout = struct.Struct(f"<{count}{code}")
        self._need(layout.size, what)
        values = layout.unpack_from(self._window, self._pos)
        self._pos += layout.size
        return values

    def length(self, what: str) -> int:
        """An unsigned 64-bit count or length, not yet checked."""
        return self.number(_LENGTH, what)  # type: ignore[return-value]  # the layout is that of an integer

    def raw(self, limit: int, what: str) -> bytes:
        """One length-prefixed string of at most ``limit`` bytes."""
        length = self.length(what)
        if length > self.remaining:
            self.fail(f"{what} is said to be {length} bytes long, past the end of the file")
        if length > limit:
            self.fail(f"{what} is {length} bytes long; at most {limit} are read")
        self._need(length, what)
        start = self._pos
        self._pos += length
        return self._window[start : self._pos]

    def text(self, limit: int, what: str) -> str:
        """One UTF-8 string; other bytes are refused.

        llama-cpp-python drops *all* metadata of a file that has a single byte that is not UTF-8, and then silently
        uses the wrong chat format.
        """
        value = self.raw(limit, what)
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            self.fail(f"{what} holds a byte that is not UTF-8 (0x{value[error.start]:02x} at byte {error.start})")

    def skip(self, length: int, what: str) -> None:
        """Step over ``length`` bytes without reading them."""
        if length > self.remaining:
            self.fail(f"{what} takes {length} bytes, past the end of the file")
        self._pos += length

    def skip_strings(self, count: int, what: str) -> tuple[int, ...]:
        """Step over ``count`` strings; returns the offset of every ``MARK_STRIDE``-th one.

        Only lengths are read: 57 ns a string on a 2020s x86 core, so 300,000 strings cost 17 ms there.
        """
        marks = []
        for done in range(0, count, MARK_STRIDE):
            marks.append(self.offset)
            self._skip_strings(min(MARK_STRIDE, count - done), what)
        return tuple(marks)

    def _skip_strings(self, left: int, what: str) -> None:
        unpack = _LENGTH.unpack_from
        while left:
            window, pos = self._window, self._pos
            try:
                for undone in range(left, 0, -1):  # noqa: B007  # read after an exception
                    (length,) = unpack(window, pos)
                    pos += 8 + length
            except (struct.error, OverflowError):
                # The next length lies outside the window (OverflowError: so far outside that no index reaches it).
                left = undone
                self._pos = pos
                self._need(8, what)
            else:
                left = 0
                self._pos = pos
        if self.offset > self.size:
            self.fail(f"a string of {what} reaches past the end of the file")

    def strings(self, count: int, what: str) -> Iterator[bytes]:
        """``count`` undecoded strings in order, each at most a window long; some 150 ns each."""
        unpack = _LENGTH.unpack_from
        done = 0
        while done < count:
            self._need(8, what)
            window, pos = self._window, self._pos
            while done < count and pos + 8 <= len(window):
                (length,) = unpack(window, pos)
                end = pos + 8 + length
                if end > len(window):
                    break
                yield window[pos + 8 : end]
                pos = end
                done += 1
            if pos == self._pos:
                # The next string is longer than what is left of the window: read it alone.
                yield self.raw(WINDOW, f"entry {done} of {what}")
                done += 1
            else:
                self._pos = pos

    def _need(self, count: int, what: str) -> None:
        """Read until ``count`` bytes are in the window; refuse a file that ends before."""
        if 0 <= self._pos <= len(self._window) - count:
            return
        offset = self.offset
        if offset + count > self.size:
            self.fail(f"it ends inside {what} (byte {min(offset, self.size)} of {self.size})")
        pieces: list[bytes] = []
        have = 0
        want = max(count, min(WINDOW, self.size - offset))
        while have < count:
            try:
                piece = os.pread(self._fd, want - have, offset + have)
            except OSError as error:
                self.fail(f"it cannot be read: {error.strerror}", "Check the disk it lies on.")
            if not piece:
                self.fail("it became shorter while it was read", "Wait until it is completely written.")
            pieces.append(piece)
            have += len(piece)
        self._window = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._base = offset
        self._pos = 0
