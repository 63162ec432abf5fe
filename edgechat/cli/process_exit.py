"""Process start and exit: SIGTERM, closed standard streams, encoding errors, and a fast exit."""

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
    """Turn SIGTERM into an exception, and make the standard streams usable."""
    _open_missing_streams()
    signal.signal(signal.SIGTERM, _on_sigterm)
    # A model may answer in any script. A character that the terminal cannot show becomes a question mark.
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def leave(code: int) -> NoReturn:
    """Flush the streams and exit at once, without the interpreter's shutdown."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the reader has closed the pipe
            stream.flush()
    os._exit(int(code))


def _open_missing_streams() -> None:
    """Open the null device for each stream that the caller closed (``<&-``, ``>&-``), where Python has None.

    In this order each gets its own descriptor 0, 1 or 2, so that no socket gets it and receives output.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open until the process ends


def _on_sigterm(_number: int, _frame: FrameType | None) -> None:
    raise Terminated
