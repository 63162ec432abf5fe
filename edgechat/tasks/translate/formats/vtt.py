"""WebVTT subtitles: the header, NOTE, STYLE and REGION blocks, ids, timing, settings, voices and tags stay.

Format: W3C, "WebVTT: The Web Video Text Tracks Format".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.translate.formats.cue_text import LINE, cue_pieces
from edgechat.tasks.translate.formats.shield import Shield

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgechat.tasks.batch.document import Piece

_TIMING = re.compile(r"[ \t]*(?:\d{2,}:)?\d{2}:\d{2}\.\d{3}[ \t]+-->[ \t]+(?:\d{2,}:)?\d{2}:\d{2}\.\d{3}(?=[\s]|\Z)")
_OTHER = re.compile(r"(?:NOTE|STYLE|REGION)(?=[ \t\r\n]|\Z)")
_VOICE = re.compile(r"[ \t]*<v(?:\.[^\s<>]+)*(?:[ \t][^<>]*)?>[ \t]*")
_VOICE_END = re.compile(r"[ \t]*</v>[ \t]*\Z")
_TAGS = Shield(r"<[^<>{}\n]*>")
_MARKUP = re.compile(r"&(?!(?:[A-Za-z][A-Za-z0-9]*|#[0-9]+|#x[0-9A-Fa-f]+);)|[<>]")
_SPELLED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of a WebVTT file.

    Raises:
        InvalidInputError: the first line is not WEBVTT.
    """
    if text and not re.match(r"\ufeff?WEBVTT(?=[ \t\r\n]|\Z)", text):
        raise InvalidInputError("This is not a WebVTT file: it does not begin with WEBVTT.")
    lines = LINE.findall(text)
    at = 0
    count = 0
    is_start = True  # of a block
    while at < len(lines):
        line = lines[at]
        if is_start and (at == 0 or _OTHER.match(line)):
            # The block ends at an empty line, or before a line of timing.
            begin = at
            while at < len(lines) and lines[at].strip() and not _TIMING.match(lines[at]):
                at += 1
            yield "".join(lines[begin:at])
            is_start = False
            continue
        yield line
        at += 1
        is_start = not line.strip()
        if not _TIMING.match(line):
            continue
        count += 1
        begin = at
        while at < len(lines) and lines[at].strip() and "-->" not in lines[at]:
            at += 1
        named = lines[begin - 2].strip() if begin > 1 else ""
        place = f"cue {named or count}"
        if at > begin:
            yield from cue_pieces(lines[begin:at], place, read=_TAGS.hide, write=_spelled, head=_VOICE, tail=_VOICE_END)


def _spelled(text: str) -> str:
    return "".join(
        part if is_tag else _MARKUP.sub(lambda found: _SPELLED[found[0]], part) for part, is_tag in _TAGS.parts(text)
    )
