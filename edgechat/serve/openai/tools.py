"""Tools in OpenAI's format: what a client offers, and the schema of a call. Pure.

An answer holds at most one call. When a call is required (``required``, or a name), the answer is JSON that satisfies
the union of the tools' schemas. With ``auto`` it is such JSON or plain text; the beginning decides which.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from edgechat.engine.schema import prepare
from edgechat.engine.schema.tool_schema import calls_schema, describe_fault
from edgechat.errors import SchemaError
from edgechat.serve.http.errors import ApiError
from edgechat.serve.openai.unknown_fields import Fields

MAX_TOOLS = 64


class Function(Fields):
    """A function that can be called."""

    name: str = Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")
    description: str | None = None
    parameters: dict[str, Any] | None = None
    """JSON Schema of the arguments, which are an object."""
    strict: bool | None = None
    """Ignored: arguments always satisfy the schema."""


class Tool(Fields):
    """A tool that the client offers."""

    type: Literal["function"]
    function: Function

    def for_template(self) -> dict[str, Any]:
        """The form that chat templates expect, without fields that are not OpenAI's."""
        known = set(Function.model_fields)
        return {"type": "function", "function": self.function.model_dump(include=known, exclude_none=True)}


class FunctionName(Fields):
    """The name of a function."""

    name: str


class NamedToolChoice(Fields):
    """The one tool that must be called."""

    type: Literal["function"]
    function: FunctionName


ToolChoice = Literal["none", "auto", "required"] | NamedToolChoice
Tools = Annotated[list[Tool], Field(max_length=MAX_TOOLS)]


def constraint(tools: list[Tool], choice: ToolChoice | None) -> dict[str, Any] | None:
    """Make the constraint for the engine; None where the answer is free text.

    Raises:
        ApiError: the named tool does not exist, two tools have the same name, or the schema of a tool's arguments
            cannot be enforced.
    """
    names = [each.function.name for each in tools]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ApiError(400, f"Two tools have the same name: {twice!r}.", param="tools")
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
    parameters = {each.function.name: each.function.parameters for each in tools}
    schema = calls_schema(parameters)
    try:
        prepare(schema)  # raises before the request waits in the queue
    except SchemaError as error:
        tool, text = describe_fault(parameters, error)
        param = "tools" if tool is None else f"tools.{names.index(tool)}.function.parameters"
        raise ApiError(400, text, code="invalid_schema", param=param) from error
    return {"tool_call" if choice is None or choice == "auto" else "json_schema": schema}
