"""``edgechat logs``: print the last lines of the logs of engine and server, and follow them."""

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
_POLL_INTERVAL_S = 0.3
_MAX_READ_BYTES = 1 << 20
"""Bytes read for the last lines, and per step when a file is followed."""


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Also print new lines as they are written.")
@click.option(
    "-n",
    "--lines",
    "n_lines",
    type=click.IntRange(0, 100_000),
    default=50,
    show_default=True,
    help="How many of the last lines of each log to print; 0 prints none (with -f: only new lines).",
)
@click.argument("which", nargs=-1, type=click.Choice(list(_FILES)))
def logs(which: tuple[str, ...], *, follow: bool, n_lines: int) -> None:
    """Print the last lines of each log: engine, serve, and answers if they are logged.

    The size of each log is bounded. Control characters are removed.
    """
    state = Paths.from_env().state
    files = {name: _FILES[name](state) for name in which or _FILES}
    followed = []
    for name, file in files.items():
        lines, end = last_lines(file, n_lines)
        for line in lines:
            _print_line(name, line)
        followed.append(FollowedFile(name, file, end))
    if not any(each.end for each in followed) and not follow:
        say(f"There are no logs yet in {log.path(state).parent}.")
    while follow:
        for each in followed:
            for line in each.new_lines():
                _print_line(each.name, line)
        time.sleep(_POLL_INTERVAL_S)


def _print_line(name: str, line: str) -> None:
    click.echo(f"{name}: {clean_line(line)}")


def last_lines(file: Path, n_lines: int) -> tuple[list[str], int]:
    """The last lines of a log, with those of its rotated file, and the size of the log.

    Raises:
        StateError: a file exists but cannot be read.
    """
    text, end = _read(file, -_MAX_READ_BYTES)
    lines = text.splitlines()
    if len(lines) < n_lines:
        older = file.with_name(f"{file.name}.1")
        lines = [*_read(older, -_MAX_READ_BYTES)[0].splitlines(), *lines]
    return (lines[-n_lines:] if n_lines else []), end


@dataclass(slots=True)
class FollowedFile:
    """A log file, and the offset up to which it was printed."""

    name: str
    file: Path
    end: int
    partial_line: str = ""
    """The beginning of a line that is still being written."""
    inode: int = 0

    def __post_init__(self) -> None:
        if self.file.exists():
            self.inode = self.file.stat().st_ino

    def new_lines(self) -> Iterator[str]:
        """Complete lines written since the last call: from the start of a new file, from the end of a truncated one.

        Raises:
            StateError: the file cannot be read.
        """
        try:
            status = self.file.stat()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StateError(f"Cannot read {self.file}: {error.strerror}.") from error
        if status.st_ino != self.inode:
            self.end, self.partial_line, self.inode = 0, "", status.st_ino
        elif status.st_size < self.end:
            self.end, self.partial_line = status.st_size, ""
        if status.st_size == self.end:
            return
        text, self.end = _read(self.file, self.end)
        *whole, self.partial_line = (self.partial_line + text).split("\n")
        yield from whole


def _read(file: Path, start: int) -> tuple[str, int]:
    """Text from an offset (from the end if negative), and the offset after it; ``""`` and 0 without a file."""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(size + start, 0) if start < 0 else start)
            text = stream.read(_MAX_READ_BYTES)
            return text.decode("utf-8", "replace"), stream.tell()
    except FileNotFoundError:
        return "", 0
    except OSError as error:
        raise StateError(f"Cannot read {file}: {error.strerror}.") from error
