"""llguidance's tokenizer: ``python -m tests.engine.text.tokenizer_child GGUF DIRECTORY``: findings as JSON.

llama.cpp must not be loaded into the process of a test. Only the vocabulary is read, so this takes a moment.
"""

import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np

from edgechat.engine.native.model import Model
from edgechat.engine.text.constraint import Constraint, Constraints
from edgechat.engine.text.tokenizer_cache import TokenizerCache
from tests.engine.text.vocabulary_child import vocabulary

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "category": {"enum": ["man", "machine", "material"]},
        "statement": {"type": "string", "minLength": 1, "maxLength": 40},
        "values": {"type": "array", "items": {"type": "number"}, "maxItems": 3},
    },
    "required": ["category", "statement", "values"],
    "additionalProperties": False,
}
STEPS, PROBES = 60, 200


def start(made: TokenizerCache, model: Model) -> list[int]:
    """Tokens that an answer to the schema must begin with: what depends on pieces, end tokens and tokenizing alike."""
    return Constraints(made.tokenizer(model), model.n_vocab).start({"json_schema": SCHEMA}).forced()


def disagreements(constraint: Constraint, n_vocab: int) -> int:
    """Tokens about which a single question and the mask over the vocabulary differ, on one random answer."""
    rng, count = random.Random(7), 0
    words = np.zeros((n_vocab + 31) // 32, dtype=np.int32)
    for _ in range(STEPS):
        if constraint.is_complete:
            break
        constraint._matcher.unsafe_compute_mask_ptr(words.ctypes.data, words.nbytes)
        bits = np.unpackbits(words.view(np.uint8), bitorder="little", count=n_vocab)
        allowed = [int(token) for token in np.flatnonzero(bits)]
        for token in [*rng.sample(range(n_vocab), PROBES), *rng.sample(allowed, min(PROBES, len(allowed)))]:
            count += bool(constraint.allowed_prefix([token])) != bool(bits[token])
        constraint.advance(rng.choice(allowed))
    return count


def main(path: str, directory: Path) -> dict[str, Any]:
    """What the test asks about."""
    model = vocabulary(path)
    model._eog, model._pieces = {}, {}
    file = directory / "a.pieces"
    first = TokenizerCache(file)
    first.begin()  # there is nothing to begin with yet
    said = {"from the model": start(first, model), "is kept": file.exists()}
    ahead = TokenizerCache(file)
    ahead.begin()
    assert ahead._making is not None
    ahead._making.join()
    said["was made ahead"] = ahead._made is not None
    said["ahead"] = start(ahead, model)
    kept = file.read_bytes()
    file.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    damaged = TokenizerCache(file)
    damaged.begin()
    said["from damage"] = start(damaged, model)
    said["is mended"] = file.read_bytes() == kept
    foreign = TokenizerCache(file)
    foreign.begin()
    foreign._making.join()  # type: ignore[union-attr]
    foreign._identity = "of another vocabulary"
    said["from another's"] = start(foreign, model)
    in_the_way = directory / "in the way"
    in_the_way.write_text("a file")
    said["without a disk"] = start(TokenizerCache(in_the_way / "a.pieces"), model)
    constraints = Constraints(ahead.tokenizer(model), model.n_vocab)
    said["disagreements"] = disagreements(constraints.start({"json_schema": SCHEMA}), model.n_vocab)
    begun = constraints.start({"json_schema": SCHEMA})
    text = '{"category": "machine", "statement": "x", "nonsense'
    guess = model.tokenize(text, add_special=False, parse_special=False)
    said["guess"] = model.pieces(guess).decode()
    said["possible"] = model.pieces(begun.allowed_prefix(guess)).decode()
    return said


if __name__ == "__main__":
    json.dump(main(sys.argv[1], Path(sys.argv[2])), sys.stdout)
