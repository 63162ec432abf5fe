"""Tools in OpenAI's format: what a client offers, the schema of a call, and the parser of the model's call. Pure.

An answer holds at most one call. When a call is required (``required``, or a name), the answer is JSON that satisfies
the union of the tools' schemas. With ``auto`` it is such JSON or plain text; the first character decides which.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgechat.engine.protocol.json_bounds import require_bounded
from edgechat.engine.schema import prepare
from edgechat.serve.http.errors import ApiError

MAX_TOOLS = 64
_CALL_START = re.compile(r'\s*(?:<tool_call>\s*)?\{\s*"name":\s*"(?P<name>[\w.-]+)",\s*"arguments":\s*')
_TAG = "\n</tool_call>"
_FIRST_CHARACTERS = ("{", "<")
"""How a call begins; the grammar of ``tool_call`` lets no plain text begin so."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)


class Function(_Strict):
    """A function that can be called."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON Schema of the arguments, which are an object."""
    strict: bool | None = None
    """Ignored: arguments always satisfy the schema."""


class Tool(_Strict):
    """A tool that the client offers."""

    type: Literal["function"]
    function: Function


class FunctionName(_Strict):
    """The name of a function."""

    name: str


class NamedToolChoice(_Strict):
    """The one tool that must be called."""

    type: Literal["function"]
    function: FunctionName


class CalledFunction(_Strict):
    """The function of an earlier call."""

    name: str
    arguments: str
    """JSON."""


class Call(_Strict):
    """A call in an earlier message of the assistant."""

    id: str
    type: Literal["function"]
    function: CalledFunction

    def for_template(self) -> dict[str, Any]:
        """The form that chat templates expect, with the arguments as an object.

        Raises:
            ApiError: the arguments are not a JSON object.
        """
        try:
            # A text inside the body: the bounds of the body did not count it.
            require_bounded(self.function.arguments.encode("utf-8", "surrogatepass"))
            arguments = json.loads(self.function.arguments)
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise ApiError(400, f"The arguments of the call {self.id!r} are not a JSON object.", param="messages")
        return {"type": "function", "id": self.id, "function": {"name": self.function.name, "arguments": arguments}}


ToolChoice = Literal["none", "auto", "required"] | NamedToolChoice
Tools = Annotated[list[Tool], Field(max_length=MAX_TOOLS)]


def constraint(tools: list[Tool], choice: ToolChoice | None) -> dict[str, Any] | None:
    """Make the constraint for the engine; None where the answer is free text.

    Raises:
        ApiError: the named tool does not exist, or two tools have the same name.
        SchemaError: the schema of the arguments cannot be enforced.
    """
    names = [each.function.name for each in tools]
    if len(set(names)) < len(names):
        raise ApiError(400, "Two tools have the same name.", param="tools")
    if choice == "none":
        return None
    if isinstance(choice, NamedToolChoice):
        if choice.function.name not in names:
            raise ApiError(400, f"There is no tool {choice.function.name!r}.", param="tool_choice")
        tools = [each for each in tools if each.function.name == choice.function.name]
    elif choice == "required" and not tools:
        raise ApiError(400, "A call is required, but the request has no tools.", param="tool_choice")
    if not tools:
        return None
    schema = {"anyOf": [_schema_of(each.function) for each in tools]}
    prepare(schema)  # raises before the request waits in the queue
    return {"tool_call" if choice is None or choice == "auto" else "json_schema": schema}


def _schema_of(function: Function) -> dict[str, Any]:
    arguments = function.parameters or {"type": "object", "properties": {}, "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"name": {"const": function.name}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


@dataclass(slots=True)
class ToolCallParser:
    """Parses streamed text that may be a tool call. Call :meth:`feed` for each piece, then :meth:`end`."""

    is_call: bool | None = None
    """None until the first character decides it."""
    name: str = ""
    id: str = field(default_factory=lambda: f"call_{secrets.token_hex(12)}")
    arguments: list[str] = field(default_factory=list)
    _pending: str = ""
    """Text that may still belong to the frame around the arguments."""

    def feed(self, text: str) -> dict[str, Any] | None:
        """Parse a piece of text, and return the delta to send, or None when there is none yet."""
        if self.is_call is None:
            if not text:
                return None
            self.is_call = text.lstrip()[:1] in _FIRST_CHARACTERS if text.strip() else None
        if not self.is_call:
            return {"content": text}
        self._pending += text
        if not self.name:
            return self._parse_start()
        return self._parse_arguments()

    def end(self) -> dict[str, Any] | None:
        """The last delta: the end of the arguments, without the frame around them."""
        if not self.name:
            return {"content": self._pending} if self._pending else None
        rest, self._pending = self._pending.removesuffix(_TAG), ""
        return self._arguments_delta(rest.removesuffix("}"))

    @property
    def call(self) -> dict[str, Any]:
        """The whole call, in OpenAI's format."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": "".join(self.arguments)},
        }

    def _parse_start(self) -> dict[str, Any] | None:
        found = _CALL_START.match(self._pending)
        if found is None:
            return None
        self.name, self._pending = found["name"], self._pending[found.end() :]
        first = {"index": 0, "id": self.id, "type": "function", "function": {"name": self.name, "arguments": ""}}
        return {"tool_calls": [first]}

    def _parse_arguments(self) -> dict[str, Any] | None:
        keep = len("}" + _TAG)
        ready, self._pending = self._pending[:-keep], self._pending[-keep:]
        return self._arguments_delta(ready)

    def _arguments_delta(self, text: str) -> dict[str, Any] | None:
        if not text:
            return None
        self.arguments.append(text)
        return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
