"""Read a file that is attached to a question: text, or an image for a vision model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgechat.chat.conversation import Attachment
from edgechat.errors import EdgechatError, StateError
from edgechat.plaintext import clean, clean_line

if TYPE_CHECKING:
    from pathlib import Path

_TEXT_LIMIT = 1 << 20
"""Largest text file in bytes that can be attached; no board's context holds more."""
_IMAGE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def read_attachment(path: Path) -> Attachment:
    """Read a text file, cleaned of control characters, or a PNG or JPEG file, whose header is checked.

    Raises:
        StateError: it cannot be read.
        EdgechatError: it is too large, or neither text nor such an image.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_TEXT_LIMIT + 1)
            is_image = data.startswith(_IMAGE_STARTS)
            if is_image:
                data = _image(data + stream.read(), path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StateError(f"Cannot read {path}: {reason}.") from error
    name = clean_line(path.name)
    if is_image:
        return Attachment(name, image=data)
    if len(data) > _TEXT_LIMIT:
        raise EdgechatError(f"{path} has more than 1 MiB; no context here holds that.")
    try:
        return Attachment(name, clean(data.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise EdgechatError(f"{path} is neither UTF-8 text nor a PNG or JPEG image.", hint="Convert it.") from error


def _image(data: bytes, path: Path) -> bytes:
    from edgechat.engine.protocol import images  # noqa: PLC0415 - needed for images only

    images.check(data, str(path))
    return data
