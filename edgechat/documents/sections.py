"""Cuts the blocks of a document into sections: what a question is answered from.

A section begins at a heading. Short neighbours below one heading are joined and shown under that heading, since a
section's heading must head all of its text; their own stay within the text. Long ones are divided between blocks; a row
of a table or a step of an instruction stays whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgechat.documents.token_estimate import estimated_tokens
from edgechat.plaintext import clean, clean_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edgechat.documents.block import Block

MAX_TOKENS = 1200
"""Of a section, by estimate: a board reads that in a minute, and two fit every context."""
JOINED_TOKENS = 400
"""Sections below the same heading are joined up to this size."""
_LARGEST_WHOLE = 2 * MAX_TOKENS
"""A step or a row up to this size stays whole; a larger one is divided like other text: no context would hold it."""
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|(?<=[。！？；])|\n+")
INNER_HEADING = "### "
"""Marks a heading within the text of joined sections, with those between it and the section's own before it."""
HEADING_SEPARATOR = " › "
_LIKE_MARK = re.compile(f"^(?={INNER_HEADING})", re.MULTILINE)
"""Where a document's own line, such as a comment in code, would be read as such a mark: it is moved by one space."""
_MAX_HEADINGS = 6
_LONGEST_PIECE = 2000
"""Characters of a piece without sentence ends or spaces, such as base64."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a document."""

    headings: tuple[str, ...]
    """From the highest level down; the last heads all of the text."""
    text: str
    first_page: int | None
    last_page: int | None
    tokens: int
    """By estimate."""
    inner_headings: tuple[str, ...] = ()
    """Headings within the text, of sections that were joined."""

    @property
    def sha256(self) -> str:
        """A digest of headings and text: a section that did not change keeps its number."""
        content = json.dumps([self.headings, self.text], ensure_ascii=False)
        return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()


@dataclass(slots=True)
class _Draft:
    """A section while it is collected."""

    headings: tuple[str, ...]
    level: int = 0
    parts: list[str] = field(default_factory=list)
    tokens: int = 0
    first_page: int | None = None
    last_page: int | None = None
    follows_row: bool = False

    def add(self, text: str, tokens: int, page: int | None) -> None:
        self.parts.append(_LIKE_MARK.sub(" ", text))
        self.tokens += tokens
        self.first_page = page if self.first_page is None else self.first_page
        self.last_page = page if page is not None else self.last_page


def sections(blocks: Iterable[Block], title: str = "") -> Iterator[Section]:
    """Cut blocks into sections.

    Args:
        blocks: in reading order.
        title: heads what stands before the first heading.
    """
    held: list[_Draft] = []
    for draft in _cut(blocks, title):
        if held and not _may_join(held, draft):
            yield _joined(held)
            held = []
        held.append(draft)
    if held:
        yield _joined(held)


def parts_of(headings: tuple[str, ...], text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """The parts of a section's text, each with the headings above it.

    Args:
        headings: of the section.
        text: of the section; a part that was joined begins with the mark of its heading.
    """
    above, lines = headings, list[str]()
    for line in text.split("\n"):
        if line.startswith(INNER_HEADING):
            yield above, "\n".join(lines)
            above, lines = (*headings, line.removeprefix(INNER_HEADING)), []
        else:
            lines.append(line)
    yield above, "\n".join(lines)


def _cut(blocks: Iterable[Block], title: str) -> Iterator[_Draft]:
    """One draft for each heading, and more where its text is long.

    Headings without text of their own are kept in the paths of those below.
    """
    path: list[tuple[int, str]] = []
    draft = _Draft((clean_line(title),) if title else ())
    for block in blocks:
        if block.kind == "heading":
            heading = clean_line(block.text)
            if not heading:
                continue
            if draft.parts:
                yield draft
            path = [*(each for each in path if each[0] < block.level), (block.level, heading)]
            draft = _Draft(tuple(text for _, text in path)[-_MAX_HEADINGS:], block.level, first_page=block.page)
            draft.last_page = block.page
            continue
        for text in _fitting(block):
            tokens = estimated_tokens(text)
            if draft.parts and draft.tokens + tokens > MAX_TOKENS:
                yield draft
                draft = _Draft(draft.headings, draft.level)
            if not draft.parts and block.header:
                draft.add(clean(block.header), estimated_tokens(block.header), block.page)
            is_tight = block.kind in {"row", "step"} and draft.follows_row
            draft.add(text if is_tight or not draft.parts else f"\n{text}", tokens, block.page)
            draft.follows_row = block.kind in {"row", "step"}
    if draft.parts:
        yield draft


def _fitting(block: Block) -> Iterator[str]:
    """The text of a block, divided where it may and must be."""
    text = clean(block.text).strip("\n")
    if not text.strip():
        return
    bound = _LARGEST_WHOLE if block.kind in {"row", "step"} else MAX_TOKENS
    if estimated_tokens(text) <= bound:
        yield text
        return
    held, tokens = "", 0
    for piece in _pieces(text):
        more = estimated_tokens(piece)
        if held and tokens + more > MAX_TOKENS:
            yield held.strip("\n ")
            held, tokens = "", 0
        held += piece
        tokens += more
    if held.strip():
        yield held.strip("\n ")


def _pieces(text: str) -> Iterator[str]:
    """Sentences and lines with what separates them; one without an end is cut at a fixed length."""
    at = 0
    for found in (*_SENTENCE_END.finditer(text), None):
        end = found.end() if found else len(text)
        for start in range(at, end, _LONGEST_PIECE):
            yield text[start : min(start + _LONGEST_PIECE, end)]
        at = end


def _may_join(held: list[_Draft], draft: _Draft) -> bool:
    """Whether a section goes to those before: below the heading of the first or beside it, and all together short."""
    first = held[0]
    tokens = sum(each.tokens for each in held) + sum(estimated_tokens(each.headings[-1]) for each in held[1:])
    if tokens + draft.tokens > JOINED_TOKENS or first.headings == draft.headings:
        return False
    parent = first.headings if draft.level > first.level else first.headings[:-1]
    return bool(parent) and draft.headings[: len(parent)] == parent


def _joined(drafts: list[_Draft]) -> Section:
    """One section from those that belong together, below the headings that they have in common."""
    headings = drafts[0].headings
    if any(each.headings[: len(headings)] != headings for each in drafts):
        headings = headings[:-1]
    parts, inner = list[str](), list[str]()
    for draft in drafts:
        if own := HEADING_SEPARATOR.join(draft.headings[len(headings) :]):
            inner.append(own)
            parts.append(f"\n{INNER_HEADING}{own}")
        parts += draft.parts
    pages = [each.last_page for each in drafts if each.last_page is not None]
    return Section(
        headings=headings,
        text="\n".join(parts).strip("\n"),
        first_page=drafts[0].first_page,
        last_page=pages[-1] if pages else None,
        tokens=sum(each.tokens for each in drafts) + sum(map(estimated_tokens, inner)),
        inner_headings=tuple(inner),
    )
