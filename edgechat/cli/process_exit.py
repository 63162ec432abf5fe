"""How a process of ours begins and ends: signals, streams, and the exit without ceremony. Knows no command."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from types import FrameType


class Terminated(BaseException):
    """SIGTERM arrived."""


def prepare() -> None:
    """Take SIGTERM as a wish to leave, and let streams show what they can."""
    _open_missing_streams()
    signal.signal(signal.SIGTERM, _on_sigterm)
    # A model may answer in any script; a terminal that cannot show a character gets a question mark, not an error.
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def leave(code: int) -> NoReturn:
    """Flush and exit at once, without waiting for the interpreter to take itself apart."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a reader that left is no fault of the answer
            stream.flush()
    os._exit(int(code))


def _open_missing_streams() -> None:
    """Let a stream that the caller closed (``<&-``, ``>&-``) read or write nothing; Python leaves None in its place.

    In this order each takes the descriptor of its own, so that no socket is opened there and written to by others.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for life


def _on_sigterm(_number: int, _frame: FrameType | None) -> None:
    raise Terminated
