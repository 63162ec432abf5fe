"""What an OpenAI client may ask for, and the engine's request that it becomes. Pure; knows neither HTTP nor threads.

Field names and meanings are those of OpenAI's API reference (chat/completions, completions, embeddings). What this
server cannot do is refused by name, never passed over; fields that change no answer (metadata, user, …) are taken and
not used.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, field_validator

from edgechat.engine.protocol.images import from_data_url
from edgechat.engine.protocol.request import MAX_STOP_LENGTH, MAX_STOPS, MAX_TEXTS, Message, Request, Wish
from edgechat.engine.schema import ANY, prepare
from edgechat.sampling import MAX_REPEAT_PENALTY, MAX_TEMPERATURE, MIN_REPEAT_PENALTY
from edgechat.serve.http.errors import Fault
from edgechat.serve.openai.tools import Call, Tool, ToolChoice, Tools, constraint

MAX_MESSAGES = 1000
_SEED_LIMIT = 1 << 32


def _nothing(value: object) -> object:
    if value:
        raise ValueError("is not supported by this server; leave it out")
    return value


def _one(value: int | None) -> int | None:
    if value not in {None, 1}:
        raise ValueError("must be 1: this server gives one answer at a time")
    return value


Unused = Annotated[Any, Field(description="Taken, and not used: it changes no answer.")]
Neutral = Annotated[
    Any,
    AfterValidator(_nothing),
    WithJsonSchema({"enum": [None, False, 0, "", [], {}], "description": "Not supported: null, false, 0 or empty."}),
]
Single = Annotated[
    int | None, AfterValidator(_one), WithJsonSchema({"enum": [None, 1], "description": "One answer at a time."})
]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class TextPart(_Strict):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class ImageAddress(_Strict):
    """Where an image is: in the address itself, since nothing is fetched."""

    url: str
    detail: Unused = None


class ImagePart(_Strict):
    """An image in a message."""

    type: Literal["image_url"]
    image_url: ImageAddress


class ChatMessage(_Strict):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Annotated[TextPart | ImagePart, Field(discriminator="type")]] | None = None
    name: Unused = None
    refusal: Unused = None
    annotations: Unused = None
    reasoning_content: Unused = None
    audio: Neutral = None
    tool_calls: list[Call] | None = None
    """Of the assistant: what it called."""
    tool_call_id: str | None = None
    """Of a tool: which call this is the result of."""
    function_call: Neutral = None

    def turn(self) -> Message:
        """The engine's form; ``developer`` is what newer clients call ``system``."""
        parts = [TextPart(type="text", text=self.content)] if isinstance(self.content, str) else self.content or []
        text = "".join(part.text for part in parts if isinstance(part, TextPart))
        images = tuple(from_data_url(part.image_url.url) for part in parts if isinstance(part, ImagePart))
        calls = tuple(each.for_template() for each in self.tool_calls or ())
        return Message("system" if self.role == "developer" else self.role, text, images, calls)


class PlainText(_Strict):
    """Text without a constraint."""

    type: Literal["text"]


class JsonObject(_Strict):
    """Some JSON object."""

    type: Literal["json_object"]


class NamedSchema(_Strict):
    """A JSON schema under a name."""

    name: str
    schema_: dict[str, Any] = Field(alias="schema")
    description: Unused = None
    strict: bool | None = None
    """Every answer satisfies the schema, whatever this says."""


class JsonSchema(_Strict):
    """JSON that satisfies a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


class StreamOptions(_Strict):
    """What a stream carries besides text."""

    include_usage: bool | None = None
    include_obfuscation: Unused = None


class _Generation(_Strict):
    """What both endpoints take."""

    model: str | None = Field(default=None, max_length=300)
    """A name that ``/v1/models`` lists, or ``default``."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, lt=1 << 31)
    temperature: float | None = Field(default=None, ge=0, le=MAX_TEMPERATURE)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=0, lt=1 << 31)
    """Beyond OpenAI: sample among this many tokens; 0 means all."""
    min_p: float | None = Field(default=None, ge=0, lt=1)
    """Beyond OpenAI: drop tokens below this share of the best one's probability."""
    repeat_penalty: float | None = Field(default=None, ge=MIN_REPEAT_PENALTY, le=MAX_REPEAT_PENALTY)
    """Beyond OpenAI: above 1 discourages repetition."""
    seed: int | None = Field(default=None, ge=0, lt=_SEED_LIMIT)
    stop: (
        Annotated[str, Field(max_length=MAX_STOP_LENGTH)]
        | Annotated[
            list[Annotated[str, Field(max_length=MAX_STOP_LENGTH)]], Field(json_schema_extra={"maxItems": MAX_STOPS})
        ]
        | None
    ) = Field(default=None)
    n: Single = None
    user: Unused = None
    logit_bias: Neutral = None
    logprobs: Neutral = None
    presence_penalty: Neutral = None
    frequency_penalty: Neutral = None

    @field_validator("stop")
    @classmethod
    def _few(cls, value: str | list[str] | None) -> str | list[str] | None:
        # Not said by the type: an error would then name a member of the union instead of the field.
        if isinstance(value, list) and len(value) > MAX_STOPS:
            raise ValueError(f"has {len(value)} strings; at most {MAX_STOPS} are looked for")
        return value

    @property
    def sampling(self) -> dict[str, float | int]:
        """Only what the caller set."""
        names = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "seed")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings; an empty one would end every answer before it began."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in given if text)

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the usage."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatRequest(_Generation):
    """Body of ``POST /v1/chat/completions``."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: int | None = Field(default=None, ge=1, lt=1 << 31)
    response_format: Annotated[PlainText | JsonObject | JsonSchema, Field(discriminator="type")] | None = None
    top_logprobs: Neutral = None
    tools: Tools | None = None
    """Only where the model's chat template knows tools."""
    functions: Neutral = None
    web_search_options: Neutral = None
    prediction: Neutral = None
    audio: Neutral = None
    tool_choice: ToolChoice | None = None
    function_call: Literal["none", "auto"] | None = None
    modalities: list[Literal["text"]] | None = None
    parallel_tool_calls: Unused = None
    metadata: Unused = None
    store: Unused = None
    service_tier: Unused = None
    safety_identifier: Unused = None
    prompt_cache_key: Unused = None
    prompt_cache_retention: Unused = None

    def to_request(self, wish: Wish, timeout_s: float) -> Request:
        """What the engine is asked.

        Raises:
            SchemaError: the schema cannot be honoured.
        """
        return Request(
            messages=tuple(message.turn() for message in self.messages),
            wish=wish,
            sampling=self.sampling,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            stop=self.stops,
            timeout_s=timeout_s,
            constraint=self._constraint(),
            tools=tuple(each.model_dump(exclude_none=True) for each in self.offered),
        )

    @property
    def offered(self) -> list[Tool]:
        """The tools that the model gets to know."""
        return [] if self.tool_choice == "none" else self.tools or []

    def _constraint(self) -> dict[str, Any] | None:
        calls = constraint(self.offered, self.tool_choice)
        if calls is not None:
            if self.response_format is not None and not isinstance(self.response_format, PlainText):
                raise Fault(400, "Tools and a schema for the answer cannot be had together.", param="response_format")
            return calls
        if isinstance(self.response_format, JsonObject):
            return {"json_schema": ANY}
        if not isinstance(self.response_format, JsonSchema):
            return None
        schema = self.response_format.json_schema.schema_
        prepare(schema)  # refused here, before it waits in a queue
        return {"json_schema": schema}


class CompletionRequest(_Generation):
    """Body of ``POST /v1/completions``. The prompt becomes one user message: the models here are made for chat."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]
    best_of: Single = None
    echo: Neutral = None
    suffix: Neutral = None

    def to_request(self, wish: Wish, timeout_s: float) -> Request:
        """What the engine is asked."""
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
    """One text or several, each no longer than the model reads at once."""
    model: str | None = Field(default=None, max_length=300)
    """A name that ``/v1/models`` lists, or ``default``."""
    encoding_format: Literal["float", "base64"] | None = None
    """``float`` unless it is given; ``base64`` is 32-bit floats, little-endian."""
    dimensions: int | None = Field(default=None, ge=1, lt=1 << 31)
    """Only so many of each vector's first values, at length 1 again; for models trained for it (Matryoshka)."""
    user: Unused = None

    @field_validator("input", mode="before")
    @classmethod
    def _texts(cls, value: object) -> object:
        # Said here, because errors of the type would name its members instead of the field.
        if isinstance(value, list) and any(isinstance(each, (int, list)) for each in value):
            raise ValueError("holds token ids; send texts, for this model has a vocabulary of its own")
        if isinstance(value, list) and len(value) > MAX_TEXTS:
            raise ValueError(f"holds {len(value)} texts; one request embeds at most {MAX_TEXTS}")
        if not value or (isinstance(value, list) and "" in value):
            raise ValueError("holds an empty text, or none; nothing can be found by it")
        return value

    def to_request(self, wish: Wish, timeout_s: float) -> Request:
        """What the engine is asked."""
        texts = (self.input,) if isinstance(self.input, str) else tuple(self.input)
        return Request((), wish=wish, texts=texts, timeout_s=timeout_s)
