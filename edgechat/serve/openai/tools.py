"""Tools in OpenAI's form: what a client offers, the schema of a call, and the call read from the model's text. Pure.

One call an answer. Where a call must come (``required``, or a name), the answer is JSON by the union of the tools'
schemas; with ``auto`` it is that or plain text, and which of the two its first character decides.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgechat.engine.schema import prepare
from edgechat.serve.http.errors import Fault

MAX_TOOLS = 64
_OPENING = re.compile(r'\s*(?:<tool_call>\s*)?\{\s*"name":\s*"(?P<name>[\w.-]+)",\s*"arguments":\s*')
_TAG = "\n</tool_call>"
_BEGINNINGS = ("{", "<")
"""What the grammar of ``tool_call`` keeps text from beginning with."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True)


class Function(_Strict):
    """What can be called."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON Schema of the arguments, an object."""
    strict: bool | None = None
    """Arguments always satisfy the schema, whatever this says."""


class Tool(_Strict):
    """One tool."""

    type: Literal["function"]
    function: Function


class Named(_Strict):
    """The name of a function."""

    name: str


class Choice(_Strict):
    """The one tool that must be called."""

    type: Literal["function"]
    function: Named


class CalledFunction(_Strict):
    """A call as it was answered earlier."""

    name: str
    arguments: str
    """JSON."""


class Call(_Strict):
    """A call of an earlier turn."""

    id: str
    type: Literal["function"]
    function: CalledFunction

    def for_template(self) -> dict[str, Any]:
        """The form that templates know: arguments as an object.

        Raises:
            Fault: they are none.
        """
        try:
            arguments = json.loads(self.function.arguments)
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            raise Fault(400, f"The arguments of the call {self.id!r} are no JSON object.", param="messages")
        return {"type": "function", "id": self.id, "function": {"name": self.function.name, "arguments": arguments}}


ToolChoice = Literal["none", "auto", "required"] | Choice
Tools = Annotated[list[Tool], Field(max_length=MAX_TOOLS)]


def constraint(tools: list[Tool], choice: ToolChoice | None) -> dict[str, Any] | None:
    """What the engine holds the answer to.

    Raises:
        Fault: a tool that is named is not there, or two have one name.
        SchemaError: the arguments' schema cannot be honoured.
    """
    names = [each.function.name for each in tools]
    if len(set(names)) < len(names):
        raise Fault(400, "Two tools have the same name.", param="tools")
    if choice == "none":
        return None
    if isinstance(choice, Choice):
        if choice.function.name not in names:
            raise Fault(400, f"There is no tool {choice.function.name!r}.", param="tool_choice")
        tools = [each for each in tools if each.function.name == choice.function.name]
    elif choice == "required" and not tools:
        raise Fault(400, "A call is required, and there are no tools.", param="tool_choice")
    if not tools:
        return None
    schema = {"anyOf": [_schema_of(each.function) for each in tools]}
    prepare(schema)  # refused here, before it waits in a queue
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
class Reading:
    """Text as it comes, and whether it is a call; feed :meth:`take`, then :meth:`end`."""

    is_call: bool | None = None
    """None until the first character has come."""
    name: str = ""
    id: str = field(default_factory=lambda: f"call_{secrets.token_hex(12)}")
    arguments: list[str] = field(default_factory=list)
    _held: str = ""
    """What may still turn out to belong to the frame around the arguments."""

    def take(self, text: str) -> dict[str, Any] | None:
        """What may be told of a piece of text: a delta, or None when nothing yet."""
        if self.is_call is None:
            if not text:
                return None
            self.is_call = text.lstrip()[:1] in _BEGINNINGS if text.strip() else None
        if not self.is_call:
            return {"content": text}
        self._held += text
        if not self.name:
            return self._begin()
        return self._go_on()

    def end(self) -> dict[str, Any] | None:
        """What is left to tell when nothing more comes: the arguments' end, without the frame around them."""
        if not self.name:
            return {"content": self._held} if self._held else None
        rest, self._held = self._held.removesuffix(_TAG), ""
        return self._piece(rest.removesuffix("}"))

    @property
    def call(self) -> dict[str, Any]:
        """The whole call, in OpenAI's form."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": "".join(self.arguments)},
        }

    def _begin(self) -> dict[str, Any] | None:
        found = _OPENING.match(self._held)
        if found is None:
            return None
        self.name, self._held = found["name"], self._held[found.end() :]
        first = {"index": 0, "id": self.id, "type": "function", "function": {"name": self.name, "arguments": ""}}
        return {"tool_calls": [first]}

    def _go_on(self) -> dict[str, Any] | None:
        keep = len("}" + _TAG)
        ready, self._held = self._held[:-keep], self._held[-keep:]
        return self._piece(ready)

    def _piece(self, text: str) -> dict[str, Any] | None:
        if not text:
            return None
        self.arguments.append(text)
        return {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
