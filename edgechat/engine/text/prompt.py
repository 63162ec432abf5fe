"""From a conversation to token ids, such that nothing a user wrote can become a control token.

The template decides where roles begin and end; its text is tokenized with control tokens recognised. A control token's
spelling inside a message is replaced by a placeholder before rendering, restored afterwards, and tokenized as plain
text. Otherwise messages stay in one piece with the template's text, because SentencePiece vocabularies prefix a space
to each piece.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from edgechat.engine.kv_cache.prefix import common_prefix
from edgechat.engine.text.detokenizer import open_thought
from edgechat.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from edgechat.engine.native.vision import Picture, View
    from edgechat.engine.protocol.request import Message


_EDGE = 128
"""Characters at either end of a message that could be part of a control token; the longest known one has 40."""

_WINDOW = 4096
"""Characters searched at once: llama.cpp's search for control tokens is quadratic in their number (31 s for 100,000 in
one text, 0.1 s in windows)."""


_OTHER_QUESTION = "\N{WHITE SQUARE}"
"""Questions do not begin with it, so the common part ends where the question begins."""


class Tokenizer(Protocol):
    """The part of a model's vocabulary that prompts need."""

    @property
    def bos_text(self) -> str:
        """The beginning-of-sequence token as templates spell it."""

    @property
    def adds_bos(self) -> bool:
        """True when a prompt must begin with BOS."""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of a text."""

    def is_control(self, token: int) -> bool:
        """True for control tokens."""

    def text_of(self, token: int) -> str:
        """A token's spelling."""


class Template(Protocol):
    """Renders a conversation."""

    def render(self, messages: Sequence[dict[str, Any]], *, think: bool, tools: Sequence[dict[str, Any]] = ()) -> str:
        """The prompt text."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation as token ids."""

    tokens: tuple[int, ...]
    n_static: int
    """Leading tokens that do not depend on the question; 0 where the conversation has more than one."""
    open_thought: str | None
    """Closing tag of a thought that the template has opened for the model, or None."""
    views: Mapping[int, View] = field(default_factory=dict)
    """Pictures, which negative ids among the tokens stand for, by the index of their first id."""

    @property
    def n_cells(self) -> int:
        """KV cells that the prompt fills: more than positions where rows and columns of a picture share some."""
        return len(self.tokens) + sum(view.beyond for view in self.views.values())


def _refuse_image(_image: str) -> Picture:
    raise InvalidInputError("This model cannot look at images.", hint="Leave the image out, or take a vision model.")


def build(
    messages: Sequence[Message],
    template: Template,
    tokenizer: Tokenizer,
    *,
    takes_system: bool,
    think: bool,
    tools: Sequence[dict[str, Any]] = (),
    encode_image: Callable[[str], Picture] = _refuse_image,
) -> Prompt:
    """Render and tokenize a conversation; ``encode_image`` turns an image into tokens.

    Raises:
        InvalidInputError: the template rejects the conversation or has no place for its tools, or an image is
            refused.
        TemplateError: the template fails.
    """
    pictures = [[encode_image(image) for image in message.images] for message in messages]
    turns: list[dict[str, Any]] = [
        {
            "role": m.role,
            "content": m.content,
            **({"tool_calls": list(m.tool_calls)} if m.tool_calls else {}),
            **({"tool_call_id": m.tool_call_id} if m.tool_call_id else {}),
        }
        for m in messages
    ]
    render = partial(
        _render, template=template, tokenizer=tokenizer, takes_system=takes_system, think=think, tools=tools, spelled={}
    )
    try:
        tokens, tail = render(turns, pictures)
    except InvalidInputError:
        turns, before = _with_short_ids(turns), turns
        if turns == before:
            raise
        tokens, tail = render(turns, pictures)
    n_static = 0
    if [m.role for m in messages] in (["user"], ["system", "user"]):
        # What the prompts of two questions have in common does not depend on the question.
        n_static = common_prefix(tokens, render([*turns[:-1], {"role": "user", "content": _OTHER_QUESTION}], [])[0])
    return Prompt(tokens, n_static, open_thought(tail), _views(tokens, pictures))


def _with_short_ids(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation with ids of calls that have nine letters and digits, which Mistral's templates require.

    An id has the same short one wherever it stands, in this conversation and in the next turn of it.
    """

    def shorten(name: str) -> str:
        if re.fullmatch("[A-Za-z0-9]{9}", name):
            return name
        # Hexadecimal: 1 in 70 billion for two ids of one conversation to share theirs.
        return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:9]

    changed = []
    for turn in turns:
        new = dict(turn)
        if "tool_call_id" in turn:
            new["tool_call_id"] = shorten(turn["tool_call_id"])
        if "tool_calls" in turn:
            new["tool_calls"] = [{**call, "id": shorten(str(call.get("id", "")))} for call in turn["tool_calls"]]
        changed.append(new)
    return changed


def _views(tokens: tuple[int, ...], pictures: list[list[Picture]]) -> dict[int, View]:
    """The views of the pictures by their index among the tokens.

    Raises:
        InvalidInputError: the template left a picture out.
    """
    views = {first: view for each in pictures for picture in each for first, view in picture.views.items()}
    if not views:
        return {}
    found = {i: views[token] for i, token in enumerate(tokens) if token in views}
    if len({id(view) for view in found.values()}) < len(views):
        raise InvalidInputError("The model's chat template leaves images out.", hint="Ask with a vision model.")
    return found


def _render(
    turns: list[dict[str, Any]],
    pictures: list[list[Picture]],
    *,
    template: Template,
    tokenizer: Tokenizer,
    takes_system: bool,
    think: bool,
    tools: Sequence[dict[str, Any]] = (),
    spelled: dict[str, set[str]],
) -> tuple[tuple[int, ...], str]:
    """Token ids, and the end of the rendered text."""
    guard = _ControlTokenGuard(tokenizer, spelled)
    turns = [dict(turn) for turn in turns]
    for turn, images in zip(turns, pictures, strict=False):
        turn["content"] = "".join(map(guard.add_picture, images)) + turn["content"]
    turns = [dict(turn) for turn in (turns if takes_system else _fold_system(turns))]
    for turn in turns:
        turn["content"] = guard.hide(turn["content"])
        for name in ("tool_calls", "tool_call_id"):
            if name in turn:
                turn[name] = guard.hide_all(turn[name])
    guard.protect_boundaries(turns)
    tools = guard.hide_all(list(tools))
    text = template.render(turns, think=think, tools=tools)
    _require_tools(text, turns, tools)
    return tuple(guard.tokenize(text)), text[-64:]


def _require_tools(text: str, turns: list[dict[str, Any]], tools: Sequence[dict[str, Any]]) -> None:
    """Refuse tools where the template left out any of them, a call, or a result."""
    names = [each["function"]["name"] for each in tools]
    calls = [call["function"]["name"] for turn in turns for call in turn.get("tool_calls", ())]
    results = [turn["content"].strip() for turn in turns if turn["role"] == "tool"]
    # A template may write a result as it is, as a JSON string, or with its lines indented.
    are_there = all(
        each in text or _escaped(each) in text or all(line.strip() in text for line in each.splitlines())
        for each in results
    )
    if not (are_there and all(each in text for each in (*names, *calls))):
        raise InvalidInputError(
            "The model's chat template has no place for tools.",
            hint="Ask without tools, or take a model that knows them.",
        )


def _escaped(text: str, times: int = 1) -> str:
    """The inside of ``text`` as a JSON string, ``times`` over."""
    for _ in range(times):
        text = json.dumps(text, ensure_ascii=False)[1:-1]
    return text


def _fold_system(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put system messages into the user message that follows, for templates without a system role."""
    folded: list[dict[str, Any]] = []
    pending = ""
    for turn in turns:
        if turn["role"] == "system":
            pending += turn["content"] + "\n\n"
        elif turn["role"] == "user" and pending:
            folded.append({"role": "user", "content": pending + turn["content"]})
            pending = ""
        else:
            folded.append(turn)
    if pending:
        folded.append({"role": "user", "content": pending.rstrip()})
    return folded


class _ControlTokenGuard:
    """Replaces spellings of control tokens by placeholders before rendering, and restores them as plain text after."""

    def __init__(self, tokenizer: Tokenizer, spelled: dict[str, set[str]]) -> None:
        self._tokenizer = tokenizer
        self._spelled = spelled
        """Text -> the control tokens it would become: instructions are rendered twice and searched once."""
        # Unlike any spelling a user could guess, and without whitespace that templates trim.
        self._nonce = os.urandom(8).hex()
        self._numbers: dict[str, int] = {}
        """Hidden text -> the number of its placeholder."""
        self._pictures: list[Picture] = []

    def hide(self, text: str) -> str:
        """``text`` with a placeholder for each spelling of a control token."""
        parts = self._cut(text)
        parts[1::2] = map(self._placeholder, parts[1::2])
        return "".join(parts)

    def add_picture(self, picture: Picture) -> str:
        """A placeholder for a picture's tokens."""
        self._pictures.append(picture)
        return f"{self._nonce}.p{len(self._pictures) - 1}."

    def hide_all(self, value: Any) -> Any:
        """:meth:`hide` for every text in a JSON value, names included."""
        if isinstance(value, str):
            return self.hide(value)
        if isinstance(value, dict):
            return {self.hide(name): self.hide_all(each) for name, each in value.items()}
        return [self.hide_all(each) for each in value] if isinstance(value, (list, tuple)) else value

    def _cut(self, text: str) -> list[str]:
        """Alternate plain text and control tokens' spellings; plain text at both ends."""
        parts = [text]
        while True:
            # Search again after each cut, since one spelling may have hidden another.
            spellings = self._spellings("\n".join(parts[::2]))
            if not spellings:
                return parts
            # Of spellings with the same beginning, the longest first.
            pattern = re.compile(f"({'|'.join(map(re.escape, sorted(spellings, key=len, reverse=True)))})")
            finer: list[str] = []
            for i, part in enumerate(parts):
                finer += [part] if i % 2 else pattern.split(part)
            if len(finer) == len(parts):
                return parts
            parts = finer

    def _spellings(self, text: str) -> set[str]:
        """Spellings of control tokens that llama.cpp recognises in ``text``."""
        if text in self._spelled:
            return self._spelled[text]
        found: set[str] = set()
        for start in range(0, len(text), _WINDOW):
            window = text[start : start + _WINDOW + _EDGE]
            tokens = set(self._tokenizer.tokenize(window, add_special=False, parse_special=True))
            names = {self._tokenizer.text_of(token) for token in tokens if self._tokenizer.is_control(token)}
            found |= {name for name in names if name and name in window}
        self._spelled[text] = found
        return found

    def _placeholder(self, hidden: str) -> str:
        number = self._numbers.setdefault(hidden, len(self._numbers))
        if _escaped(hidden) == hidden:
            return f"{self._nonce}.{number}."
        # Where a template writes the message as JSON, its quotation mark is escaped, and so must the hidden text be.
        return f'{self._nonce}.q{number}."'

    def protect_boundaries(self, turns: list[dict[str, Any]]) -> None:
        """Keep two messages that a template puts side by side from spelling a control token together."""
        stripped = [turn["content"].strip() for turn in turns]
        edges = [text if len(text) <= 2 * _EDGE else f"{text[:_EDGE]}\n{text[-_EDGE:]}" for text in stripped]
        # A template may also repeat them all, or each of them.
        if not any(self._spellings("".join(row)) for row in (edges * 2, [2 * edge for edge in edges])):
            return
        for turn in turns:
            text = turn["content"].rstrip()
            if text and not re.search(rf"{self._nonce}\.(?:p?\d+\.|q\d+\.\")$", text):
                turn["content"] = text[:-1] + self._placeholder(text[-1]) + turn["content"][len(text) :]

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a rendered conversation; hidden spellings become plain text."""
        tokenizer = self._tokenizer
        # No second BOS where the template spells it, and no EOS at the end of a prompt.
        adds_bos = tokenizer.adds_bos and not (tokenizer.bos_text and text.startswith(tokenizer.bos_text))
        tokens = tokenizer.tokenize("", add_special=True, parse_special=False)[:1] if adds_bos else []
        known: dict[tuple[str, bool], list[int]] = {}
        is_first = True
        for piece, is_template in self._pieces(text):
            if isinstance(piece, int):
                tokens += self._pictures[piece].tokens
            elif is_first:
                tokens += tokenizer.tokenize(piece, add_special=False, parse_special=True)
            else:
                if (piece, is_template) not in known:
                    known[piece, is_template] = _continue(tokenizer, piece, parse_special=is_template)
                tokens += known[piece, is_template]
            is_first = False
        return tokens

    def _pieces(self, text: str) -> Iterator[tuple[str | int, bool]]:
        """The template's own text (True), beginning with it, and in turn hidden text or the number of a picture."""
        if self._nonce not in text:  # mostly nothing is hidden, and compiling takes as long as tokenizing a question
            yield text, True
            return
        hidden = list(self._numbers)
        at = 0
        for found in re.finditer(rf'{self._nonce}\.(?:(p?\d{{1,9}})\.|q(\d{{1,9}})\.(?:(\\*)")?)', text):
            yield text[at : found.start()], True
            at = found.end()
            plain, quoted, backslashes = found.groups()
            if plain and plain.startswith("p"):
                yield int(plain[1:]), False
                continue
            number = int(plain or quoted)
            # A number without a placeholder is the template's own text.
            original = hidden[number] if number < len(hidden) else str(number)
            # Escaped once, a quotation mark has one backslash before it; twice, three.
            yield _escaped(original, (len(backslashes or "") + 1).bit_length() - 1), False
        yield text[at:], True


def _continue(tokenizer: Tokenizer, text: str, *, parse_special: bool) -> list[int]:
    """Token ids of a text that continues another: without the space that SentencePiece puts before the first word."""
    if not text:
        return []
    lead = tokenizer.tokenize("\n", add_special=False, parse_special=False)
    both = tokenizer.tokenize("\n" + text, add_special=False, parse_special=parse_special)
    if both[: len(lead)] == lead:
        return both[len(lead) :]
    return tokenizer.tokenize(text, add_special=False, parse_special=parse_special)
