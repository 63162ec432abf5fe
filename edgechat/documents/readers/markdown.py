"""Markdown: headings, items, table rows and code blocks by markdown-it; the text stays as the file spells it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgechat.documents.block import Block, Kind, ReadDocument
from edgechat.documents.limits import MAX_HEADING
from edgechat.documents.readers.plain import decoded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from markdown_it.token import Token

_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n(?:---|\.\.\.)\n", re.DOTALL)
_TITLE = re.compile(r"^title:\s*[\"']?(.*?)[\"']?\s*$", re.MULTILINE)
_LEAVES: dict[str, Kind] = {
    "paragraph_open": "paragraph", "fence": "code", "code_block": "code", "html_block": "paragraph", "tr_open": "row",
}  # fmt: skip
_WHOLE: dict[tuple[str, int], Kind] = {("list_item_open", 1): "step", ("blockquote_open", 0): "paragraph"}
"""Token and level of what is one block, whatever stands in it."""


def read(_file: Path, data: bytes, name: str) -> ReadDocument:
    """Read a Markdown file."""
    notes: list[str] = []
    text = decoded(data, name, notes)
    title = ""
    if front := _FRONT_MATTER.match(text):
        found = _TITLE.search(front[1])
        title = found[1] if found else ""
        text = text[front.end() :]
    return ReadDocument(_blocks(text), title, notes=notes)


def _blocks(text: str) -> Iterator[Block]:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - 30 ms, for this format alone

    lines = text.split("\n")
    tokens = MarkdownIt("commonmark", {"maxNesting": 50}).enable("table").parse(text)
    header = ""
    inside = 0
    """Items and quotations, of the highest level, that the next token is in: their text was taken as a whole."""
    for at, token in enumerate(tokens):
        if token.type == "heading_open" and not inside:
            title = tokens[at + 1].content
            yield Block(title[:MAX_HEADING], "heading", int(token.tag[1:]))
        elif (token.type, token.level) in _WHOLE:
            yield Block(_source(lines, token), _WHOLE[token.type, token.level])
            inside += 1
        elif token.type in {"list_item_close", "blockquote_close"} and token.level == token.type.startswith("list"):
            inside -= 1
        elif token.type in _LEAVES and token.map and not inside and tokens[at - 1].type != "heading_open":
            kind = _LEAVES[token.type]
            source = _source(lines, token)
            is_header = tokens[at - 1].type == "thead_open"
            if is_header:
                header = source
            if source.strip():
                yield Block(source, kind, header="" if is_header or kind != "row" else header)


def _source(lines: list[str], token: Token) -> str:
    first, end = token.map or (0, 0)
    return "\n".join(lines[first:end]).rstrip()
