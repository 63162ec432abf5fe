"""The OpenAPI 3.1 description of the server, made from the pydantic models that parse its requests. Pure."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from edgechat.serve.openai.reply_schemas import REPLIES
from edgechat.serve.openai.request import ChatRequest, CompletionRequest, EmbeddingRequest
from edgechat.tasks import registry
from edgechat.version import __version__

_REFS = "#/components/schemas/{model}"
_LINES = "application/x-ndjson"
_TEXT = {"type": "string"}

_ERRORS = {
    400: "The request is wrong, or asks for what this model cannot do; the message names the field.",
    401: "The token is missing or wrong.",
    403: "The Host or Origin header does not name this server.",
    404: "There is no such model or task, or no such path.",
    405: "The path takes another method.",
    408: "The body did not arrive in time.",
    413: "The body is too long.",
    415: "The body's Content-Type is not what the path takes.",
    422: "The model gave no answer that satisfies what was asked for.",
    503: "The queue is full, no model is available, or the engine died on this request.",
}
_BODIES = (408, 413, 415)
"""Statuses of requests with a body only."""


def description() -> dict[str, Any]:
    """The document at ``/openapi.json``."""
    bodies = (ChatRequest, CompletionRequest, EmbeddingRequest)
    _, defined = models_json_schema([(each, "validation") for each in bodies], ref_template=_REFS)
    task = {
        "name": "task",
        "in": "path",
        "required": True,
        "schema": {"enum": [each.name for each in registry.installed_tasks()]},
    }
    model = {"name": "model", "in": "path", "required": True, "schema": {**_TEXT, "examples": ["default"]}}
    stream = {"text/event-stream": {"schema": {"description": "Each event's data is a chunk; the last one is [DONE]."}}}
    record = {"application/json": {"schema": {}}, _LINES: {"schema": _TEXT}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "edgechat",
            "version": __version__,
            "description": "OpenAI's chat, completions and embeddings on this board, and edgechat's tasks.",
        },
        "paths": {
            "/v1/chat/completions": {
                "post": _post("chat", "Answer a conversation.", _body("ChatRequest"), "ChatCompletion", stream)
            },
            "/v1/completions": {
                "post": _post("completion", "Answer a prompt.", _body("CompletionRequest"), "Completion", stream)
            },
            "/v1/embeddings": {
                "post": _post("embeddings", "Make vectors of texts.", _body("EmbeddingRequest"), "EmbeddingList", {})
            },
            "/v1/models": {"get": _get("models", "The server's model.", "ModelList")},
            "/v1/models/{model}": {"get": {**_get("model", "One model.", "Model"), "parameters": [model]}},
            "/v1/tasks": {"get": _get("tasks", "The tasks.", "TaskList")},
            "/v1/tasks/{task}": {
                "parameters": [task],
                "get": _get("task", "What a task takes and returns.", "Task"),
                "post": _post("run", "Run a task.", record, "TaskResult", {_LINES: {"schema": _TEXT}}),
            },
            "/health": {"get": _health()},
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "summary": "Counters for Prometheus.",
                    "responses": {
                        "200": {"description": "Text.", "content": {"text/plain": {"schema": _TEXT}}},
                        **_error_responses(has_body=False),
                    },
                }
            },
            "/openapi.json": {
                "get": {
                    "operationId": "describe",
                    "summary": "This document.",
                    "responses": {
                        "200": {
                            "description": "Done.",
                            "content": {"application/json": {"schema": {"type": "object"}}},
                        },
                        **_error_responses(has_body=False),
                    },
                }
            },
        },
        "components": {
            "schemas": {**defined["$defs"], **REPLIES},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": _REFS.format(model=name)}


def _body(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(name)}}


def _get(name: str, summary: str, reply: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": _success(reply, {}), **_error_responses(has_body=False)},
    }


def _post(name: str, summary: str, body: dict[str, Any], reply: str, more: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": body},
        "responses": {"200": _success(reply, more), **_error_responses(has_body=True)},
    }


def _health() -> dict[str, Any]:
    """``GET /health``, whose body is the same with 200 and 503."""
    found = _get("health", "The server's status; 503 while it does not answer requests.", "Health")
    found["responses"]["503"] = {**_success("Health", {}), "description": "Requests are not answered now."}
    return found


def _success(reply: str, more: dict[str, Any]) -> dict[str, Any]:
    return {"description": "Done.", "content": {"application/json": {"schema": _ref(reply)}, **more}}


def _error_responses(*, has_body: bool) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref("Error")}}
    return {
        str(status): {"description": text, "content": content}
        for status, text in _ERRORS.items()
        if has_body or status not in _BODIES
    }
