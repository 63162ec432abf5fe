"""Which texts the grammar of a constraint takes: run as a module, reads a JSON job and prints an outcome for each text.

llama.cpp, which the constraint's module loads, must not be loaded into the process of a test.
"""

import json
import sys

import llguidance

from edgechat.engine.text.constraint import grammar


def main() -> None:
    """Print for each text how many of its characters are allowed, and whether it may end there."""
    job = json.load(sys.stdin)
    tokenizer = llguidance.LLTokenizer("byte")
    outcomes = []
    for text in job["texts"]:
        matcher = llguidance.LLMatcher(tokenizer, grammar(job["constraint"]), log_level=0)
        assert not matcher.is_error(), matcher.get_error()
        tokens = list(text.encode())
        count = matcher.validate_tokens(tokens)
        matcher.consume_tokens(tokens[:count])
        outcomes.append([len(bytes(tokens[:count]).decode()), matcher.is_accepting()])
    sys.stdout.write(json.dumps(outcomes))


if __name__ == "__main__":
    main()
