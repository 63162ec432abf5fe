"""The terminal's width, and text wrapped to it.

A command, an address or a path is never broken, so that it can be copied. Output that does not go to a terminal is not
wrapped: each sentence stays one line.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from typing import TextIO

_DEFAULT_WIDTH = 80
"""For terminals that do not report a width, such as a serial console."""
_MIN_WIDTH, _MAX_WIDTH = 40, 100
"""Text is wrapped to at least and at most so many columns."""
LABEL = 15
"""Width of the label column of :func:`say_row`."""
_GLUE = "\0"
_PROGRAMS = "apt|apt-get|curl|export|journalctl|loginctl|ssh|sudo|systemctl"
_COMMANDS = "ask|bench|board|docs|doctor|eval|history|logs|models|ps|run|serve|service|stop|tasks|tui|uninstall"
_BELOW = "add|export|import|install|keys|list|plan|pull|remove|rm|rollback|search|show|status|update|use|verify"
_KEPT_TOGETHER = (
    r"`[^`]+`",
    # After a colon, the rest of the clause is a command: `Undo: edgechat history rm --undo 3 4`.
    rf"(?:(?<=: )(?:{_PROGRAMS}|edgechat|pipx?|rm)|^(?:{_PROGRAMS})) .+?(?=[;,] |\.(?: |$)| \(|  |$)",
    # Elsewhere, the words that can only belong to a command.
    rf"\bedgechat (?:{_COMMANDS})\b(?: (?:{_BELOW})\b)?(?: (?:--?[\w-]+|[A-Z][A-Z:_]*\b))*",
    r"-\w N\b|--[\w-]+ [A-Z]+\b",
)


def columns(stream: TextIO | None) -> int | None:
    """The width of a terminal in characters, ``COLUMNS`` first; None when ``stream`` is not a terminal."""
    if stream is None or not stream.isatty():
        return None
    named = os.environ.get("COLUMNS", "")
    if named.isdecimal() and int(named):
        return int(named)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _DEFAULT_WIDTH
    except (OSError, ValueError):  # a pseudo terminal without a size
        return _DEFAULT_WIDTH


def wrapped(text: str, width: int, *, indent: str = "", hanging: str | None = None) -> str:
    """Wrap text to lines of at most ``width`` characters. Commands, addresses and paths stay whole and may be longer.

    Args:
        text: one line.
        width: of the terminal, in characters.
        indent: put before the first line.
        hanging: put before the other lines; ``indent`` by default.
    """
    import re  # noqa: PLC0415 - not needed for output to a pipe
    import textwrap  # noqa: PLC0415

    held = re.sub("|".join(_KEPT_TOGETHER), lambda found: found[0].replace(" ", _GLUE), text)
    lines = textwrap.wrap(
        held,
        max(_MIN_WIDTH, min(width, _MAX_WIDTH)),
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return "\n".join(lines or [indent]).replace(_GLUE, " ")


def say(text: str, *, indent: str = "", hanging: str | None = None, **style: Any) -> None:  # noqa: ANN401 - click's
    """Print a note, an error or a hint to standard error, wrapped if that is a terminal.

    The arguments are those of :func:`wrapped` and of ``click.style``.
    """
    width = columns(sys.stderr)
    shown = indent + text if width is None else wrapped(text, width, indent=indent, hanging=hanging)
    color = style.pop("color", None)
    click.echo(click.style(shown, **style) if style else shown, err=True, color=color)


def say_row(label: str, text: str) -> None:
    """Print a label and a text to standard error; further lines of the text are indented below its first."""
    say(text, indent=f"  {label}".ljust(LABEL), hanging=" " * LABEL)


def text_width() -> int:
    """The width to wrap text on standard output to: that of the terminal, but 40 to 100 characters."""
    import shutil  # noqa: PLC0415 - 10 ms that `ask` does not need

    return max(_MIN_WIDTH, min(shutil.get_terminal_size((_DEFAULT_WIDTH, 24)).columns, _MAX_WIDTH))


def print_row(label: str, text: str, *, label_width: int, colour: str) -> None:
    """Print a coloured label and a wrapped text to standard output; control characters are removed."""
    import textwrap  # noqa: PLC0415

    from edgechat.plaintext import clean_line  # noqa: PLC0415

    wrapped = textwrap.wrap(clean_line(text), text_width() - label_width, break_on_hyphens=False) or [""]
    click.echo(click.style(label.ljust(label_width), fg=colour) + f"\n{' ' * label_width}".join(wrapped))
