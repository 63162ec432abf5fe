"""JSON Schemas of the responses, for ``/openapi.json``. Tests validate real responses against them."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_SECONDS: Schema = {
    "type": "integer",
    "minimum": 0,
    "description": "Seconds since 1970; wrong while the clock is not set.",
}


def _object(required: Schema, **optional: Schema) -> Schema:
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


def _list_of(name: str) -> Schema:
    items = {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}
    return _object({"object": {"const": "list"}, "data": items})


_USAGE = _object(
    {
        "prompt_tokens": _COUNT,
        "completion_tokens": _COUNT,
        "total_tokens": _COUNT,
        "prompt_tokens_details": _object({"cached_tokens": _COUNT}),
    }
)
_FINISH: Schema = {"enum": ["stop", "length", "tool_calls", "error"]}
_TOOL_CALL = _object(
    {"id": _TEXT, "type": {"const": "function"}, "function": _object({"name": _TEXT, "arguments": _TEXT})}
)
_MESSAGE = _object(
    {"role": {"const": "assistant"}, "content": _TEXT_OR_NULL, "refusal": {"type": "null"}},
    reasoning_content=_TEXT,
    tool_calls={"type": "array", "items": _TOOL_CALL},
)


def _answer(kind: str, choice: Schema) -> Schema:
    head = {"id": _TEXT, "object": {"const": kind}, "created": _SECONDS, "model": _TEXT}
    logprobs = {"type": ["object", "null"]}
    choice = _object({"index": _COUNT, **choice, "logprobs": logprobs, "finish_reason": _FINISH})
    choices = {"type": "array", "items": choice, "minItems": 1}
    return _object({**head, "choices": choices, "usage": {"$ref": "#/components/schemas/Usage"}})


REPLIES: dict[str, Schema] = {
    "Usage": _USAGE,
    "ChatCompletion": _answer("chat.completion", {"message": _MESSAGE}),
    "Completion": _answer("text_completion", {"text": _TEXT}),
    "Embedding": _object(
        {
            "object": {"const": "embedding"},
            "index": _COUNT,
            "embedding": {"oneOf": [{"type": "array", "items": {"type": "number"}}, _TEXT]},
        }
    ),
    "EmbeddingList": {
        "allOf": [
            _list_of("Embedding"),
            _object({"model": _TEXT, "usage": _object({"prompt_tokens": _COUNT, "total_tokens": _COUNT})}),
        ]
    },
    "Model": _object(
        {"id": _TEXT, "object": {"const": "model"}, "created": _SECONDS, "owned_by": _TEXT},
        context_length=_COUNT,
        languages={"type": "array", "items": _TEXT},
    ),
    "ModelList": _list_of("Model"),
    "TaskName": _object({"id": _TEXT, "object": {"const": "task"}, "help": _TEXT}),
    "TaskList": _list_of("TaskName"),
    "Task": _object(
        {
            "id": _TEXT,
            "object": {"const": "task"},
            "version": _TEXT,
            "example": {"type": "object"},
            "input": {"type": "object", "description": "JSON Schema of a record."},
            "output": {"type": "object", "description": "JSON Schema of `result`."},
        }
    ),
    "TaskResult": _object(
        {
            "id": {"type": ["string", "integer"]},
            "task": _TEXT,
            "task_version": _TEXT,
            "status": {"enum": ["ok", "invalid_input", "truncated", "failed", "stale"]},
            "result": {"type": ["object", "null"]},
            "errors": {"type": "array", "items": _object({"path": _TEXT, "message": _TEXT})},
            "timing": {"type": "object"},
            "model": _TEXT_OR_NULL,
            "quant": _TEXT_OR_NULL,
            "model_sha256": _TEXT_OR_NULL,
            "edgechat_version": _TEXT,
            "seed": {"type": ["integer", "null"]},
            "input_sha256": _TEXT,
            "created_at": {"type": ["string", "null"], "description": "Null while the clock is not set."},
        },
        quality={
            "type": "object",
            "description": "For a model known to answer this task poorly: how often it is right.",
        },
    ),
    "Health": _object(
        {
            "status": {"enum": ["ready", "loading", "degraded"]},
            "reason": _TEXT_OR_NULL,
            "model": _TEXT_OR_NULL,
            "n_ctx": {"type": ["integer", "null"]},
            "running": _COUNT,
            "waiting": _COUNT,
            "places": _COUNT,
            "queue": _COUNT,
            "engine": {"type": ["object", "null"]},
            "version": _TEXT,
        }
    ),
    "Error": _object(
        {"error": _object({"message": _TEXT, "type": _TEXT, "param": _TEXT_OR_NULL, "code": _TEXT_OR_NULL})}
    ),
}
