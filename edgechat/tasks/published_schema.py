"""The JSON Schemas that a task publishes for its input and its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from edgechat.tasks.contract import Schema, Task

Side = Literal["input", "output"]
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def published_schema(task: Task[Any, Any], side: Side) -> Schema:
    """JSON Schema (2020-12) of what ``task`` takes or gives; its ``$id`` carries the task's version."""
    model = task.input_model if side == "input" else task.output_model
    body = model.model_json_schema(mode="validation" if side == "input" else "serialization")
    return {"$schema": DIALECT, "$id": f"urn:edgechat:task:{task.name}:{task.version}:{side}", **body}
