"""A generator with scripted answers, a clock set by hand, and the check of results against the published schema."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from edgechat.tasks.contract import FinishReason, GeneratedJson, Task, published_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgechat.engine.protocol.request import Message
    from edgechat.errors import EdgechatError
    from edgechat.tasks.contract import Ask
    from edgechat.tasks.result import TaskResult


_VALIDATORS: dict[type, Draft202012Validator] = {}


@dataclass
class Call:
    messages: Sequence[Message]
    schema: Any
    max_tokens: int
    timeout_s: float | None
    seed: int | None


@dataclass
class ScriptedGenerator:
    """Answers every question, for JSON or text, with the same scripted answer; no model, no engine."""

    value: Any = None
    text: str | None = None
    finish_reason: FinishReason = "stop"
    raises: EdgechatError | None = None
    on_call: Callable[[], None] = lambda: None
    calls: list[Call] = field(default_factory=list)

    def generate(self, ask: Ask[Any], *, timeout_s: float | None, seed: int | None) -> GeneratedJson:
        self.calls.append(Call(ask.messages, ask.schema, ask.max_tokens, timeout_s, seed))
        self.on_call()
        if self.raises is not None:
            raise self.raises
        is_whole = self.finish_reason == "stop"
        return GeneratedJson(
            value=self.value if is_whole else None,
            text=self._text(ask) if self.text is None else self.text,
            finish_reason=self.finish_reason,
            model="scripted",
            quant="NONE",
            model_sha256="0" * 64,
            seed=7 if seed is None else seed,
            timing={"ttft_s": 0.1},
        )

    def _text(self, ask: Ask[Any]) -> str:
        is_text = ask.schema is None and isinstance(self.value, str)
        return self.value if is_text else json.dumps(self.value, ensure_ascii=False)


class ManualClock:
    """A clock that the test sets."""

    def __init__(self, monotonic_s: float = 100.0, wall_s: float = 1_790_000_000.0) -> None:
        self.monotonic_s, self.wall_s = monotonic_s, wall_s

    def monotonic(self) -> float:
        return self.monotonic_s

    def wall(self) -> float:
        return self.wall_s


def assert_fits(task: Task[Any, Any], done: TaskResult) -> dict[str, Any]:
    """The result, after a validator that is not pydantic has compared it with the published schema, as JSON."""
    record = json.loads(json.dumps(done.to_json(), allow_nan=False))
    assert record["result"] is not None, record["errors"]
    if type(task) not in _VALIDATORS:
        _VALIDATORS[type(task)] = Draft202012Validator(published_schema(task, "output"))
    _VALIDATORS[type(task)].validate(record["result"])
    result: dict[str, Any] = record["result"]
    return result
