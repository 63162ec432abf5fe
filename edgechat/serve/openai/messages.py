"""Messages in OpenAI's format, and the conversation that the engine gets of them. Pure.

Clients send back what this server answered, with fields lost, repeated or added on the way: ids, types and arguments
may be missing, an answer may have been cut in the middle of a call. Such a conversation is completed, not refused.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from pydantic_core import from_json

from edgechat.engine.protocol.images import from_data_url
from edgechat.engine.protocol.json_bounds import require_bounded
from edgechat.engine.protocol.request import Message
from edgechat.serve.http.errors import ApiError
from edgechat.serve.openai.unknown_fields import Fields, Ignored, Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class TextPart(Fields):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class ImageUrl(Fields):
    """The URL of an image. Only data URLs are supported, because the server fetches nothing."""

    url: str
    detail: Ignored = None


class ImagePart(Fields):
    """An image in a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


class CalledFunction(Fields):
    """The function of an earlier call."""

    name: str
    arguments: str | dict[str, Any] | None = None
    """JSON; empty means without arguments."""

    def as_object(self) -> dict[str, Any] | None:
        """The arguments as an object; None when they are none.

        Of an answer that was cut by its length the arguments are the beginning of an object: what is complete counts.
        """
        if not isinstance(self.arguments, str):
            return self.arguments or {}
        if not self.arguments.strip():
            return {}
        try:
            # A text inside the body: the bounds of the body did not count it.
            require_bounded(self.arguments.encode("utf-8", "surrogatepass"))
            value = json.loads(self.arguments)
        except ValueError:
            value = _beginning(self.arguments)
        except RecursionError:
            value = None
        return value if isinstance(value, dict) else None


class Call(Fields):
    """A call in an earlier message of the assistant."""

    id: str | None = None
    type: Literal["function"] | None = None
    index: Ignored = None
    function: CalledFunction


class ChatMessage(Fields):
    """One message of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]] | None = None
    name: Ignored = None
    refusal: Ignored = None
    annotations: Ignored = None
    reasoning_content: Ignored = None
    audio: Unsupported = None
    tool_calls: list[Call] | None = None
    """The calls that the assistant made."""
    tool_call_id: str | None = None
    """The call whose result this message of a tool is."""
    function_call: Unsupported = None


def conversation(messages: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """The messages for the engine. A call without an id gets one, and a result without one belongs to the next call.

    Raises:
        ApiError: the arguments of a call are not a JSON object.
    """
    made: list[Message] = []
    unanswered: list[str] = []
    for index, message in enumerate(messages):
        calls = tuple(_calls(message, index))
        unanswered += [call["id"] for call in calls]
        answers = ""
        if message.role == "tool":
            answers = message.tool_call_id or next(iter(unanswered), "")
            unanswered = [each for each in unanswered if each != answers]
        parts = (
            [TextPart(type="text", text=message.content)] if isinstance(message.content, str) else message.content or []
        )
        made.append(
            Message(
                # Newer clients send `developer` for `system`.
                "system" if message.role == "developer" else message.role,
                "".join(part.text for part in parts if isinstance(part, TextPart)),
                tuple(from_data_url(part.image_url.url) for part in parts if isinstance(part, ImagePart)),
                calls,
                answers,
            )
        )
    return tuple(made)


def _calls(message: ChatMessage, index: int) -> Iterator[dict[str, Any]]:
    """The calls of a message in the form that chat templates expect, with the arguments as objects."""
    for number, call in enumerate(message.tool_calls or ()):
        arguments = call.function.as_object()
        if arguments is None:
            raise ApiError(
                400,
                f"The arguments of the call of {call.function.name!r} are not a JSON object.",
                param=f"messages.{index}.tool_calls.{number}.function.arguments",
            )
        name = call.id or f"call_{index}_{number}"
        yield {"type": "function", "id": name, "function": {"name": call.function.name, "arguments": arguments}}


def _beginning(text: str) -> Any:  # noqa: ANN401 - JSON
    """The value that a JSON text begins, with what is complete of it; None when it does not begin one."""
    try:
        return from_json(text, allow_partial="trailing-strings")
    except ValueError:
        return None
