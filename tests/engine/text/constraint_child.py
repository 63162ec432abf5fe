"""Drives a constraint over bytes into what its automaton cannot hold: run as a module, prints what came of it as JSON.

llama.cpp, which the constraint's module loads, must not be loaded into the process of a test.
"""

import json
import sys
from types import SimpleNamespace
from typing import Any

import llguidance
import numpy as np

from edgechat.engine.decoding.sequence import replay
from edgechat.engine.text import constraint as constrain
from edgechat.engine.text.constraint import Constraint, Constraints
from edgechat.engine.text.detokenizer import Detokenizer
from edgechat.errors import EdgechatError

TOO_MUCH = "(.*a.{100}.*e.{100}.*)+Z"
"""More states than the lexer may have, once some hundred letters have come."""


def likes_the_end(_context: Any, _index: int, n_vocab: int) -> Any:
    """FAKE logits: the end is the likeliest token."""
    logits = np.zeros(n_vocab, dtype=np.float32)
    logits[TOKENIZER.eos_token] = 1.0
    return logits


vars(constrain)["row"] = likes_the_end
TOKENIZER = llguidance.LLTokenizer("byte")
COMPILED = Constraints(TOKENIZER, TOKENIZER.vocab_size)


def over(regex: str) -> Constraint:
    """A matcher for one answer."""
    return COMPILED.start({"regex": regex})


def behind(regex: str, text: str) -> Constraint:
    """The same, after the beginning of an answer."""
    constraint = over(regex)
    for letter in text:
        constraint.advance(ord(letter))
    return constraint


def exhausted() -> Constraint:
    """A matcher that fails at the next look."""
    return behind(TOO_MUCH, "ae" * 200)


def outcome(act: Any) -> Any:
    """What a call returns, or the class and the message of its error."""
    try:
        return act()
    except EdgechatError as error:
        return [type(error).__name__, error.message]


def main() -> None:
    """Print one outcome for each way to ask."""
    greedy: Any = SimpleNamespace(is_argmax=True)
    context: Any = None
    failed = exhausted()
    report = {
        "choose": outcome(lambda: exhausted().choose(greedy, context, 0)),
        "mask": outcome(lambda: failed.mask(context, 0)),
        "complete": failed.is_complete,
        "forced": outcome(failed.forced),
        "possible": failed.allowed_prefix([ord("a")]),
        "end": outcome(failed.end),
        "take": outcome(lambda: behind("ab", "ax")),
        "end_of_half": outcome(behind("ab", "a").end),
        "end_of_whole": outcome(behind("a[0-9]*", "a").end),
        "resumed": outcome(lambda: replay(Detokenizer((), None), over("[0-9]+"), (49, 97), [b"1", b"a"])),
        "resumed_well": outcome(lambda: replay(Detokenizer((), None), over("[0-9]+"), (49, 50), [b"1", b"2"])),
    }
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
