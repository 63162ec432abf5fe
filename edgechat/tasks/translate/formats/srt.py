r"""SubRip subtitles: numbers and timing stay.

Players read on where people write loosely, so this does too: cues may follow each other without an empty line, and an
empty line inside a cue does not end it. A cue ends before the next number with timing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.errors import InvalidInputError
from edgechat.tasks.translate.formats.cue_text import LINE, cue_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgechat.tasks.batch.document import Piece

_TIMING = re.compile(
    r"[ \t]*\d{1,3}:\d{2}:\d{2}[,.]\d{1,3}[ \t]*-->[ \t]*\d{1,3}:\d{2}:\d{2}[,.]\d{1,3}[^\r\n]*(?:\r\n|\n|\r|\Z)"
)
_NUMBER = re.compile(r"\ufeff?[ \t]*\d+[ \t]*(?:\r\n|\n|\r)")


def pieces(text: str) -> Iterator[Piece]:
    """The pieces of an SRT file.

    Raises:
        InvalidInputError: no line is the timing of a cue.
    """
    lines = LINE.findall(text)
    timings = [at for at, line in enumerate(lines) if _TIMING.match(line)]
    if lines and not timings:
        raise InvalidInputError("This is not an SRT file: no line is like 00:00:01,000 --> 00:00:02,000.")
    starts = [at - (at > 0 and bool(_NUMBER.match(lines[at - 1]))) for at in timings]
    yield "".join(lines[: starts[0]]) if starts else ""
    for count, (start, timing) in enumerate(zip(starts, timings, strict=True), 1):
        # A number right behind a timing line is the number of the next cue, and the cue between has no text.
        end = max(starts[count], timing + 1) if count < len(starts) else len(lines)
        yield "".join(lines[start : timing + 1])
        yield from text_pieces(lines[timing + 1 : end], f"cue {lines[start].strip() if start < timing else count}")


def text_pieces(lines: Sequence[str], place: str) -> Iterator[Piece]:
    """The pieces of a cue's lines, each run of lines between empty ones by itself."""
    at = 0
    while at < len(lines):
        begin = at
        while at < len(lines) and lines[at].strip():
            at += 1
        if at > begin:
            yield from cue_pieces(lines[begin:at], place)
        else:
            yield lines[at]
            at += 1
