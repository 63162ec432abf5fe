"""What of a conversation is read when all of it no longer fits: whole messages go, the oldest first, and seldom.

The system message and the newest question always stay. What goes is chosen so that a quarter of the context is free
afterwards: everything that stays has moved and is computed again, which must not happen at each turn. So the same point
is kept for the turns that follow, which find the same beginning in the cache. Counts what it is told to count with: the
rendered template's own tokens. Knows no model.
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
"""Stands before a summary, for the model and for whoever reads what was sent."""

_SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
"""What :meth:`str.strip` takes away."""

_REMEMBERED = 64
"""Conversations whose point of trimming is known; the least recently asked goes."""


class Sized(Protocol):
    """A prompt."""

    @property
    def n_cells(self) -> int:
        """What of the context it takes."""


Built = TypeVar("Built", bound=Sized)


@dataclass(frozen=True, slots=True)
class Cut:
    """Where reading begins."""

    dropped: int = 0
    """Messages behind the system message that are left out."""
    summary: str = ""
    """What the model wrote in their place."""


def longest_prompt(n_ctx: int, max_tokens: int | None) -> int:
    """Tokens that a conversation may have before it is trimmed: its answer needs room too, a quarter at most."""
    return n_ctx - min(max_tokens or DEFAULT_MAX_TOKENS, n_ctx // 4)


def least_tokens(messages: Sequence[Message], longest_piece: int) -> int:
    """Tokens that a conversation comes to at least; counting its characters takes no time beside tokenizing them.

    Templates and tokenizers may leave white space out, and templates what an assistant thought: neither is counted.

    Args:
        messages: the conversation.
        longest_piece: characters other than white space that the vocabulary's longest token stands for.
    """
    texts = [message.content for message in messages if message.role != "assistant"]
    n_chars = sum(map(len, texts)) - sum(text.count(space) for text in texts for space in _SPACES)
    return -(-n_chars // longest_piece)


def apply(messages: Sequence[Message], cut: Cut) -> tuple[Message, ...]:
    """What is read: the system message, and what is behind the cut, with the summary before its first message."""
    system, body = split(messages)
    kept = list(body[cut.dropped :])
    if cut.summary and kept:
        kept[0] = replace(kept[0], content=with_summary(cut.summary, kept[0].content))
    return (*system, *kept)


def with_summary(summary: str, text: str) -> str:
    """A message with a marked summary before it. No message of its own: templates want roles by turns."""
    return f"{MARK}\n{summary}\n\n{text}" if summary else text


def split(messages: Sequence[Message]) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    """The system messages at the front, and the rest."""
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
    """Where reading begins: at ``known`` if that fits, else as early as leaves a quarter of the context free.

    Args:
        messages: the whole conversation.
        count: exact tokens of the prompt behind a cut.
        n_ctx: tokens of the context.
        max_tokens: longest answer.
        known: where the turns before began.
        summary: stands for what goes, if something must go.
    """
    limit = longest_prompt(n_ctx, max_tokens)
    if count(known) <= limit:
        return known
    # A conversation begins with a question; templates refuse others.
    points = [Cut(i, summary) for i, each in enumerate(split(messages)[1]) if each.role == "user" and i > known.dropped]
    if not points:
        return known
    low, high = 0, len(points) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if count(points[middle]) <= limit - n_ctx // 4 else (middle + 1, high)
    return points[low]


class ContextWindow:
    """Fits requests into one context, and remembers where each conversation was cut.

    Args:
        n_ctx: tokens of the context.
    """

    def __init__(self, n_ctx: int) -> None:
        self._n_ctx = n_ctx
        self._known: OrderedDict[bytes, Cut] = OrderedDict()

    def fit(self, request: Request, build: Callable[[Request], Built]) -> tuple[Built, Trimmed | None]:
        """The prompt of as much of a request as fits by its policy, and what was left out of it.

        Args:
            request: with all its messages.
            build: renders and tokenizes.

        Raises:
            ContextOverflowError: messages must go, and the request wants to be told first (``dropped`` says how many).
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
            # The request that asked for the summary was trimmed too, perhaps, and its cut is that of no conversation.
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
        for key in _beginnings(messages):
            # A conversation that was taken back to the very point of a cut would keep nothing.
            if (cut := self._known.get(key)) is not None and cut.dropped < size:
                found = cut
        return found

    def _remember(self, messages: Sequence[Message], cut: Cut) -> None:
        if not cut.dropped:
            return
        key = next(key for i, key in enumerate(_beginnings(messages), 1) if i == cut.dropped)
        self._known[key] = cut
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _beginnings(messages: Sequence[Message]) -> Iterator[bytes]:
    """What tells the conversation's first message apart, its first two, and so on."""
    system, body = split(messages)
    digest = hashlib.sha256(repr(system).encode("utf-8", "surrogatepass"))
    for message in body:
        digest.update(repr(message).encode("utf-8", "surrogatepass"))
        yield digest.copy().digest()
