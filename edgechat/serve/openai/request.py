"""Requests in OpenAI's format, and their translation to requests to the engine. Pure.

Field names and meanings are those of OpenAI's API reference (chat/completions, completions, embeddings). What happens
to fields that this server does not know stands in :mod:`edgechat.serve.openai.unknown_fields`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, field_validator

from edgechat.engine.protocol.request import MAX_LOGPROBS, MAX_STOP_LENGTH, MAX_STOPS, MAX_TEXTS, Message, Request, Wish
from edgechat.engine.schema import ANY, prepare
from edgechat.sampling import MAX_PENALTY, MAX_REPEAT_PENALTY, MAX_TEMPERATURE, MIN_REPEAT_PENALTY
from edgechat.serve.http.errors import ApiError
from edgechat.serve.openai.messages import ChatMessage, conversation
from edgechat.serve.openai.tools import Tool, ToolChoice, Tools, constraint
from edgechat.serve.openai.unknown_fields import Fields, Ignored, Unsupported

MAX_MESSAGES = 1000
MAX_CHOICES = 8
"""Answers to one request; each takes a place among those that are answered at once."""
_SEED_LIMIT = 1 << 32


def _require_one(value: int | None) -> int | None:
    if value not in {None, 1}:
        raise ValueError("must be 1: this server returns every answer that it makes; for several, send n")
    return value


def _check_max_tokens(value: int | None) -> int | None:
    if value == 0 or (value is not None and value < -1):
        raise ValueError("must be 1 or more; -1 means no limit of the request's own")
    return value


OnlyOne = Annotated[
    int | None,
    AfterValidator(_require_one),
    WithJsonSchema({"enum": [None, 1], "description": "Every answer that is made is returned."}),
]
MaxTokens = Annotated[
    int | None,
    Field(lt=1 << 31),
    AfterValidator(_check_max_tokens),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer", "minimum": 1, "exclusiveMaximum": 1 << 31}, {"enum": [-1, None]}],
            "description": "-1 means no limit of the request's own.",
        }
    ),
]


class PlainText(Fields):
    """``response_format``: text without a constraint."""

    type: Literal["text"]


class JsonObject(Fields):
    """``response_format``: any JSON object."""

    type: Literal["json_object"]


class NamedSchema(Fields):
    """A JSON schema with a name."""

    name: str
    schema_: dict[str, Any] = Field(alias="schema")
    description: Ignored = None
    strict: bool | None = None
    """Ignored: every answer satisfies the schema."""


class JsonSchema(Fields):
    """``response_format``: JSON that satisfies a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


class StreamOptions(Fields):
    """What a stream contains besides text."""

    include_usage: bool | None = None
    include_obfuscation: Ignored = None


class Generation(Fields):
    """The fields that chat and completions have in common."""

    model: str | None = Field(default=None, max_length=300)
    """A name that ``/v1/models`` lists, or ``default``."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: MaxTokens = None
    temperature: float | None = Field(default=None, ge=0, le=MAX_TEMPERATURE)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, lt=1 << 31)
    """Not in OpenAI's API: sample from this many tokens; 0 and -1 mean all."""
    min_p: float | None = Field(default=None, ge=0, lt=1)
    """Not in OpenAI's API: drop tokens below this share of the best token's probability."""
    repeat_penalty: float | None = Field(default=None, ge=MIN_REPEAT_PENALTY, le=MAX_REPEAT_PENALTY)
    """Not in OpenAI's API: a value above 1 reduces repetition."""
    presence_penalty: float | None = Field(default=None, ge=-MAX_PENALTY, le=MAX_PENALTY)
    frequency_penalty: float | None = Field(default=None, ge=-MAX_PENALTY, le=MAX_PENALTY)
    seed: int | None = Field(default=None, ge=-1, lt=_SEED_LIMIT)
    """-1 draws one."""
    stop: (
        Annotated[str, Field(max_length=MAX_STOP_LENGTH)]
        | Annotated[
            list[Annotated[str, Field(max_length=MAX_STOP_LENGTH)]], Field(json_schema_extra={"maxItems": MAX_STOPS})
        ]
        | None
    ) = Field(default=None)
    n: int | None = Field(default=None, ge=1, le=MAX_CHOICES)
    """Answers to make; with a seed, each has the next one."""
    user: Ignored = None
    logit_bias: Unsupported = None

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
        names = ("temperature", "top_p", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty")
        found = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.top_k is not None:
            found["top_k"] = max(self.top_k, 0)
        return found if self.seed in {None, -1} else {**found, "seed": self.seed}

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings, without empty ones, which would end every answer at once."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in given if text)

    def choices(self, request: Request) -> list[Request]:
        """The requests to the engine: one for each of ``n`` answers, which differ in their seed."""
        seed = request.sampling.get("seed")
        if seed is None:
            return [request] * (self.n or 1)
        return [
            replace(request, sampling={**request.sampling, "seed": (int(seed) + index) % _SEED_LIMIT})
            for index in range(self.n or 1)
        ]

    @property
    def has_schema(self) -> bool:
        """Whether a schema must be checked to make the request, which may take long."""
        return False

    @property
    def wants_usage(self) -> bool:
        """Whether the client wants the usage at the end of a stream."""
        return bool(self.stream_options and self.stream_options.include_usage)


class ChatRequest(Generation):
    """Body of ``POST /v1/chat/completions``."""

    messages: list[ChatMessage] = Field(min_length=1, max_length=MAX_MESSAGES)
    max_completion_tokens: MaxTokens = None
    response_format: Annotated[PlainText | JsonObject | JsonSchema, Field(discriminator="type")] | None = None
    logprobs: bool | None = None
    """Return the logarithm of each token's probability, as the model gives it before sampling."""
    top_logprobs: int | None = Field(default=None, ge=0, le=MAX_LOGPROBS)
    """Likeliest tokens at each place to return with ``logprobs``."""
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
            messages=conversation(self.messages),
            wish=wish,
            sampling=self.sampling,
            max_tokens=_limit(self.max_completion_tokens or self.max_tokens),
            stop=self.stops,
            timeout_s=timeout_s,
            constraint=self._constraint(),
            tools=tuple(each.for_template() for each in self.offered_tools),
            logprobs=(self.top_logprobs or 0) if self.logprobs else None,
        )

    @property
    def has_schema(self) -> bool:
        """Whether a schema must be checked to make the request, which may take long."""
        return bool(self.offered_tools) or isinstance(self.response_format, JsonSchema)

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


def _limit(max_tokens: int | None) -> int | None:
    return None if max_tokens == -1 else max_tokens


class CompletionRequest(Generation):
    """Body of ``POST /v1/completions``. The prompt becomes one user message, because the models are chat models."""

    prompt: str | Annotated[list[str], Field(min_length=1, max_length=1)]
    best_of: OnlyOne = None
    logprobs: int | None = Field(default=None, ge=0, le=MAX_LOGPROBS)
    """Return each token's log probability, and this many of the likeliest tokens at its place."""
    echo: Unsupported = None
    suffix: Unsupported = None

    def to_request(self, wish: Wish, timeout_s: float) -> Request:
        """Make the request to the engine."""
        prompt = self.prompt if isinstance(self.prompt, str) else self.prompt[0]
        return Request(
            messages=(Message("user", prompt),),
            wish=wish,
            sampling=self.sampling,
            max_tokens=_limit(self.max_tokens),
            stop=self.stops,
            timeout_s=timeout_s,
            logprobs=self.logprobs,
        )


class EmbeddingRequest(Fields):
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
