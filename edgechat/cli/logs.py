"""``edgechat logs``: the last lines of what engine and server have written, and what they write from now on."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from edgechat.cli.output.terminal import say
from edgechat.engine.state import log
from edgechat.errors import StateError
from edgechat.paths import Paths
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_FILES: dict[str, Callable[[Path], Path]] = {"engine": log.path, "serve": log.server_path, "answers": log.answers_path}
_POLL_S = 0.3
_LONGEST = 1 << 20
"""Bytes looked at for the last lines, and at once when a file is followed."""


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what is written from now on.")
@click.option(
    "-n",
    "--lines",
    "n_lines",
    type=click.IntRange(0, 100_000),
    default=50,
    show_default=True,
    help="How many of the last lines of each log to show; 0 shows none (with -f: only what is new).",
)
@click.argument("which", nargs=-1, type=click.Choice(list(_FILES)))
def logs(which: tuple[str, ...], *, follow: bool, n_lines: int) -> None:
    """Print the last lines of each log: engine, serve, and answers where they are logged.

    All are bounded: the newest MiB or two is kept. Control characters are taken out.
    """
    state = Paths.from_env().state
    files = {name: _FILES[name](state) for name in which or _FILES}
    followed = []
    for name, file in files.items():
        lines, end = last_lines(file, n_lines)
        for line in lines:
            _say(name, line)
        followed.append(Followed(name, file, end))
    if not any(each.end for each in followed) and not follow:
        say(f"Nothing has been written yet in {log.path(state).parent}.")
    while follow:
        for each in followed:
            for line in each.news():
                _say(each.name, line)
        time.sleep(_POLL_S)


def _say(name: str, line: str) -> None:
    click.echo(f"{name}: {clean_line(line)}")


def last_lines(file: Path, n_lines: int) -> tuple[list[str], int]:
    """The last lines of a file and of the one that was rotated away before it, and where the file ends.

    Raises:
        StateError: it is there and cannot be read.
    """
    text, end = _read(file, -_LONGEST)
    lines = text.splitlines()
    if len(lines) < n_lines:
        older = file.with_name(f"{file.name}.1")
        lines = [*_read(older, -_LONGEST)[0].splitlines(), *lines]
    return (lines[-n_lines:] if n_lines else []), end


@dataclass(slots=True)
class Followed:
    """A file, and how far it was shown."""

    name: str
    file: Path
    end: int
    rest: str = ""
    """The beginning of a line that is still being written."""
    number: int = 0
    """Of the file's inode."""

    def __post_init__(self) -> None:
        if self.file.exists():
            self.number = self.file.stat().st_ino

    def news(self) -> Iterator[str]:
        """Whole lines that were written since the last look; a new file from its start, one cut in place from its end.

        Raises:
            StateError: it cannot be read.
        """
        try:
            facts = self.file.stat()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StateError(f"Cannot read {self.file}: {error.strerror}.") from error
        if facts.st_ino != self.number:
            self.end, self.rest, self.number = 0, "", facts.st_ino
        elif facts.st_size < self.end:
            self.end, self.rest = facts.st_size, ""
        if facts.st_size == self.end:
            return
        text, self.end = _read(self.file, self.end)
        *whole, self.rest = (self.rest + text).split("\n")
        yield from whole


def _read(file: Path, start: int) -> tuple[str, int]:
    """Text from an offset on, from the end if it is negative, and the file's size; nothing when there is no file."""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(size + start, 0) if start < 0 else start)
            text = stream.read(_LONGEST)
            return text.decode("utf-8", "replace"), stream.tell()
    except FileNotFoundError:
        return "", 0
    except OSError as error:
        raise StateError(f"Cannot read {file}: {error.strerror}.") from error
