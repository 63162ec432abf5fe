"""A path as a user types it into a field."""

from __future__ import annotations

from pathlib import Path

from edgechat.errors import UsageError


def typed_path(text: str) -> Path:
    """The path in ``text``, without spaces around it and with ``~`` expanded as in a shell.

    Raises:
        UsageError: ``~NAME`` names a user that does not exist.
    """
    typed = text.strip()
    try:
        return Path(typed).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{typed}: there is no such user.", hint="Write the path in full.") from error
