"""The OpenAPI 3.1 description of this server, made from the models that it really reads. Pure."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from edgechat.serve.openai_request import ChatRequest, CompletionRequest
from edgechat.version import __version__

_REFS = "#/components/schemas/{model}"
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def description() -> dict[str, Any]:
    """The document behind ``/openapi.json``."""
    _, defined = models_json_schema(
        [(ChatRequest, "validation"), (CompletionRequest, "validation")], ref_template=_REFS
    )
    task = {"name": "task", "in": "path", "required": True, "schema": {"type": "string"}}
    record = {"application/json": {"schema": {}}, "application/x-ndjson": {"schema": {"type": "string"}}}
    model = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
    stream = {"text/event-stream": {"schema": {"type": "string"}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "edgechat", "version": __version__},
        "paths": {
            "/v1/chat/completions": {"post": _post("Answer a conversation.", _body("ChatRequest"), stream)},
            "/v1/completions": {"post": _post("Answer a prompt.", _body("CompletionRequest"), stream)},
            "/v1/models": {"get": _get("The model that answers.")},
            "/v1/models/{model}": {"get": {**_get("One model."), "parameters": [model]}},
            "/v1/tasks": {"get": _get("The tasks.")},
            "/v1/tasks/{task}": {
                "get": {**_get("What a task takes and gives."), "parameters": [task]},
                "post": {
                    **_post("Run a task.", record, {"application/x-ndjson": {"schema": {"type": "string"}}}),
                    "parameters": [task],
                },
            },
            "/health": {"get": _get("How the server is.")},
            "/metrics": {
                "get": {
                    "summary": "Counters for Prometheus.",
                    "responses": {
                        "200": {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}},
                        "default": _failure(),
                    },
                }
            },
        },
        "components": {
            "schemas": {**defined["$defs"], "Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _body(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REFS.format(model=name)}}}


def _get(summary: str) -> dict[str, Any]:
    return {"summary": summary, "responses": {"200": _success({}), "default": _failure()}}


def _post(summary: str, body: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": body},
        "responses": {"200": _success(more), "default": _failure()},
    }


def _success(more: dict[str, Any]) -> dict[str, Any]:
    return {"description": "Done.", "content": {"application/json": {"schema": {"type": "object"}}, **more}}


def _failure() -> dict[str, Any]:
    schema = {"$ref": _REFS.format(model="Error")}
    return {"description": "Refused or failed.", "content": {"application/json": {"schema": schema}}}
