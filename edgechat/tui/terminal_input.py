"""Keyboard and mouse input of a terminal that may send any byte: a driver that a malformed sequence cannot end.

Textual's driver decodes input as strict UTF-8 and stops the app at the first other byte. Such bytes are common: legacy
mouse reports carry raw coordinates, which are above 127 beyond column 95, and a terminal may be set to Latin-1.
"""

from __future__ import annotations

import os
import re
import selectors
from codecs import getincrementaldecoder
from typing import TYPE_CHECKING

from textual import events
from textual._parser import ParseError
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.messages import InBandWindowResize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from textual.message import Message

_READ_BYTES = 4096
_POLL_S = 0.1
"""Time after which a lone Escape is a key press and not the start of a sequence."""
_LEGACY_MOUSE = re.compile(rb"\x1b\[M(...)", re.DOTALL)
_LEGACY_OFFSET = 32
_RELEASED, _MOVED, _WHEEL = 3, 32, 64
"""Bits of a legacy button code: "some button was released", "moved", "wheel"."""
_PASTE_BEGINS, _PASTE_ENDS = b"\x1b[200~", b"\x1b[201~"
_LONGEST_START = len(_PASTE_BEGINS) - 1
_UNFINISHED = re.compile(rb"\x1b\[M.{0,2}\Z", re.DOTALL)
_MALFORMED = (ArithmeticError, LookupError, ValueError, TypeError, ParseError)
"""What Textual's parser raises for sequences with numbers that no terminal sends."""


class InputDecoder:
    """Bytes of a terminal to text. Legacy mouse reports become SGR reports; other invalid bytes become U+FFFD."""

    def __init__(self) -> None:
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._held = b""
        """The start of a legacy mouse report whose rest has not arrived."""
        self._seen = b""
        """The last bytes before, in which the start of a sequence may be."""
        self._is_pasting = False

    def decode(self, data: bytes, *, is_final: bool = False) -> str:
        """The text of the next bytes. Only an unfinished mouse report or character is held back."""
        data = self._held + data
        self._held = b""
        if b"\x1b" not in self._seen + data:
            return self._decode(data, is_final)
        # A sequence may be split between two reads; what was passed on already is cut off again below.
        passed = len(self._seen)
        whole = self._seen + data
        converted = self._convert(whole, is_final=is_final)
        self._seen = whole[: len(whole) - len(self._held)][-_LONGEST_START:]
        return self._decode(converted[passed:], is_final)

    def _convert(self, data: bytes, *, is_final: bool) -> bytes:
        parts: list[bytes] = []
        at = 0
        while at < len(data):
            # Inside a paste nothing is a report.
            mark = _PASTE_ENDS if self._is_pasting else _PASTE_BEGINS
            end = data.find(mark, at)
            piece = data[at:] if end < 0 else data[at : end + len(mark)]
            parts.append(piece if self._is_pasting else self._convert_piece(piece, is_last=end < 0 and not is_final))
            at += len(piece)
            self._is_pasting ^= end >= 0
        return b"".join(parts)

    def _convert_piece(self, piece: bytes, *, is_last: bool) -> bytes:
        if is_last and (found := _UNFINISHED.search(piece)):
            # From "M" on: the bytes before may have been passed on already.
            self._held = piece[found.start() + 2 :]
            piece = piece[: found.start() + 2]
        return _LEGACY_MOUSE.sub(lambda report: _sgr_report(*report[1]), piece)


def _sgr_report(code: int, x: int, y: int) -> bytes:
    """The SGR report of a legacy mouse report; its three bytes carry an offset of 32."""
    code, x, y = (max(0, value - _LEGACY_OFFSET) for value in (code, x, y))
    if code & (_WHEEL | _MOVED) == 0 and code & _RELEASED == _RELEASED:
        return b"\x1b[<%d;%d;%dm" % (code & ~_RELEASED, x, y)
    return b"\x1b[<%d;%d;%dM" % (code, x, y)


class TerminalDriver(LinuxDriver):
    """Textual's driver, which any input leaves running."""

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except Exception as error:  # noqa: BLE001 - a defect; it ends the app, in the app's own thread
            self._app.call_later(self._app._handle_exception, error)

    def run_input_thread(self) -> None:
        """Read input and pass on its events until the app ends."""
        parser = XTermParser()
        decoder = InputDecoder()
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                is_ready = bool(selector.select(_POLL_S))
                data = os.read(self.fileno, _READ_BYTES) if is_ready else b""
                if is_ready and not data:
                    break  # the terminal is closed
                text = decoder.decode(data) if data else ""
                try:
                    for event in _events(parser, text):
                        self.process_message(event)
                    if not self._in_band_window_resize:
                        parser.mouse_pixels = False  # set by a report of a size that nobody asked for
                except _MALFORMED:
                    # The parser is a generator that has ended. A new one loses no more than the rest of this read.
                    parser = XTermParser()

    def process_message(self, message: Message) -> None:
        """Pass an event on, unless it is a window size that the window does not have."""
        # Terminals report sizes in the input only when asked to, and only Textual's own request turns that on.
        if isinstance(message, events.Resize) and not self._in_band_window_resize:
            return
        if isinstance(message, InBandWindowResize) or self.is_inside(message):
            super().process_message(message)

    def is_inside(self, message: Message) -> bool:
        """Whether a mouse event is on the screen; True for all other events."""
        if not isinstance(message, events.MouseEvent):
            return True
        width, height = self._get_terminal_size()
        return 0 <= message.screen_x < width and 0 <= message.screen_y < height


def _events(parser: XTermParser, text: str) -> Iterator[Message]:
    if text:
        yield from parser.feed(text)
    yield from parser.tick()
