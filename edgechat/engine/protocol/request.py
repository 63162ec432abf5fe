"""Requests: what a client sends to the engine, as plain data that is encoded as JSON. Imports nothing heavy."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeGuard

from edgechat.errors import InvalidInputError
from edgechat.sampling import Sampling

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_MAX_TOKENS = 1024
"""Default limit of an answer; KV cells for it are reserved before the answer starts."""

ROLES = ("system", "user", "assistant", "tool")

OVERFLOWS = ("refuse", "trim", "summarize")
"""What to do with a conversation that does not fit the context."""

MAX_STOPS, MAX_STOP_LENGTH = 32, 1024
"""Stop strings are searched after every token of every answer; these limit their number and length in characters."""

MAX_LOGPROBS = 20
"""Likeliest tokens at each place of an answer, as with OpenAI."""

MAX_IMAGES = 8
"""In one request; each takes some hundred KV cells, and seconds of encoding on a board."""

MAX_TEXTS = 2048
"""To embed in one request, as with OpenAI."""

MAX_TIMEOUT_S = 1e8
"""Three years; the kernel's clocks accept little more."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: str
    content: str
    images: tuple[str, ...] = ()
    """Image files in base64 (:mod:`edgechat.engine.protocol.images`), shown to the model before the text."""
    tool_calls: tuple[dict[str, Any], ...] = ()
    """Of the assistant: ``{"function": {"name": ..., "arguments": {...}}}``, as templates know them."""
    tool_call_id: str = ""
    """Of a tool: the ``id`` of the call whose result this is."""


@dataclass(frozen=True, slots=True)
class Wish:
    """The model that a client wants; None means the owner's default."""

    model: str | None = None
    """A name, or the absolute path of a file (the engine has another working directory than its client)."""
    n_ctx: int | None = None
    exact: bool = False
    """Load exactly what ``models use`` pinned: nothing that changes answers is reduced to save memory."""

    @classmethod
    def of(cls, model: str | None, n_ctx: int | None = None, *, exact: bool = False) -> Wish:
        """The wish for a model as users write it: a path may be relative or begin with ``~``."""
        if model and is_path(model):
            model = os.path.abspath(os.path.expanduser(model))  # noqa: PTH100, PTH111 - importing pathlib takes 3 ms
        return cls(model, n_ctx, exact)


def is_path(model: str) -> bool:
    """True when ``model`` is the path of a file and not a name."""
    return model.lower().endswith(".gguf") or model.startswith(("/", "./", "../", "~"))


@dataclass(frozen=True, slots=True)
class Request:
    """One answer to generate.

    Raises:
        InvalidInputError: a field is out of range, or a role is unknown.
    """

    messages: tuple[Message, ...]
    wish: Wish = Wish()
    sampling: dict[str, float | int] = field(default_factory=dict)
    """What the caller set; the rest comes from the model's defaults, then from edgechat's."""
    max_tokens: int | None = None
    """None means :data:`DEFAULT_MAX_TOKENS`, or less where the context is nearly full."""
    stop: tuple[str, ...] = ()
    """Strings that end the answer. They are not looked for in what a constraint makes JSON, which would be cut."""
    logprobs: int | None = None
    """Send log probabilities, with this many of the likeliest tokens at each place; None sends none."""
    think: bool = False
    """Let a model that can think do so; its thoughts arrive as separate events."""
    timeout_s: float | None = None
    """The engine ends the answer after this many seconds, even if the client does nothing."""
    constraint: dict[str, Any] | None = None
    """``{"json_schema": {...}}``, ``{"regex": "..."}``, ``{"choices": [...]}`` or ``{"tool_call": {...}}`` (text, or a
    call by this schema): the answer satisfies it, or it is an error."""
    tools: tuple[dict[str, Any], ...] = ()
    """Tools that the model may call, in OpenAI's format; the model's chat template inserts them."""
    keep: str | None = None
    """Name under which the KV cells of this conversation are saved on disk after the answer, and found again."""
    overflow: str = "refuse"
    """When the messages do not fit: an error, or the oldest are left out, with or without a summary in their place
    (:mod:`edgechat.engine.protocol.conversation_trimming`)."""
    summary: str = ""
    """A summary of the messages that are left out, which the client has asked for before."""
    is_batch: bool = False
    """Low priority: it starts when no interactive request waits, and its prompt is read after theirs."""
    speculate: bool = True
    """Allow speculative decoding (prompt lookup) where it is faster; it changes no answer. Off for measurements."""
    resume: tuple[int, ...] = ()
    """Token ids already received: generation continues after them."""
    resume_model: str | None = None
    """The model that these ids belong to; any other model continues after ``resume_text`` instead."""
    resume_text: str = ""
    """The answer so far, without thoughts."""
    texts: tuple[str, ...] = ()
    """In place of messages: texts for an embedding model, one vector each."""
    prefill_only: bool = False
    """Read the prompt as far as the text of the last message and generate nothing: the last message is a draft that may
    still grow. At the lowest priority (:mod:`edgechat.engine.decoding.read_ahead`). The other fields are those of the
    request that is expected afterwards."""
    prefill_whole: bool = False
    """Of such a request: read to the end of the prompt, as if nothing were added to the last message any more. If
    something is, the tokens behind it are taken back."""
    prefill_limit: int | None = None
    """Most tokens of a draft that are read, also in several such requests; None reads all."""
    keep_on_disk: bool = False
    """Keep what such a request has read on disk: under the name in ``keep``, or, with an empty last message, as the
    beginning of all questions under this system message. Without it, nothing of a draft is written anywhere."""

    def __post_init__(self) -> None:
        if self.texts:
            self._check_texts()
        elif not self.messages:
            raise InvalidInputError("There is nothing to answer: the conversation is empty.")
        for message in self.messages:
            if message.role not in ROLES:
                raise InvalidInputError(f"Unknown role {message.role!r}.", hint=f"Use one of {', '.join(ROLES)}.")
        if sum(len(message.images) for message in self.messages) > MAX_IMAGES:
            raise InvalidInputError(f"A request holds at most {MAX_IMAGES} images.")
        if self.overflow not in OVERFLOWS:
            raise InvalidInputError(f"overflow is {self.overflow!r}; it must be one of {', '.join(OVERFLOWS)}.")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise InvalidInputError(f"-n is {self.max_tokens}; an answer has at least one token.")
        if self.timeout_s is not None and not 0 < self.timeout_s <= MAX_TIMEOUT_S:
            raise InvalidInputError(f"--timeout is {self.timeout_s}; it must be above 0, up to {MAX_TIMEOUT_S:.0f} s.")
        if self.wish.n_ctx is not None and self.wish.n_ctx < 1:
            raise InvalidInputError(f"--ctx is {self.wish.n_ctx}; a context has at least one token.")
        self._check_limits()
        self._check_prefill()

    def _check_prefill(self) -> None:
        if not self.prefill_only:
            if self.keep_on_disk or self.prefill_whole or self.prefill_limit is not None:
                raise InvalidInputError(
                    "keep_on_disk, prefill_whole and prefill_limit belong to requests with prefill_only."
                )
            return
        if self.texts or self.messages[-1].role != "user":
            raise InvalidInputError("Only a conversation that ends with the user's message can be read ahead.")
        if self.prefill_limit is not None and (self.prefill_limit < 1 or self.keep_on_disk):
            raise InvalidInputError(
                f"prefill_limit is {self.prefill_limit}; at least one token is read, and all where they are to be kept."
            )
        is_shared = not self.messages[-1].content and all(each.role != "assistant" for each in self.messages)
        if self.keep_on_disk and not self.keep and not is_shared:
            raise InvalidInputError(
                "What is read would not be found again on disk.",
                hint="Give it a name in `keep`, or send a system message and an empty question.",
            )

    def _check_limits(self) -> None:
        if len(self.stop) > MAX_STOPS or any(len(text) > MAX_STOP_LENGTH for text in self.stop):
            raise InvalidInputError(f"At most {MAX_STOPS} stop strings of {MAX_STOP_LENGTH} characters are looked for.")
        if self.logprobs is not None and not 0 <= self.logprobs <= MAX_LOGPROBS:
            raise InvalidInputError(f"logprobs is {self.logprobs}; it must be 0 to {MAX_LOGPROBS}.")
        if any(not 0 <= token < 1 << 31 for token in self.resume):
            raise InvalidInputError("The request resumes after token ids that no vocabulary has.")

    def _check_texts(self) -> None:
        if self.messages:
            raise InvalidInputError("A request holds messages to answer or texts to embed, not both.")
        if len(self.texts) > MAX_TEXTS:
            raise InvalidInputError(f"There are {len(self.texts)} texts; one request embeds at most {MAX_TEXTS}.")
        for number, text in enumerate(self.texts, 1):
            if not text:
                raise InvalidInputError(f"Text {number} of {len(self.texts)} is empty; it has no vector.")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Request:
        """Inverse of :meth:`to_dict`.

        Raises:
            InvalidInputError: a field is missing, unknown or of the wrong type.
        """
        for name, is_right in _FIELDS.items():
            if name in data and not is_right(data[name]):
                raise InvalidInputError(f"The request is malformed: {name} is not what it should be.")
        try:
            fields = dict(data)
            fields["messages"] = tuple(
                Message(**{**message, **{name: tuple(message.get(name, ())) for name in ("images", "tool_calls")}})
                for message in fields["messages"]
            )
            fields["wish"] = Wish(**fields.get("wish", {}))
            fields["stop"] = tuple(fields.get("stop", ()))
            fields["tools"] = tuple(fields.get("tools", ()))
            fields["resume"] = tuple(fields.get("resume", ()))
            fields["texts"] = tuple(fields.get("texts", ()))
            request = cls(**fields)
        except (KeyError, TypeError) as error:
            raise InvalidInputError(f"The request is malformed: {error}.") from error
        Sampling.from_dict(request.sampling)
        return request


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_message(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    images, calls = value.get("images", ()), value.get("tool_calls", ())
    return (
        all(isinstance(each, str) for name, each in value.items() if name not in {"images", "tool_calls"})
        and _each(lambda each: isinstance(each, str))(images)
        and _each(_is_call)(calls)
    )


def _is_call(value: object) -> bool:
    function = value.get("function") if isinstance(value, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _is_wish(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    model, n_ctx = value.get("model"), value.get("n_ctx")
    is_named = (model is None or isinstance(model, str)) and (n_ctx is None or _is_whole(n_ctx))
    return is_named and isinstance(value.get("exact", False), bool)


def _each(is_right: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, (list, tuple)) and all(map(is_right, value))


_FIELDS: dict[str, Callable[[object], bool]] = {
    "messages": _each(_is_message),
    "wish": _is_wish,
    "sampling": lambda value: isinstance(value, dict),
    "max_tokens": lambda value: value is None or _is_whole(value),
    "stop": _each(lambda value: isinstance(value, str)),
    "logprobs": lambda value: value is None or _is_whole(value),
    "think": lambda value: isinstance(value, bool),
    "timeout_s": lambda value: value is None or _is_number(value),
    "constraint": lambda value: value is None or isinstance(value, dict),
    "tools": _each(_is_call),
    "keep": lambda value: value is None or isinstance(value, str),
    "overflow": lambda value: isinstance(value, str),
    "summary": lambda value: isinstance(value, str),
    "is_batch": lambda value: isinstance(value, bool),
    "speculate": lambda value: isinstance(value, bool),
    "resume": _each(_is_whole),
    "resume_model": lambda value: value is None or isinstance(value, str),
    "resume_text": lambda value: isinstance(value, str),
    "texts": _each(lambda value: isinstance(value, str)),
    "prefill_only": lambda value: isinstance(value, bool),
    "prefill_whole": lambda value: isinstance(value, bool),
    "prefill_limit": lambda value: value is None or _is_whole(value),
    "keep_on_disk": lambda value: isinstance(value, bool),
}
"""Type checks of the fields: any program can write a frame, and a wrong type must not reach llama.cpp."""
