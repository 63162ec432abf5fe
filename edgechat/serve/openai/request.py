"""Requests in OpenAI's format, and their translation to requests to the engine. Pure.

Field names and meanings are those of OpenAI's API reference (chat/completions, completions, embeddings). A field that
this server does not support is an error, never ignored. Fields that change no answer (metadata, user, …) are accepted
and ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, field_validator

from edgechat.engine.protocol.images import from_data_url
from edgechat.engine.protocol.request import MAX_STOP_LENGTH, MAX_STOPS, MAX_TEXTS, Message, Request, Wish
from edgechat.engine.schema import ANY, prepare
from edgechat.sampling import MAX_PRESENCE, MAX_REPEAT_PENALTY, MAX_TEMPERATURE, MIN_REPEAT_PENALTY
from edgechat.serve.http.errors import ApiError
from edgechat.serve.openai.tools import Call, Tool, ToolChoice, Tools, constraint

MAX_MESSAGES = 1000
_SEED_LIMIT = 1 << 32


def _require_empty(value: object) -> object:
    if value:
        raise ValueError("is not supported by this server; leave it out")
    return value


def _require_one(value: int | None) -> int | None:
    if value not in {None, 1}:
        raise ValueError("must be 1: this server gives one answer at a time")
    return value


Ignored = Annotated[Any, Field(description="Accepted and ignored: it changes no answer.")]
Unsupported = Annotated[
    Any,
    AfterValidator(_require_empty),
    WithJsonSchema({"enum": [None, False, 0, "", [], {}], "description": "Not supported: null, false, 0 or empty."}),
]
OnlyOne = Annotated[
    int | None,
    AfterValidator(_require_one),
    WithJsonSchema({"enum": [None, 1], "description": "One answer at a time."}),
]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class TextPart(_Strict):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class ImageUrl(_Strict):
    """The URL of an image. Only data URLs are supported, because the server fetches nothing."""

    url: str
    detail: Ignored = None


class ImagePart(_Strict):
    """An image in a message."""

    type: Literal["image_url"]
    image_url: ImageUrl


class ChatMessage(_Strict):
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

    def to_message(self) -> Message:
        """The message for the engine. Newer clients send ``developer`` for ``system``."""
        parts = [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content or []
        text = "".join(part.text for part in parts if isinstance(part, TextPart))
        images = tuple(from_data_url(part.image_url.url) for part in parts if isinstance(part, ImagePart))
        calls = tuple(each.for_template() for each in self.tool_calls or ())
        return Message("system" if self.role == "developer" else self.role, text, images, calls)


class PlainText(_Strict):
    """``response_format``: text without a constraint."""

    type: Literal["text"]


class JsonObject(_Strict):
    """``response_format``: any JSON object."""

    type: Literal["json_object"]


class NamedSchema(_Strict):
    """A JSON schema with a name."""

    name: str
    schema_: dict[str, Any] = Field(alias="schema")
    description: Ignored = None
    strict: bool | None = None
    """Ignored: every answer satisfies the schema."""


class JsonSchema(_Strict):
    """``response_format``: JSON that satisfies a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


class StreamOptions(_Strict):
    """What a stream contains besides text."""

    include_usage: bool | None = None
    include_obfuscation: Ignored = None


class _Generation(_Strict):
    """The fields that chat and completions have in common."""

    model: str | None = Field(default=None, max_length=300)
    """A name that ``/v1/models`` lists, or ``default``."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, lt=1 << 31)
    temperature: float | None = Field(default=None, ge=0, le=MAX_TEMPERATURE)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0, lt=1 << 31)
    """Not in OpenAI's API: sample from this many tokens; 0 means all."""
    min_p: float | None = Field(default=None, ge=0, lt=1)
    """Not in OpenAI's API: drop tokens below this share of the best token's probability."""
    repeat_penalty: float | None = Field(default=None, ge=MIN_REPEAT_PENALTY, le=MAX_REPEAT_PENALTY)
    """Not in OpenAI's API: a value above 1 reduces repetition."""
    seed: int | None = Field(default=None, ge=0, lt=_SEED_LIMIT)
    stop: (
        Annotated[str, Field(max_length=MAX_STOP_LENGTH)]
        | Annotated[
            list[Annotated[str, Field(max_length=MAX_STOP_LENGTH)]], Field(json_schema_extra={"maxItems": MAX_STOPS})
        ]
        | None
    ) = Field(default=None)
    n: OnlyOne = None
    user: Ignored = None
    logit_bias: Unsupported = None
    logprobs: Unsupported = None
    presence_penalty: float | None = Field(default=None, ge=-MAX_PRESENCE, le=MAX_PRESENCE)
    frequency_penalty: Unsupported = None

    @field_validator("stop")
    @classmethod
    def _check_count(cls, value: str | list[str] | None) -> str | list[str] | None:
        # Checked here, because an error of the type would name a member of the union instead of the field.
        if isinstance(value, list) and len(value) > MAX_STOPS:
            raise ValueError(f"has {len(value)} strings; at most {MAX_STOPS} are supported")
        return value

    @property
    def sampling(self) -> dict[str, float | int]:
        """The sampling parameters that the client set."""
        names = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "presence_penalty", "seed")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings, without empty ones, which would end every answer at once."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in given if text)

    @property
    def wants_usage(self) -> bool:
        """Whether the client wants the usage at the end of a stream."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatRequest(_Generation):
    """Body of ``POST /v1/chat/completions``."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: int | None = Field(default=None, ge=1, lt=1 << 31)
    response_format: Annotated[PlainText | JsonObject | JsonSchema, Field(discriminator="type")] | None = None
    top_logprobs: Unsupported = None
    tools: Tools | None = None
    """Needs a model whose chat template supports tools."""
    functions: Unsupported = None
    web_search_options: Unsupported = None
    prediction: Unsupported = None
    audio: Unsupported = None
    tool_choice: ToolChoice | None = None
    function_call: Literal["none", "auto"] | None = None
    modalities: list[Literal["text"]] | None = None
    parallel_tool_calls: Ignored = None
    metadata: Ignored = None
    store: Ignored = None
    service_tier: Ignored = None
    safety_identifier: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_retention: Ignored = None

    def to_request(self, wish: Wish, timeout_s: float) -> Request:
        """Make the request to the engine.

        Raises:
            ApiError: a tool or a message is wrong.
            SchemaError: the schema cannot be enforced.
        """
        return Request(
            messages=tuple(message.to_message() for message in self.messages),
            wish=wish,
            sampling=self.sampling,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            stop=self.stops,
            timeout_s=timeout_s,
            constraint=self._constraint(),
            tools=tuple(each.model_dump(exclude_none=True) for each in self.offered_tools),
        )

    @property
    def offered_tools(self) -> list[Tool]:
        """The tools that are offered to the model."""
        return [] if self.tool_choice == "none" else self.tools or []

    def _constraint(self) -> dict[str, Any] | None:
        tool_constraint = constraint(self.offered_tools, self.tool_choice)
        if tool_constraint is not None:
            if self.response_format is not None and not isinstance(self.response_format, PlainText):
                raise ApiError(
                    400, "Tools and a schema for the answer cannot be had together.", param="response_format"
                )
            return tool_constraint
        if isinstance(self.response_format, JsonObject):
            return {"json_schema": ANY}
        if not isinstance(self.response_format, JsonSchema):
            return None
        schema = self.response_format.json_schema.schema_
        prepare(schema)  # raises before the request waits in the queue
        return {"json_schema": schema}


class CompletionRequest(_Generation):
    """Body of ``POST /v1/completions``. The prompt becomes one user message, because the models are chat models."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]
    best_of: OnlyOne = None
    echo: Unsupported = None
    suffix: Unsupported = None

    def to_request(self, wish: Wish, timeout_s: float) -> Request:
        """Make the request to the engine."""
        prompt = self.prompt if isinstance(self.prompt, str) else self.prompt[0]
        return Request(
            messages=(Message("user", prompt),),
            wish=wish,
            sampling=self.sampling,
            max_tokens=self.max_tokens,
            stop=self.stops,
            timeout_s=timeout_s,
        )


class EmbeddingRequest(_Strict):
    """Body of ``POST /v1/embeddings``."""

    input: (
        Annotated[str, Field(min_length=1)]
        | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=MAX_TEXTS)]
    )
    """One text or several, each no longer than the model's context."""
    model: str | None = Field(default=None, max_length=300)
    """A name that ``/v1/models`` lists, or ``default``."""
    encoding_format: Literal["float", "base64"] | None = None
    """``float`` by default; ``base64`` means 32-bit floats, little-endian."""
    dimensions: int | None = Field(default=None, ge=1, lt=1 << 31)
    """Keep this many first values of each vector, normalized again; for models trained for it (Matryoshka)."""
    user: Ignored = None

    @field_validator("input", mode="before")
    @classmethod
    def _check_texts(cls, value: object) -> object:
        # Checked here, because an error of the type would name a member of the union instead of the field.
        if isinstance(value, list) and any(isinstance(each, (int, list)) for each in value):
            raise ValueError("holds token ids; send texts, because this model has its own vocabulary")
        if isinstance(value, list) and len(value) > MAX_TEXTS:
            raise ValueError(f"holds {len(value)} texts; one request embeds at most {MAX_TEXTS}")
        if not value or (isinstance(value, list) and "" in value):
            raise ValueError("holds an empty text, or none")
        return value

    def to_request(self, wish: Wish, timeout_s: float) -> Request:
        """Make the request to the engine."""
        texts = (self.input,) if isinstance(self.input, str) else tuple(self.input)
        return Request((), wish=wish, texts=texts, timeout_s=timeout_s)
