"""Write every row of logits that a token was sampled from as one line of JSON to ``$ROW_LOG``, from inside an engine.

``scripts/measure/check_drafts.py`` has Python load this before the engine. An answer without drafts is kept, and the
next answer to the same prompt is drafted from it, with every ninth token replaced: so there are right and wrong drafts
whether or not the model repeats anything. The cost of a batch is set to that of one token, so all drafts are tried.
"""

from __future__ import annotations

import ctypes
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgechat.engine.decoding.loop import DecodeLoop
    from edgechat.engine.decoding.sequence import Sequence


SPOILT = 9


def install() -> None:
    """Wrap the decode loop's choice of one token."""
    import numpy as np

    from edgechat.engine.decoding import loop, prompt_lookup, speculative
    from edgechat.engine.native.lib import llama

    prompt_lookup.StepCosts.seconds = lambda self, size: 1.0  # type: ignore[method-assign]  # noqa: ARG005
    known: dict[tuple[int, ...], list[int]] = {}
    start = speculative.SpeculativeDecoder.start

    def started(self: speculative.SpeculativeDecoder, sequence: Sequence) -> None:
        start(self, sequence)
        if sequence.drafter is None:
            known[sequence.prompt] = sequence.generated
        else:
            spoilt = [each ^ (i % SPOILT == SPOILT - 1) for i, each in enumerate(known.get(sequence.prompt, ()))]
            sequence.drafter = prompt_lookup.Drafter([*sequence.prompt, *spoilt, *sequence.prompt])

    speculative.SpeculativeDecoder.start = started  # type: ignore[method-assign]
    sample = loop.DecodeLoop._sample_row
    log = Path(os.environ["ROW_LOG"])

    def logged(self: DecodeLoop, sequence: Sequence, row: int) -> str | None:
        pointer = llama.llama_get_logits_ith(self._context.handle, row)
        vocabulary = (ctypes.c_float * self._loaded.model.n_vocab).from_address(ctypes.addressof(pointer.contents))
        logits = np.frombuffer(memoryview(vocabulary), dtype=np.float32)
        second, first = (int(each) for each in np.argpartition(logits, -2)[-2:])
        if logits[second] > logits[first]:
            first, second = second, first
        gap = float(logits[first] - logits[second])
        before = len(sequence.generated)
        reason = sample(self, sequence, row)
        # The token that ends an answer is no part of it.
        token = sequence.generated[before] if len(sequence.generated) > before else -1
        line = {"request": sequence.request_id, "token": token, "argmax": first, "gap": gap}
        line |= {"row": row - sequence.logits_at, "drafted": len(sequence.draft)}
        with log.open("a", encoding="ascii") as file:
            file.write(json.dumps(line) + "\n")
        return reason

    loop.DecodeLoop._sample_row = logged  # type: ignore[method-assign]
