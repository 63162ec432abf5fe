"""The structure of a Markdown document as an independent parser sees it: what a translation must leave as it is."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_VERBATIM = frozenset(("fence", "code_block", "html_block", "front_matter"))
_INLINE = frozenset(("code_inline", "html_inline", "link_open", "image", "footnote_ref", "hardbreak"))


def structure(text: str) -> object:
    """Blocks with their nesting and verbatim content; of each text its links, images, code, tags and line breaks."""
    return list(_facts(_parser().parse(text.removeprefix("\ufeff"))))


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    # 50 ms of imports that only Markdown needs.
    from markdown_it import MarkdownIt  # noqa: PLC0415
    from mdit_py_plugins.admon import admon_plugin  # noqa: PLC0415
    from mdit_py_plugins.deflist import deflist_plugin  # noqa: PLC0415
    from mdit_py_plugins.footnote import footnote_plugin  # noqa: PLC0415
    from mdit_py_plugins.front_matter import front_matter_plugin  # noqa: PLC0415

    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for plugin in (front_matter_plugin, footnote_plugin, deflist_plugin, admon_plugin):
        parser.use(plugin)
    return parser


def _facts(tokens: list[Token]) -> Iterator[tuple[object, ...]]:
    for token in tokens:
        if token.type == "inline":
            yield "inline", sorted(_inline(token)), bool(token.content.strip())
        else:
            attributes = sorted((name, str(value)) for name, value in token.attrs.items())
            content = token.content if token.type in _VERBATIM else ""
            yield token.type, token.tag, token.level, token.markup, _info(token), attributes, content


def _info(token: Token) -> str:
    return "" if token.type.startswith("admonition") else token.info


def _inline(token: Token) -> Iterator[tuple[str, str]]:
    for child in token.children or ():
        if child.type in _INLINE:
            target = child.attrs.get("href") or child.attrs.get("src") or child.meta.get("label") or child.content
            yield child.type, str(target)
