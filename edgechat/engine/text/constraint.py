"""Constrained decoding: an answer that satisfies a JSON schema, a regular expression or a list of choices.

llguidance computes which tokens are allowed; the logits of all others are set to minus infinity, in place. Greedy
decoding first asks about the best token alone: it is nearly always allowed, so the whole vocabulary is seldom searched.
Tokens that are the only ones allowed are *forced*: decoded together in one batch, never sampled. A constraint that
cannot be compiled is refused before anything is generated; no weaker mode exists. One that fails during decoding (a
regular expression may grow beyond its automaton's limit) ends its own answer with an error.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from edgechat.engine import schema as json_schema
from edgechat.engine.native.logits import row
from edgechat.engine.text.tool_call import fenced_start, names
from edgechat.errors import AnswerError, SchemaError

if TYPE_CHECKING:
    import llguidance
    import numpy as np
    from numpy.typing import NDArray

    from edgechat.engine.native.context import Context
    from edgechat.engine.native.sampler import Sampler

_KEPT_GRAMMARS = 16
_QUICK = 16_384
"""Characters of a constraint that compiles in a few milliseconds."""


class Constraints:
    """Compiles constraints for one model and keeps the last few: all records of a batch have the same schema.

    Thread-safe.
    """

    def __init__(self, tokenizer: llguidance.LLTokenizer, n_vocab: int) -> None:
        self._tokenizer = tokenizer
        self._n_vocab = n_vocab
        self._compiled: OrderedDict[str, llguidance.LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def is_quick(self, constraint: dict[str, Any]) -> bool:
        """Whether :meth:`start` takes no noticeable time: the constraint is small, or is compiled already."""
        key = _key(constraint)
        return len(key) <= _QUICK or key in self._compiled

    def start(self, constraint: dict[str, Any]) -> Constraint:
        """The constraint of one new answer.

        Args:
            constraint: ``{"json_schema": {...}}``, ``{"regex": "..."}`` or ``{"choices": ["...", ...]}``.

        Raises:
            SchemaError: it is malformed, or asks for what decoding cannot enforce.
        """
        key = _key(constraint)
        compiled = self._compiled.get(key)
        if compiled is None:
            compiled = self._compile(constraint)
        with self._lock:
            self._compiled[key] = compiled
            self._compiled.move_to_end(key)
            while len(self._compiled) > _KEPT_GRAMMARS:
                self._compiled.popitem(last=False)
        return Constraint(compiled.deep_copy(), self._n_vocab)

    def _compile(self, constraint: dict[str, Any]) -> llguidance.LLMatcher:
        import llguidance  # noqa: PLC0415

        matcher = llguidance.LLMatcher(self._tokenizer, grammar(constraint), log_level=0)
        if matcher.is_error():
            reason = matcher.get_error().strip().splitlines()[0]
            raise SchemaError(f"The constraint cannot be enforced: {reason}.", hint="See docs/json-schema.md.")
        return matcher


def _key(constraint: dict[str, Any]) -> str:
    # Not sorted: the order of properties is the order in which they are decoded.
    return json.dumps(constraint, ensure_ascii=False)


def grammar(constraint: dict[str, Any]) -> str:
    """Translate a constraint to a grammar of llguidance.

    Raises:
        SchemaError: it is malformed, or uses what llguidance would refuse or not enforce.
    """
    import llguidance  # noqa: PLC0415

    if len(constraint) != 1:
        raise SchemaError("A constraint is exactly one of json_schema, regex, choices or tool_call.")
    ((kind, value),) = constraint.items()
    if kind == "json_schema":
        tight = json_schema.prepare(value)
        return llguidance.LLMatcher.grammar_from_json_schema(tight, overrides=json_schema.LAYOUT)
    if kind == "tool_call":
        return _text_or_call(json_schema.prepare(value), names(value))
    if kind == "regex" and isinstance(value, str):
        return llguidance.LLMatcher.grammar_from_regex(value)
    if (
        kind == "choices"
        and isinstance(value, list)
        and value
        and all(isinstance(each, str) and each for each in value)
    ):
        options = " | ".join(json.dumps(each, ensure_ascii=False) for each in value)
        return llguidance.LLMatcher.grammar_from_lark(f"start: {options}")
    raise SchemaError(f"{kind!r} is not a constraint, or is empty.", hint="Use json_schema, regex or choices.")


def _text_or_call(tight: dict[str, Any], tools: tuple[str, ...]) -> str:
    """Grammar of an answer that is plain text or a tool call: JSON, bare, between Hermes' tags, or in a Markdown fence.

    An answer that begins like a call must be one to its end. Separators are those of the templates.

    Args:
        tight: the schema of a call, as the decoder takes it.
        tools: the names in it; a fence that names none of them is plain text.
    """
    rules = [
        r'tagged: "<tool_call>\n" call "\n</tool_call>"',
        f"call: {_json(tight, whitespace_flexible=False, item_separator=', ', key_separator=': ')}",
    ]
    branches = tight.get("anyOf", [tight])
    if len(branches) != len(tools):
        return "\n".join(["start: text | call | tagged", r"text: /[^{<](.|\n)*/", *rules])
    # The name belongs to the first token of each alternative: the lexer is greedy, and would read the fence as text.
    for number, (name, branch) in enumerate(zip(tools, branches, strict=True)):
        shared = {"$defs": tight.get("$defs", {}), "x-guidance": tight.get("x-guidance", {})}
        arguments = {**branch["properties"]["arguments"], **shared}
        loose = _json(arguments, whitespace_flexible=True, whitespace_pattern=r"[ \n]{0,20}")
        rules += [
            f"fenced{number}: FENCED{number} /{_ARGUMENTS}/ arguments{number} /{_FENCE_END}/",
            f"FENCED{number}: /{fenced_start((name,))}/",
            f"arguments{number}: {loose}",
        ]
    alternatives = "".join(f" | fenced{number}" for number in range(len(tools)))
    text = rf"TEXT: /[^{{<](.|\n)*/ & ~/{fenced_start(tools)}(.|\n)*/"
    return "\n".join([f"start: TEXT | call | tagged{alternatives}", text, *rules])


_ARGUMENTS = r'[ \n]{0,4},[ \n]{0,20}"arguments"[ \n]{0,4}:[ \n]{0,4}'
_FENCE_END = r"[ \n]{0,20}\}[ \n]{0,4}```"


def _json(schema: dict[str, Any], **options: Any) -> str:
    """A schema inside a grammar, with options of llguidance's JSON compiler."""
    return f"%json {json.dumps({**schema, 'x-guidance': {**schema.get('x-guidance', {}), **options}})}"


class Constraint:
    """The state of one constrained answer."""

    def __init__(self, matcher: llguidance.LLMatcher, n_vocab: int) -> None:
        import numpy as np  # noqa: PLC0415 - 100 ms that plain answers need not pay

        self._np = np
        self._matcher = matcher
        self._n_vocab = n_vocab
        self._words: NDArray[np.int32] = np.zeros((n_vocab + 31) // 32, dtype=np.int32)
        self._forbidden: NDArray[np.bool_] = np.empty(n_vocab, dtype=np.bool_)

    def choose(self, sampler: Sampler, context: Context, index: int) -> int:
        """The token after batch position ``index``: the sampler's choice among those allowed. Does not advance.

        Raises:
            AnswerError: the constraint failed.
        """
        if not sampler.is_argmax:
            self.mask(context, index)
            return sampler.sample(context, index)
        logits = row(context, index, self._n_vocab)
        best = int(logits.argmax())
        is_allowed = self._matcher.validate_tokens([best])
        self._check()
        if is_allowed:
            return best
        self._forbid(logits)
        return int(logits.argmax())

    def mask(self, context: Context, index: int) -> None:
        """Set the logits of all tokens that are not allowed after batch position ``index`` to minus infinity.

        Raises:
            AnswerError: the constraint failed.
        """
        self._forbid(row(context, index, self._n_vocab))

    def _forbid(self, logits: NDArray[np.float32]) -> None:
        np = self._np
        words = self._words
        self._matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        # A matcher that failed returns a mask that allows only the end.
        self._check()
        bits = np.unpackbits(words.view(np.uint8), bitorder="little", count=self._n_vocab)
        np.equal(bits, 0, out=self._forbidden)
        np.copyto(logits, -np.inf, where=self._forbidden)

    def allowed_prefix(self, draft: list[int]) -> list[int]:
        """The leading draft tokens that are allowed in this order; none where the constraint failed."""
        count = self._matcher.validate_tokens(draft) if draft else 0
        return [] if self._matcher.is_error() else draft[:count]

    def advance(self, token: int) -> None:
        """Advance by one sampled token.

        Raises:
            AnswerError: the token was not allowed, so mask and matcher disagree.
        """
        is_taken = self._matcher.consume_token(token)
        self._check(is_right=is_taken)

    def forced(self) -> list[int]:
        """Advance by the tokens that are the only ones allowed next, and return them; empty where there is a choice.

        Raises:
            AnswerError: the constraint failed.
        """
        self._check()
        if self._matcher.is_stopped():
            return []
        tokens = self._matcher.compute_ff_tokens()
        is_taken = not tokens or self._matcher.consume_tokens(tokens)
        self._check(is_right=is_taken)
        return tokens

    def end(self) -> None:
        """Check the answer after the model has ended it.

        Raises:
            AnswerError: it does not satisfy the constraint.
        """
        self._check(is_right=self._matcher.is_accepting())

    @property
    def is_complete(self) -> bool:
        """True when nothing may follow. A valid answer need not be complete: a number may get more digits."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    def _check(self, *, is_right: bool = True) -> None:
        """Raise AnswerError where the matcher has failed or ``is_right`` is False."""
        if is_right and not self._matcher.is_error():
            return
        reason = (self._matcher.get_error().strip().splitlines() or ["what came does not satisfy it"])[0]
        raise AnswerError(
            f"The constraint on the answer failed: {reason}.",
            hint="Use a simpler one: shorter repetitions, fewer alternatives. See docs/json-schema.md.",
        )
