"""The server's token: a private file that is created on first use and can be replaced at any time.

A running server reads a new token without a restart.
"""

from __future__ import annotations

import hmac
import secrets
import stat
from typing import TYPE_CHECKING

from edgechat.errors import StateError
from edgechat.files import write_atomically
from edgechat.paths import private_directory

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.paths import Paths

FILE = "serve.token"
_BYTES = 32


class Token:
    """The token of this user's server."""

    def __init__(self, paths: Paths) -> None:
        self.file: Path = paths.config / FILE
        self._cached: tuple[tuple[int, int, int], bytes] | None = None

    def ensure(self) -> None:
        """Create the token if there is none, and check that it can be used.

        Raises:
            StateError: the file cannot be written or read, or other users can read it.
        """
        if not self.file.exists():
            self.rotate()
        self._read()

    def rotate(self) -> None:
        """Replace the token atomically.

        Raises:
            StateError: the file cannot be written.
        """
        folder = private_directory(self.file.parent)
        try:
            write_atomically(folder / FILE, f"{secrets.token_urlsafe(_BYTES)}\n".encode("ascii"))
        except OSError as error:
            raise StateError(f"Cannot write {self.file}: {error.strerror}.") from error

    def matches(self, presented: str) -> bool:
        """Whether ``presented`` is the token, compared in constant time.

        Raises:
            StateError: the file cannot be read.
        """
        return hmac.compare_digest(self._read(), presented.encode("utf-8", "surrogateescape"))

    def text(self) -> str:
        """The token.

        Raises:
            StateError: the file cannot be read.
        """
        return self._read().decode("ascii", "surrogateescape")

    def _read(self) -> bytes:
        try:
            facts = self.file.stat()
            identity = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
            if self._cached is not None and self._cached[0] == identity:
                return self._cached[1]
            text = self.file.read_bytes().strip()
        except OSError as error:
            raise StateError(
                f"Cannot read {self.file}: {error.strerror}.", hint="Make a new one: edgechat serve --rotate-token"
            ) from error
        if stat.S_IMODE(facts.st_mode) & 0o077:
            raise StateError(f"{self.file} can be read by other users.", hint=f"Run: chmod 600 {self.file}")
        if len(text) < _BYTES:
            raise StateError(
                f"{self.file} holds no token of at least {_BYTES} characters.",
                hint="Make a new one: edgechat serve --rotate-token",
            )
        self._cached = (identity, text)
        return text
