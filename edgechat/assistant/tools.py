"""Tools that a model may call: what a program offers, the call that a model makes, and the result that goes back.

An answer holds at most one call. Its arguments satisfy the tool's schema, because decoding enforces it.
"""

from __future__ import annotations

import inspect
import json
import re
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from edgechat.engine.client.tool_call_parser import ToolCallParser
from edgechat.engine.protocol.events import Done, Text
from edgechat.engine.protocol.request import Message
from edgechat.errors import AnswerError, DeadlineError, SchemaError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from edgechat.engine.protocol.events import Event

MAX_TOOLS = 64
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may ask the program to call.

    Raises:
        UsageError: the name has other characters than letters, digits, ``_`` and ``-``, or more than 64.
    """

    name: str
    description: str = ""
    """What it does and when to call it; the model reads this."""
    parameters: Mapping[str, Any] | None = None
    """JSON Schema of the arguments, which are an object; None for a tool without arguments."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise UsageError(f"{self.name!r} is no name for a tool.", hint="Use 1 to 64 letters, digits, `_` and `-`.")

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Tool:
        """The tool that a Python function is: its name, its docstring, and a schema from its annotations.

        Raises:
            UsageError: an argument has no annotation, cannot be given by name, or has a type without a JSON Schema.
        """
        from pydantic import PydanticUserError, TypeAdapter  # noqa: PLC0415 - takes 0.1 s, needed only here

        name = getattr(function, "__name__", "")
        hint = "Annotate each argument, or pass a Tool with a JSON Schema."
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        for argument in inspect.signature(function).parameters.values():
            if argument.kind not in kinds:
                raise UsageError(f"The argument {argument.name!r} of {name} cannot be given by name.", hint=hint)
            if argument.annotation is inspect.Parameter.empty:
                raise UsageError(f"The argument {argument.name!r} of {name} has no annotation.", hint=hint)
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(cast("Any", function))
            schema = adapter.json_schema()
        except (PydanticUserError, NameError) as error:
            raise UsageError(f"The arguments of {name} have no JSON Schema: {error}", hint=hint) from error
        return cls(name, inspect.getdoc(function) or "", schema)

    def for_template(self) -> dict[str, Any]:
        """The form that chat templates expect."""
        function: dict[str, Any] = {"name": self.name}
        if self.description:
            function["description"] = self.description
        if self.parameters is not None:
            function["parameters"] = dict(self.parameters)
        return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for; the program makes it and sends :meth:`result` back."""

    id: str
    name: str
    arguments: Mapping[str, Any]

    def result(self, value: object) -> Message:
        """The message with the call's result: a text as it is, anything else as JSON.

        Raises:
            TypeError: the value has no JSON form.
        """
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        return Message("tool", text, tool_call_id=self.id)

    def for_template(self) -> dict[str, Any]:
        """The form in which chat templates read an earlier call."""
        return {
            "type": "function",
            "id": self.id,
            "function": {"name": self.name, "arguments": dict(self.arguments)},
        }


def tool_constraint(tools: Sequence[Tool], choice: str) -> dict[str, Any] | None:
    """The constraint of an answer that may or must be a call.

    Args:
        tools: what is offered.
        choice: ``auto`` (the model decides), ``required``, ``none``, or the name of the tool that must be called.

    Raises:
        UsageError: two tools have one name, there are too many, or the chosen one is missing.
        SchemaError: decoding cannot enforce the arguments' schema.
    """
    names = [tool.name for tool in tools]
    if len(names) > MAX_TOOLS:
        raise UsageError(f"{len(names)} tools are offered; at most {MAX_TOOLS} can be.")
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"Two tools have the same name: {twice[0]!r}.")
    if choice not in {"auto", "none"} and not tools:
        raise UsageError(f"tool_choice is {choice!r}, but no tools are offered.")
    if choice == "none" or not tools:
        return None
    if choice not in {"auto", "required", *names}:
        raise UsageError(
            f"There is no tool {choice!r}.", hint=f"Use auto, required, none, or one of: {', '.join(names)}."
        )
    from edgechat.engine.schema import prepare  # noqa: PLC0415 - needed for tools only
    from edgechat.engine.schema.tool_schema import calls_schema, describe_fault  # noqa: PLC0415

    allowed = {
        tool.name: None if tool.parameters is None else dict(tool.parameters)
        for tool in tools
        if choice in {"auto", "required", tool.name}
    }
    schema = calls_schema(allowed)
    try:
        prepare(schema)
    except SchemaError as error:
        raise SchemaError(describe_fault(allowed, error)[1], path=error.path) from error
    return {"tool_call" if choice == "auto" else "json_schema": schema}


def parse_calls(
    events: Generator[Event, None, None], offered: Sequence[Tool]
) -> Generator[Event | ToolCall, None, None]:
    """Replace the text of a call by the call; closing the iterator closes ``events``.

    Text that is no call passes. The last event's ``finish_reason`` becomes ``tool_calls`` after a call.

    Raises:
        AnswerError: the answer was cut within a call.
    """
    parser = ToolCallParser(frozenset(tool.name for tool in offered))
    with closing(events):
        for event in events:
            if isinstance(event, Text) and not event.is_thought:
                if text := _content(parser.feed(event.text)):
                    yield replace(event, text=text)
            elif isinstance(event, Done):
                if text := _content(parser.end()):
                    yield Text(text, ())
                if parser.name:
                    yield _whole_call(parser, event.finish_reason)
                    yield replace(event, finish_reason="tool_calls")
                else:
                    yield event
            else:
                yield event


def _content(delta: Mapping[str, Any] | None) -> str:
    """The text of a delta in OpenAI's format; ``""`` where it is a piece of a call, or nothing."""
    return "" if delta is None else str(delta.get("content", ""))


def _whole_call(parser: ToolCallParser, finish_reason: str) -> ToolCall:
    if finish_reason == "timeout":
        raise DeadlineError(f"The time ran out within the call of {parser.name}.", hint="Allow a longer timeout.")
    if finish_reason != "stop":
        raise AnswerError(
            f"The call of {parser.name} was cut before its arguments were complete ({finish_reason}).",
            hint="Allow a larger max_tokens.",
        )
    try:
        arguments = json.loads(parser.call["function"]["arguments"])
    except ValueError as error:
        raise AnswerError(f"The arguments of the call of {parser.name} are not JSON: {error}.") from error
    return ToolCall(parser.id, parser.name, arguments)
