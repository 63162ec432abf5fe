"""Random answers to a schema, drawn token by token through the decoder's masks, with every byte a token of its own.

No model is needed: what the masks allow is what any model could say. Bytes are the hardest vocabulary, since no token
spans a boundary.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import llguidance

from edgechat.engine.schema.layout import COLON, COMMA, LAYOUT

if TYPE_CHECKING:
    import random

END = 256
_CLOSERS = tuple(b'"]}')


class _Bytes:
    eos_token_id = END
    bos_token_id = None
    special_token_ids = (END,)
    tokens = (*(bytes([value]) for value in range(256)), b"<end>")

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


_TOKENIZER = llguidance.LLTokenizer(llguidance.TokenizerWrapper(_Bytes()), n_vocab=257, eos_token=END)


def compiled(tight: dict[str, Any]) -> llguidance.LLMatcher:
    """The decoder for a tightened schema, exactly as the engine compiles it."""
    grammar = llguidance.LLMatcher.grammar_from_json_schema(tight, overrides=LAYOUT)
    matcher = llguidance.LLMatcher(_TOKENIZER, grammar, log_level=0)
    assert not matcher.is_error(), matcher.get_error()
    assert not matcher.get_grammar_warnings()
    return matcher


def laid_out(text: str) -> str:
    """JSON without white space in the layout that is decoded; what stands in strings is left as it is."""
    spaced = {":": COLON, ",": COMMA}
    return re.sub(r'"(?:[^"\\]|\\.)*"|[:,]', lambda found: spaced.get(found[0], found[0]), text)


def accepts(tight: dict[str, Any], text: str) -> bool:
    """Whether the decoder lets a text, written without white space, through to its end in its own layout."""
    matcher = compiled(tight)
    data = list(laid_out(text).encode())
    return matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting()


def walk(fresh: llguidance.LLMatcher, rng: random.Random, *, limit: int = 20_000) -> str:
    """One random answer. Strings, arrays and objects are closed early more often than not."""
    matcher = fresh.deep_copy()
    text = bytearray()
    while not matcher.is_stopped():
        assert len(text) < limit, bytes(text[:200])
        if forced := matcher.compute_ff_tokens():
            assert matcher.consume_tokens(forced)
            text += bytes(token for token in forced if token != END)
            continue
        bits = int.from_bytes(matcher.compute_bitmask(), "little")
        allowed = [token for token in range(END) if bits >> token & 1]
        if bits >> END & 1 and (not allowed or rng.random() < 0.5):
            break
        closers = [token for token in _CLOSERS if token in allowed]
        plain = [token for token in allowed if 32 <= token < 127]
        if closers and rng.random() < 0.2:
            token = rng.choice(closers)
        else:  # most of a random text would otherwise be rare scripts
            token = rng.choice(plain if plain and rng.random() < 0.8 else allowed)
        assert matcher.consume_token(token), matcher.get_error()
        text.append(token)
    assert not matcher.is_error(), matcher.get_error()
    return text.decode()
