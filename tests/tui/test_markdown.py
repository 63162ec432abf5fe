"""Markdown that grows piece by piece looks as if it had come whole, and never wider than there is room."""

from __future__ import annotations

import random

import pytest

from edgechat.tui.markdown import Document
from tests.tui.speaker import PAGE

TEXTS = {
    "page": PAGE * 2,
    "lists": "1. one\n2. two\n   - deep\n\n     more\n3. three\n\n> said\n> again\n\n---\n\n    code\n",
    "japanese": "東京は**大きい**都市です。\n改行のあと`コード`。\n\n| 名前 | 値 |\n|---|---|\n| 電圧 | 5 V |\n",
    "open": "text\n\n```sh\necho one\n\necho two",
    "tasks": "- [ ] open the valve\n- [x] close it\n  - [X] deep\n- [y] none\n",
    "formulas": "It is $\\frac{a}{b} \\le x^2$.\n\n\\[ v_0 = 12\\,\\text{m/s} \\]\n\n$$\nE = mc^2\n$$\n\n$5 and $10\n",
    "markup": "[text](http://evil/) <b>b</b> ![p](q) [bold]x[/bold] <http://evil/>",
}


def plain(document: Document, width: int) -> list[str]:
    return [line.plain for line in document.lines(width)]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("width", [10, 40, 100])
def test_pieces_give_what_the_whole_gives(name: str, width: int) -> None:
    text, dice = TEXTS[name], random.Random(5)
    growing, at = Document(), 0
    while at < len(text):
        step = dice.randrange(1, 9)
        growing.append(text[at : at + step])
        at += step
        growing.lines(width)
    assert growing.source == text
    assert plain(growing, width) == plain(Document(text), width)
    assert plain(growing, 33) == plain(Document(text), 33)  # the window was made another size
    assert all(line.cell_length <= width for line in growing.lines(width))


def test_lines_of_finished_blocks_stay_the_same_objects() -> None:
    document = Document("first\n\nsecond")
    before = document.lines(40)
    document.append(" grows")
    after = document.lines(40)
    assert after[0] is before[0]
    assert [line.plain for line in after] == ["first", "", "second grows"]


def test_pictures_html_and_markup_stay_text_and_a_link_shows_its_address() -> None:
    shown = " ".join(plain(Document(TEXTS["markup"]), 200))
    assert shown == "text (http://evil/) <b>b</b> !p (q) [bold]x[/bold] http://evil/"
    assert not any("link" in str(span.style) for line in Document(TEXTS["markup"]).lines(200) for span in line.spans)


def test_task_lists_show_boxes() -> None:
    assert plain(Document(TEXTS["tasks"]), 40) == ["☐ open the valve", "☑ close it", "  ☑ deep", "• [y] none"]


def test_formulas_are_unicode_and_prices_stay_prices() -> None:
    shown = [line for line in plain(Document(TEXTS["formulas"]), 60) if line]
    assert shown == ["It is a/b ≤ x².", "  v₀ = 12 m/s", "  E = mc²", "$5 and $10"]
