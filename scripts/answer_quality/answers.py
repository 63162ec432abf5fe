"""Answers of a real model to the records of a reference set: from the task, and from one plain sentence.

Every question of a record counts, also a second one after a faulty answer.
"""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgechat.engine.protocol.request import Message, Wish
from edgechat.tasks.contract import Ask, Outcome
from edgechat.tasks.generator import EngineGenerator
from edgechat.tasks.registry import load
from edgechat.tasks.runner import run_task
from edgechat.tasks.translate.languages import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgechat.paths import Paths
    from edgechat.tasks.contract import GeneratedJson
    from edgechat.tasks.generator import ModelIdentity
    from edgechat.tasks.scoring.reference_file import Pair

N_CTX = 4096
_PLAIN_TOKENS = 160
"""Limit of an answer to the plain sentence; no reference has more than 40 tokens."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one record."""

    status: str
    result: dict[str, Any] | None
    """The task's result; of the plain sentence, ``{"translation": text}``."""
    tokens: int
    """Decoded for all questions of the record."""
    questions: int
    seconds: float


@dataclass(slots=True)
class _CountingGenerator:
    """Passes questions on to the engine and counts what they cost."""

    generator: EngineGenerator
    tokens: int = 0
    questions: int = 0

    def generate(self, ask: Ask[Any], *, timeout_s: float | None, seed: int | None) -> GeneratedJson:
        """Answer as the engine does."""
        answer = self.generator.generate(ask, timeout_s=timeout_s, seed=seed)
        self.tokens += int(answer.timing.get("completion_tokens", 0))
        self.questions += 1
        return answer


@dataclass(slots=True)
class Answerer:
    """One model on the engine of one home.

    Args:
        paths: the directories that select the engine.
        model: the model's file.
        parallel: records that are decoded together.
        on_answer: called with the number of finished records.
    """

    paths: Paths
    model: Path
    parallel: int
    on_answer: Callable[[int], None] = lambda _count: None
    identity: ModelIdentity = field(init=False)

    def __post_init__(self) -> None:
        with contextlib.closing(EngineGenerator(self.paths, self._wish())) as generator:
            self.identity = generator.identify()

    def task(self, name: str, pairs: Sequence[Pair]) -> list[Answer]:
        """The answers of a task."""
        task = load(name)

        def answered(generator: EngineGenerator, pair: Pair) -> Answer:
            counting = _CountingGenerator(generator)
            began_s = time.monotonic()
            done = run_task(
                task, pair.input, generator=counting, record_id=pair.id, context=self.identity.context(), seed=0
            )
            seconds = time.monotonic() - began_s
            return Answer(done.status, done.to_json()["result"], counting.tokens, counting.questions, seconds)

        return self._all(pairs, answered)

    def plain_translations(self, pairs: Sequence[Pair]) -> list[Answer]:
        """The answers to what a user would write: one sentence, then the text."""

        def answered(generator: EngineGenerator, pair: Pair) -> Answer:
            source, target = (LANGUAGES[pair.input[side]].name for side in ("source", "target"))
            wanted = f"Translate this text from {source} to {target}:\n\n{pair.input['text']}"
            began_s = time.monotonic()
            ask: Ask[Any] = Ask((Message("user", wanted),), None, _PLAIN_TOKENS, Outcome(None))
            answer = generator.generate(ask, timeout_s=None, seed=0)
            tokens = int(answer.timing.get("completion_tokens", 0))
            text = {"translation": answer.text.strip()}
            return Answer("ok", text, tokens, 1, time.monotonic() - began_s)

        return self._all(pairs, answered)

    def _all(self, pairs: Sequence[Pair], answered: Callable[[EngineGenerator, Pair], Answer]) -> list[Answer]:
        local = threading.local()
        opened: list[EngineGenerator] = []
        count = 0

        def one(pair: Pair) -> Answer:
            nonlocal count
            if not hasattr(local, "generator"):
                local.generator = EngineGenerator(self.paths, self._wish(), known=self.identity, is_batch=True)
                opened.append(local.generator)
            answer = answered(local.generator, pair)
            count += 1
            self.on_answer(count)
            return answer

        try:
            with ThreadPoolExecutor(self.parallel) as pool:
                return list(pool.map(one, pairs))
        finally:
            for generator in opened:
                generator.close()

    def _wish(self) -> Wish:
        return Wish.of(str(self.model), N_CTX)
