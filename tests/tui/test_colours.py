"""Terminals with few colours: every text of every screen has enough contrast, in a real pseudo-terminal."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

import pytest
from rich._palettes import EIGHT_BIT_PALETTE

from edgechat.chat.history import History
from edgechat.tui import preferences
from edgechat.tui.preferences import Preferences
from edgechat.tui.themes import CONTRAST, DARK, LIGHT
from tests.tui.terminal import ESC, F2, F3, F4, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyte.screens import Char

    from edgechat.paths import Paths

pytestmark = pytest.mark.process

Rgb = tuple[int, int, int]
Palette = tuple[Rgb, ...]

NAMES = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")
XTERM = (
    *((0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229)),
    *((127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0), (92, 92, 255), (255, 0, 255), (0, 255, 255)),
    (255, 255, 255),
)
CONSOLE = (
    *((0, 0, 0), (170, 0, 0), (0, 170, 0), (170, 85, 0), (0, 0, 170), (170, 0, 170), (0, 170, 170), (170, 170, 170)),
    *((85, 85, 85), (255, 85, 85), (85, 255, 85), (255, 255, 85), (85, 85, 255), (255, 85, 255), (85, 255, 255)),
    (255, 255, 255),
)
"""What xterm and the Linux console show for the 16 colours. The console has no bright areas (console_codes(4))."""
ON_XTERM, ON_CONSOLE = (XTERM, XTERM), (CONSOLE, CONSOLE[:8] * 2)
"""Palettes of text and of background."""
LEAST = 4.5
"""Contrast of text to its background by the Web Content Accessibility Guidelines 2.2, level AA."""
_NO_TEXT = re.compile(r"[\s\u2500-\u259f▰▱▌⏎]")
"""Frames, bars and blocks."""
EVERY_256 = {"TERM": "xterm-256color"}
SIXTEEN = {"TERM": "linux"}
ANSWER = """# Title

Some **bold** `code`, a [link](http://example.com).

```python
def f(x: int = 3) -> str:
    # why
    return "5 V"
```

> quoted

| a | b |
|---|---|
| 1 | 2 |
"""


@pytest.mark.parametrize(
    ("theme", "colours", "palettes"),
    [
        (LIGHT.name, EVERY_256, (ON_XTERM,)),
        (LIGHT.name, SIXTEEN, (ON_XTERM, ON_CONSOLE)),
        (DARK.name, EVERY_256, (ON_XTERM,)),
        (DARK.name, SIXTEEN, (ON_XTERM, ON_CONSOLE)),
        (CONTRAST.name, SIXTEEN, (ON_XTERM, ON_CONSOLE)),
    ],
    ids=["light-256", "light-16", "dark-256", "dark-16", "contrast-16"],
)
def test_every_text_can_be_read(
    paths: Paths, theme: str, colours: Mapping[str, str], palettes: tuple[tuple[Palette, Palette], ...]
) -> None:
    preferences.write(paths, Preferences(theme=theme))
    with History.open(paths) as history:
        number = history.start(title="Ripple").id
        history.add_question(number, "What now?")
        with history.start_answer(number, "small", "Q4") as answer:
            answer.append("hm", is_thought=True)
            answer.append(ANSWER)
            answer.finish("stop")
    faint: set[str] = set()
    # TEXTUAL_* would say which colours to use.
    env = {name: value for name, value in os.environ.items() if not name.startswith("TEXTUAL_") and name != "NO_COLOR"}
    with Terminal((sys.executable, "-m", "edgechat"), env, (100, 40), colours=colours) as terminal:

        def look(place: str, key: bytes, word: str) -> None:
            terminal.send(key)
            terminal.wait(word)
            terminal.pump(0.3)
            for text, shown in texts(terminal.cells):
                for text_palette, area_palette in palettes:
                    found = contrast(rgb(shown.fg, text_palette), rgb(shown.bg, area_palette))
                    if found < LEAST:
                        faint.add(f"{place}: {text!r} {shown.fg} on {shown.bg}: {found:.1f}")

        look("welcome", b"", "Everything you write")
        look("list", F2, "1 conversation")
        look("chat", b"\x1b[B\r", "quoted")
        look("models", F3, "NEEDS")
        back(terminal, "quoted")
        look("board", F4, "cores")
        look("tasks", b"\x1b[15~", "driving")
        look("form", b"\r", "km/h")
        look("error", b"999", "400")
        back(terminal, "Tasks turn")
        back(terminal, "quoted")
        assert terminal.leave() == 0
    assert faint == set()


def back(terminal: Terminal, word: str) -> None:
    """Leave a screen for the one that shows ``word``; the next key must not become Alt with Escape."""
    terminal.send(ESC)
    terminal.wait(word)
    terminal.pump(0.2)


def texts(cells: list[list[Char]]) -> Iterator[tuple[str, Char]]:
    """Each run of text of one colour; colours of an inverted cell are swapped."""
    for line in cells:
        run = ""
        last: Char | None = None
        for cell in line:
            look = cell._replace(data="", fg=cell.bg, bg=cell.fg) if cell.reverse else cell._replace(data="")
            if last is not None and look != last:
                if _NO_TEXT.sub("", run):
                    yield run.strip(), last
                run = ""
            run, last = run + cell.data, look
        if last is not None and _NO_TEXT.sub("", run):
            yield run.strip(), last


def rgb(colour: str, palette: Palette) -> Rgb:
    """The emulator's name of a colour as red, green and blue; it must not be the terminal's own default."""
    bright = colour.startswith(("bright", "bfight"))  # the emulator writes it both ways
    name = colour[6:] if bright else colour
    if name in NAMES:
        return palette[NAMES.index(name) + 8 * bright]
    value = int(colour, 16)  # ValueError for "default", whose contrast is not known
    found = (value >> 16, value >> 8 & 255, value & 255)
    assert any(tuple(EIGHT_BIT_PALETTE[at]) == found for at in range(16, 256)), colour
    return found


def contrast(one: Rgb, other: Rgb) -> float:
    """The contrast ratio of WCAG, 1 to 21."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: Rgb) -> float:
    """Relative luminance of sRGB, 0 to 1."""
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in (each / 255 for each in colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
