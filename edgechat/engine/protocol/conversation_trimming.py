"""Trims a conversation that no longer fits the context: whole messages are left out, the oldest first.

The system message and the newest question always stay. Messages are left out until a quarter of the context is free:
the rest changes its position and must be computed again, which should happen rarely. Later turns keep the same cut, so
that they find the same prefix in the KV cache. The caller provides the function that counts tokens.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from edgechat.engine.protocol.events import Trimmed
from edgechat.engine.protocol.request import DEFAULT_MAX_TOKENS, Message, Request
from edgechat.errors import ContextOverflowError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MARK = "[Summary of the earlier conversation, which is no longer read word for word:]"
"""The line before a summary, for the model and for people who read the prompt."""

_SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""The characters that :meth:`str.strip` removes."""

_REMEMBERED = 64
"""Conversations whose cut is remembered; the least recently used one is forgotten."""


class Sized(Protocol):
    """A prompt."""

    @property
    def n_cells(self) -> int:
        """KV cells that it needs."""


Built = TypeVar("Built", bound=Sized)


@dataclass(frozen=True, slots=True)
class Cut:
    """Which messages are left out, and what replaces them."""

    dropped: int = 0
    """Number of messages after the system message that are left out."""
    summary: str = ""
    """A summary by the model that replaces them, or ``""``."""


def longest_prompt(n_ctx: int, max_tokens: int | None) -> int:
    """Tokens that a conversation may have before it is trimmed: the answer gets at most a quarter of the context."""
    return n_ctx - min(max_tokens or DEFAULT_MAX_TOKENS, n_ctx // 4)


def least_tokens(messages: Sequence[Message], longest_piece: int) -> int:
    """A lower bound of a conversation's tokens; counting characters is much faster than tokenizing them.

    White space and the assistant's messages are not counted, since templates and tokenizers may drop them.

    Args:
        messages: the conversation.
        longest_piece: characters other than white space that the vocabulary's longest token stands for.
    """
    texts = [message.content for message in messages if message.role != "assistant"]
    n_chars = sum(map(len, texts)) - sum(text.count(space) for text in texts for space in _SPACES)
    return -(-n_chars // longest_piece)


def apply(messages: Sequence[Message], cut: Cut) -> tuple[Message, ...]:
    """The messages to read: the system message and those after the cut, with the summary in the first of them."""
    system, body = split(messages)
    kept = list(body[cut.dropped :])
    if cut.summary and kept:
        kept[0] = replace(kept[0], content=with_summary(cut.summary, kept[0].content))
    return (*system, *kept)


def with_summary(summary: str, text: str) -> str:
    """A message's text with the summary before it (not a message of its own: templates want alternating roles)."""
    return f"{MARK}\n{summary}\n\n{text}" if summary else text


def split(messages: Sequence[Message]) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """The system messages at the beginning, and the rest."""
    first = next((i for i, each in enumerate(messages) if each.role != "system"), len(messages))
    return tuple(messages[:first]), tuple(messages[first:])


def choose(
    messages: Sequence[Message],
    count: Callable[[Cut], int],
    *,
    n_ctx: int,
    max_tokens: int | None,
    known: Cut = Cut(),
    summary: str = "",
) -> Cut:
    """The cut to use: ``known`` if that fits, else the smallest one that leaves a quarter of the context free.

    Args:
        messages: the whole conversation.
        count: exact number of the prompt's tokens with a cut.
        n_ctx: tokens of the context.
        max_tokens: longest answer.
        known: the cut of the turns before.
        summary: replaces the messages of a new cut.
    """
    limit = longest_prompt(n_ctx, max_tokens)
    if count(known) <= limit:
        return known
    # The first message after a cut must be the user's: templates refuse others.
    points = [Cut(i, summary) for i, each in enumerate(split(messages)[1]) if each.role == "user" and i > known.dropped]
    if not points:
        return known
    low, high = 0, len(points) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if count(points[middle]) <= limit - n_ctx // 4 else (middle + 1, high)
    return points[low]


class ContextWindow:
    """Fits requests into one context, and remembers the cut of each conversation.

    Args:
        n_ctx: tokens of the context.
    """

    def __init__(self, n_ctx: int) -> None:
        self._n_ctx = n_ctx
        self._known: OrderedDict[bytes, Cut] = OrderedDict()

    def fit(self, request: Request, build: Callable[[Request], Built]) -> tuple[Built, Trimmed | None]:
        """The prompt of a request, trimmed by its ``overflow`` policy, and what was left out.

        Args:
            request: with all its messages.
            build: renders and tokenizes.

        Raises:
            ContextOverflowError: messages must be left out and need a summary first (``dropped`` says how many).
            EdgechatError: as ``build`` does.
        """
        if request.overflow == "refuse":
            return build(request), None
        built: dict[Cut, Built] = {}

        def count(cut: Cut) -> int:
            if cut not in built:
                built[cut] = build(replace(request, messages=apply(request.messages, cut)))
            return built[cut].n_cells

        known = self._recall(request.messages)
        if request.summary and not known.summary:
            # The request for the summary may have been trimmed itself; its cut does not count.
            known = Cut()
        cut = choose(
            request.messages,
            count,
            n_ctx=self._n_ctx,
            max_tokens=request.max_tokens,
            known=known,
            summary=request.summary,
        )
        if cut != known and request.overflow == "summarize" and not request.summary:
            error = ContextOverflowError(count(known), self._n_ctx)
            error.dropped = cut.dropped
            raise error
        self._remember(request.messages, cut)
        count(cut)
        trimmed = Trimmed(cut.dropped, self._n_ctx, cut.summary, is_new=cut != known) if cut.dropped else None
        return built[cut], trimmed

    def _recall(self, messages: Sequence[Message]) -> Cut:
        found, size = Cut(), len(split(messages)[1])
        for key in _prefix_digests(messages):
            # A conversation that was shortened to the point of a cut would keep nothing.
            if (cut := self._known.get(key)) is not None and cut.dropped < size:
                found = cut
        return found

    def _remember(self, messages: Sequence[Message], cut: Cut) -> None:
        if not cut.dropped:
            return
        key = next(key for i, key in enumerate(_prefix_digests(messages), 1) if i == cut.dropped)
        self._known[key] = cut
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _prefix_digests(messages: Sequence[Message]) -> Iterator[bytes]:
    """Hashes of the conversation's first message, its first two, and so on."""
    system, body = split(messages)
    digest = hashlib.sha256(repr(system).encode("utf-8", "surrogatepass"))
    for message in body:
        digest.update(repr(message).encode("utf-8", "surrogatepass"))
        yield digest.copy().digest()
