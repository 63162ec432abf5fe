"""A result's ``task_version`` means something only if no prompt, schema or fixed text changes without it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from edgechat.tasks.contract import Ask, Context, published_schema
from edgechat.tasks.registry import load

PINNED: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "versions.json").read_text(encoding="utf-8"))


def fields(schema: dict[str, Any]) -> list[Any]:
    """Names, meanings and necessity; how pydantic spells the rest differs between its versions."""
    models = [schema, *(sub for _, sub in sorted(schema.get("$defs", {}).items()))]
    return [
        [[name, sub.get("description", "")] for name, sub in model.get("properties", {}).items()]
        + sorted(model.get("required", []))
        for model in models
    ]


def fingerprint(name: str) -> str:
    """SHA-256 over the published fields, and over messages, schema and rule-made result of the example."""
    task = load(name)
    seen: list[Any] = [fields(published_schema(task, "input")), fields(published_schema(task, "output"))]
    for language in ("ja", "en", "zh"):
        record = task.input_model.model_validate({**task.example, "language": language})
        ask = next(task.steps(record, Context()))
        assert isinstance(ask, Ask)
        assert ask.so_far.result is not None
        seen.append([[message.role, message.content] for message in ask.messages])
        seen.append([ask.schema, ask.so_far.result.model_dump(mode="json")])
    text = json.dumps(seen, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", sorted(PINNED))
def test_whatever_changes_a_result_raises_the_version(name):
    version, pinned = load(name).version, PINNED[name]
    found = fingerprint(name)
    assert {"version": version, "sha256": found} == pinned, (
        f"{name}: raise Task.version if a release had {pinned['version']}, then update versions.json"
    )
