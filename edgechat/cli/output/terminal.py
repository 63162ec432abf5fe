"""How wide a terminal is, and sentences that break between words there. Knows no command.

A command, an address or a path is never broken: it is there to be copied. What does not go to a terminal has no width,
and each sentence stays one line.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from typing import TextIO

_UNKNOWN = 80
"""A serial console tells no width; this is what it has."""
_LEAST, _READABLE = 40, 100
"""Lines wider than the second are hard to read; nothing can be said in less than the first."""
LABEL = 15
"""Characters before the text of a row that has a label."""
BEWARE = (
    "over plain HTTP whoever listens on the network can read the token and the text; use ssh as above, or a reverse "
    "proxy with TLS (docs/serve.md)"
)
_GLUE = "\0"
_PROGRAMS = "apt|apt-get|curl|export|journalctl|loginctl|ssh|sudo|systemctl"
_COMMANDS = "ask|bench|board|doctor|eval|history|logs|models|ps|run|serve|service|stop|tasks|tui|uninstall"
_BELOW = "add|export|import|install|keys|list|plan|pull|remove|rm|rollback|search|show|status|update|use|verify"
_KEPT_TOGETHER = (
    r"`[^`]+`",
    # After a colon the rest of a clause is the command: `Undo: edgechat history rm --undo 3 4`.
    rf"(?:(?<=: )(?:{_PROGRAMS}|edgechat|pipx?|rm)|^(?:{_PROGRAMS})) .+?(?=[;,] |\.(?: |$)| \(|  |$)",
    # Elsewhere as far as it can be told from the sentence around it.
    rf"\bedgechat (?:{_COMMANDS})\b(?: (?:{_BELOW})\b)?(?: (?:--?[\w-]+|[A-Z][A-Z:_]*\b))*",
    r"-\w N\b|--[\w-]+ [A-Z]+\b",
)


def columns(stream: TextIO | None) -> int | None:
    """How many characters fit on a line; None where ``stream`` is no terminal. ``COLUMNS`` has the first word."""
    if stream is None or not stream.isatty():
        return None
    named = os.environ.get("COLUMNS", "")
    if named.isdecimal() and int(named):
        return int(named)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _UNKNOWN
    except (OSError, ValueError):  # a terminal that only says that it is one
        return _UNKNOWN


def wrapped(text: str, width: int, *, indent: str = "", hanging: str | None = None) -> str:
    """One sentence or more on lines of at most ``width`` characters; only what must stay whole may be longer.

    Args:
        text: on one line.
        width: of the terminal.
        indent: before the first line.
        hanging: before the others; ``indent`` by default.
    """
    import re  # noqa: PLC0415 - a pipe needs neither
    import textwrap  # noqa: PLC0415

    held = re.sub("|".join(_KEPT_TOGETHER), lambda found: found[0].replace(" ", _GLUE), text)
    lines = textwrap.wrap(
        held,
        max(_LEAST, min(width, _READABLE)),
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return "\n".join(lines or [indent]).replace(_GLUE, " ")


def say(text: str, *, indent: str = "", hanging: str | None = None, **style: Any) -> None:  # noqa: ANN401 - click's
    """Write a note, an error or a hint to standard error, wrapped where that is a terminal.

    Args:
        text: on one line, and clean.
        indent: before it.
        hanging: before the lines after the first; ``indent`` by default.
        style: as ``click.secho`` takes it.
    """
    width = columns(sys.stderr)
    shown = indent + text if width is None else wrapped(text, width, indent=indent, hanging=hanging)
    color = style.pop("color", None)
    click.echo(click.style(shown, **style) if style else shown, err=True, color=color)


def say_row(label: str, text: str) -> None:
    """One fact below others on standard error: its label, then the text, which goes on below its own beginning."""
    say(text, indent=f"  {label}".ljust(LABEL), hanging=" " * LABEL)
