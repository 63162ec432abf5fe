"""Markdown rendered to lines while it grows: only the last block is parsed and laid out again.

So a long answer costs no more than its last block. A link is shown as its text and its address, never as a link of the
terminal; images and HTML are shown as plain text, simple LaTeX as Unicode. The text must be cleaned of control
characters before.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from textual.content import Content

from edgechat.tui.formulas import unicode_formula

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.tree import SyntaxTreeNode

_BULLETS = ("•", "◦", "▪")
_HEADING = {"h1": "bold underline $text-primary", "h2": "bold $text-primary"}
_INLINE = {"strong": "bold", "em": "italic", "s": "strike"}
_FORMULAS = frozenset({"math_inline", "math_inline_double", "math_single"})
_FORMULA_BLOCKS = frozenset({"math_block", "math_block_label", "math_block_eqno"})
_CHECK_BOX = re.compile(r"\[([ xX])\] ")
_CODE = "$text-accent"
_CODE_BLOCK = "on $surface"
_HIGHLIGHTED = 200
"""Lines of code that are highlighted together; a new line lexes at most this many again."""
_NARROWEST = 4
"""Smallest width of a table column, when the table is too wide."""


@lru_cache(maxsize=1)
def parser() -> MarkdownIt:
    """CommonMark with tables, strikethrough and formulas, without images and HTML."""
    # Needed for the first answer, not for the first frame.
    from markdown_it import MarkdownIt  # noqa: PLC0415
    from mdit_py_plugins.dollarmath import dollarmath_plugin  # noqa: PLC0415
    from mdit_py_plugins.texmath import texmath_plugin  # noqa: PLC0415

    made = MarkdownIt("commonmark", {"html": False, "linkify": False}).enable(["table", "strikethrough"])
    made.disable(["image", "html_block", "html_inline", "reference"])
    # An address is text here. Markdown-it would otherwise leave a link with an unusual scheme raw.
    made.validateLink = lambda _url: True  # type: ignore[method-assign, assignment]
    made.use(dollarmath_plugin, allow_space=False, allow_digits=False, double_inline=True)
    return made.use(texmath_plugin, delimiters="brackets")


class Document:
    """A Markdown text that grows at its end."""

    def __init__(self, source: str = "") -> None:
        self._source = [source] if source else []
        self._width = 0
        self._tail = ""
        self._finished: list[Content] = []
        self._open: list[Content] = []
        self._is_laid_out = False

    @property
    def source(self) -> str:
        """The whole source."""
        if len(self._source) > 1:
            self._source = ["".join(self._source)]
        return self._source[0] if self._source else ""

    def append(self, text: str) -> None:
        """Append text."""
        self._source.append(text)
        self._tail += text
        self._is_laid_out = False

    def lines(self, width: int) -> list[Content]:
        """All lines, at most ``width`` cells wide. Lines of finished blocks are the same objects at every call."""
        if width != self._width:
            # Lines are cached, parsed blocks are not: they take ten times the memory, and the width changes rarely.
            self._width, self._tail, self._finished, self._is_laid_out = width, self.source, [], False
        if not self._is_laid_out:
            self._is_laid_out = True
            blocks = _tree(self._tail)
            # New text can change only the last block.
            for block in blocks[:-1]:
                self._finished += [*_block(block, width), Content()]
            self._open = [line for block in blocks[-1:] for line in _block(block, width)]
            if len(blocks) > 1 and (place := blocks[-1].map) is not None:
                self._tail = "".join(self._tail.splitlines(keepends=True)[place[0] :])
        return [*self._finished, *self._open]


def _tree(source: str) -> list[SyntaxTreeNode]:
    from markdown_it.tree import SyntaxTreeNode  # noqa: PLC0415 - as above

    return SyntaxTreeNode(parser().parse(source)).children


def _block(node: SyntaxTreeNode, width: int, depth: int = 0) -> list[Content]:
    """The lines of one block with all its children."""
    width = max(width, 2)
    if node.type == "heading":
        return _wrap(_inline(node).stylize(_HEADING.get(node.tag, "bold")), width)
    if node.type in {"fence", "code_block"}:
        return _code(node, width)
    if node.type == "hr":
        return [Content.styled("─" * width, "$text-muted")]
    if node.type == "blockquote":
        bar = Content.styled("▎ ", "$text-muted")
        return [bar + line for line in _stack(node.children, width - 2, depth)]
    if node.type in {"bullet_list", "ordered_list"}:
        return _list(node, width, depth)
    if node.type == "table":
        return _table(node, width)
    if node.type in _FORMULA_BLOCKS:
        return [line.pad_left(2) for line in _wrap(Content(unicode_formula(node.content)), width - 2)]
    if node.type == "paragraph":
        return _wrap(_inline(node), width)
    return _wrap(Content(node.content), width)


def _stack(nodes: Sequence[SyntaxTreeNode], width: int, depth: int, *, is_tight: bool = False) -> list[Content]:
    """The lines of several blocks, one below the other."""
    lines: list[Content] = []
    for node in nodes:
        if lines and not is_tight:
            lines.append(Content())
        lines += _block(node, width, depth)
    return lines


def _list(node: SyntaxTreeNode, width: int, depth: int) -> list[Content]:
    is_tight = all(each.hidden for item in node.children for each in item.children if each.type == "paragraph")
    first = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else 0
    last = f"{first + len(node.children) - 1}. "
    lines: list[Content] = []
    for at, item in enumerate(node.children):
        if node.type == "ordered_list":
            mark = f"{first + at}. ".rjust(len(last))
        else:
            mark = _take_check_box(item) or f"{_BULLETS[min(depth, len(_BULLETS) - 1)]} "
        body = _stack(item.children, width - len(mark), depth + 1, is_tight=is_tight) or [Content()]
        if lines and not is_tight:
            lines.append(Content())
        lines.append(Content.styled(mark, "$text-primary") + body[0])
        lines += [line.pad_left(len(mark)) if line else line for line in body[1:]]
    return lines


def _take_check_box(item: SyntaxTreeNode) -> str | None:
    """Remove ``[ ]`` or ``[x]`` from the beginning of a list item; returns the mark to show for it."""
    texts = [child for part in item.children[:1] for inline in part.children[:1] for child in inline.children[:1]]
    if not texts or texts[0].type != "text" or (found := _CHECK_BOX.match(texts[0].content)) is None:
        return None
    token = texts[0].token
    if token is not None:
        token.content = token.content[found.end() :]
    return "☐ " if found[1] == " " else "☑ "


def _code(node: SyntaxTreeNode, width: int) -> list[Content]:
    """Highlighted code; long lines continue on the next line."""
    code = node.content.removesuffix("\n").split("\n")
    language = node.info.split(maxsplit=1)[0] if node.info.strip() else "text"
    lines: list[Content] = []
    for at in range(0, len(code), _HIGHLIGHTED):
        for line in _coloured("\n".join(code[at : at + _HIGHLIGHTED]), language).split("\n", allow_blank=True):
            for part in line.expand_tabs(4).fold(width - 2):
                padded = part.pad_left(1)
                lines.append(padded.extend_right(width - padded.cell_length).stylize_before(_CODE_BLOCK))
    return lines


@lru_cache(maxsize=64)
def _coloured(code: str, language: str) -> Content:
    from textual.highlight import HighlightTheme, highlight  # noqa: PLC0415 - the lexers are needed only for code

    class ReadableComments(HighlightTheme):
        STYLES = HighlightTheme.STYLES | {("Comment",): "$text-muted"}  # pygments.token.Comment is this tuple

    return highlight(code, language=language, theme=ReadableComments)


def _table(node: SyntaxTreeNode, width: int) -> list[Content]:
    rows = [[_inline(cell) for cell in row.children] for part in node.children for row in part.children]
    columns = max(len(row) for row in rows)
    natural = [max((row[at].cell_length for row in rows if at < len(row)), default=1) for at in range(columns)]
    widths = _shares([max(1, each) for each in natural], width - 3 * (columns - 1))
    lines: list[Content] = []
    for number, row in enumerate(rows):
        cells = [_wrap(cell, room) for cell, room in zip(row, widths, strict=False)]
        for at in range(max(map(len, cells), default=0)):
            parts: list[Content] = []
            for cell, room in zip(cells, widths, strict=False):
                part = cell[at] if at < len(cell) else Content()
                parts.append(part.extend_right(room - part.cell_length))
            line = Content.styled(" │ ", "$text-muted").join(parts)
            lines.append(line.stylize("bold") if number == 0 else line)
        if number == 0:
            lines.append(Content.styled("─┼─".join("─" * room for room in widths), "$text-muted"))
    return [line.truncate(width) for line in lines]


def _shares(natural: list[int], room: int) -> list[int]:
    """Column widths that fit in ``room``: narrow columns keep theirs, wide ones share the rest."""
    widths = list(natural)
    left, waiting = room, sorted(range(len(natural)), key=lambda at: natural[at])
    for done, at in enumerate(waiting):
        widths[at] = min(natural[at], max(_NARROWEST, left // (len(waiting) - done)))
        left -= widths[at]
    return widths


def _wrap(content: Content, width: int) -> list[Content]:
    return content.wrap(max(width, 2)) if content else [Content()]


def _inline(node: SyntaxTreeNode) -> Content:
    """The styled text of a paragraph, heading or cell."""
    parts: list[Content | str] = []
    for child in node.children:
        if child.type in {"softbreak", "hardbreak"}:
            # Line breaks stay: they matter in verses and addresses, and Japanese needs no space.
            parts.append("\n")
        elif child.type in _FORMULAS:
            parts.append(Content.styled(unicode_formula(child.content), "italic"))
        elif child.type == "link":
            parts.append(_link(child))
        elif child.type == "code_inline":
            parts.append(Content.styled(child.content, _CODE))
        elif child.type in _INLINE:
            parts.append(_inline(child).stylize(_INLINE[child.type]))
        elif child.children:
            parts.append(_inline(child))
        else:
            parts.append(Content(child.content))
    return Content("").join(parts)


def _link(node: SyntaxTreeNode) -> Content:
    """The text of a link and, when that is another one, its address."""
    shown = _inline(node).stylize("underline")
    address = str(node.attrs.get("href", ""))
    if not address or shown.plain in {address, address.removeprefix("mailto:")}:
        return shown
    return Content.assemble(shown, (f" ({address})", "$text-muted"))
