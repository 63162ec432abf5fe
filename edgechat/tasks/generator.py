"""The generator that asks the engine, and the identity of the model that answers.

One object is one connection: not thread-safe, one question at a time. Decoding is greedy, so two runs can differ only
by rounding in the engine.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgechat import config as settings
from edgechat.engine.client.client import EngineClient
from edgechat.engine.protocol.events import Done, Recovered, Slowed, Started, Text
from edgechat.engine.protocol.request import Message, Request, Wish, is_path
from edgechat.engine.selection.model_choice import find_models
from edgechat.errors import DeadlineError, EdgechatError, InvalidInputError, ModelNotFoundError
from edgechat.models.store.installed import InstalledModel, find
from edgechat.tasks.contract import Context, FinishReason, GeneratedJson
from edgechat.tasks.measured import design_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from edgechat.engine.protocol.events import Event
    from edgechat.paths import Paths
    from edgechat.tasks.contract import Ask
    from edgechat.tasks.language import Language

_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length", "timeout": "timeout", "cancelled": "cancelled"}
_MIN_TIMEOUT_S = 0.001


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """The model that answers."""

    model: str
    quant: str
    sha256: str | None
    """SHA-256 of the file; computed here when the file is not in the store."""
    languages: tuple[str, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    """The prompts that the model was trained on, by job."""
    is_starter: bool = False
    vision: bool = False
    """True when the model can read images."""
    parameters: int | None = None
    """Number of the model's parameters, counted in the file's header; None when the file cannot be read."""

    @property
    def label(self) -> str:
        """``NAME:QUANT``."""
        return f"{self.model}:{self.quant}"

    def context(self, language: Language = "en") -> Context:
        """The conditions of a record that this model answers."""
        return Context(language=language, vision=self.vision, prompts=self.prompts, design=design_for(self.parameters))


class EngineGenerator:
    """Answers questions with JSON or text through this user's engine.

    Args:
        paths: the directories of the user, which select the engine.
        wish: the model and context length to use.
        known: the identity of the model, when an earlier generator has found it out.
        on_note: called with a sentence when the engine crashed and was restarted.
        keep_alive_s: seconds that the engine stays loaded when idle; None leaves its setting unchanged.
        reads_files: whether a record may name an image by its path.
        is_batch: whether the requests have batch priority, behind interactive ones.
    """

    def __init__(
        self,
        paths: Paths,
        wish: Wish | None = None,
        *,
        known: ModelIdentity | None = None,
        on_note: Callable[[str], None] = lambda _note: None,
        keep_alive_s: float | None = None,
        reads_files: bool = True,
        is_batch: bool = False,
    ) -> None:
        self._paths = paths
        self._wish = wish or Wish()
        self._on_note = on_note
        self._reads_files = reads_files
        self._is_batch = is_batch
        self._client = EngineClient(paths, keep_alive_s=keep_alive_s)
        self.identity = known
        self.pause_s = 0.0
        """Seconds to wait before the next batch request; set by the engine while it throttles."""

    def close(self) -> None:
        """Close the connection; this cancels a running answer."""
        self._client.close()

    def interrupt(self) -> None:
        """Cancel a running answer from another thread; see :meth:`EngineClient.interrupt`."""
        self._client.interrupt()

    def identify_only_model(self) -> None:
        """Set :attr:`identity` where only one model can answer; starts no engine.

        Raises:
            EdgechatError: no model is installed.
        """
        if self.identity is None:
            wanted = find_models(self._wish, paths=self._paths, config=settings.load(self._paths.config))
            if len(wanted.models) == 1:
                self.identity = _identity(wanted.models[0])

    def identify(self, timeout_s: float | None = None) -> ModelIdentity:
        """The model that answers; loads it when several are installed and only loading shows which one fits.

        Raises:
            EdgechatError: no model is installed or fits, or the engine cannot be started.
        """
        self.identify_only_model()
        if self.identity is None:
            # The engine decides which of them fits. A request for one token makes it load the model.
            probe = Request((Message("user", "Hi"),), wish=self._wish, max_tokens=1, timeout_s=timeout_s)
            for event in self._client.generate(probe):
                if isinstance(event, Started):
                    self._update_identity(event)
        if self.identity is None:
            raise EdgechatError("The engine answered without naming its model.")
        return self.identity

    def generate(self, ask: Ask[Any], *, timeout_s: float | None, seed: int | None) -> GeneratedJson:
        """Answer in the form that ``ask`` asks for; see :class:`edgechat.tasks.contract.Generator`.

        Raises:
            InvalidInputError: an image cannot be used, or the engine refused the request.
            EdgechatError: there is no model, or the engine could not be restarted.
        """
        request = Request(
            messages=self._messages(ask),
            wish=self._wish,
            sampling={"temperature": 0.0, **({} if seed is None else {"seed": seed})},
            max_tokens=ask.max_tokens,
            timeout_s=None if timeout_s is None else max(timeout_s, _MIN_TIMEOUT_S),
            stop=ask.stop,
            constraint=_constraint(ask),
            is_batch=self._is_batch,
        )
        began_s = time.monotonic()
        pieces: list[str] = []
        done: Done | None = None
        ttft_s = 0.0
        try:
            for event in self.events(request):
                if isinstance(event, Text) and not event.is_thought:
                    ttft_s = ttft_s or time.monotonic() - began_s
                    pieces.append(event.text)
                elif isinstance(event, Done):
                    done = event
        except DeadlineError as late:
            return self._answer("".join(pieces), "timeout", str(late))
        if done is None:
            raise EdgechatError("The engine's answer ended without its final event.")
        return self._finished(
            "".join(pieces), done, {"ttft_s": ttft_s} if ttft_s else {}, is_json=ask.schema is not None
        )

    def _messages(self, ask: Ask[Any]) -> tuple[Message, ...]:
        """The messages of ``ask``; its images (paths or data URLs) are attached to the last one."""
        if not ask.images:
            return ask.messages
        from edgechat.engine.protocol.images import from_data_url, is_data_url, read  # noqa: PLC0415 - most records have none

        if not self._reads_files and not all(map(is_data_url, ask.images)):
            # A path sent by another machine must not open files of this one.
            raise InvalidInputError("An image must come with the record, as a data:image/…;base64 address.")
        images = tuple(from_data_url(image) if is_data_url(image) else read(Path(image)) for image in ask.images)
        return (*ask.messages[:-1], replace(ask.messages[-1], images=images))

    def events(self, request: Request) -> Iterator[Event]:
        """The client's events of one answer; closing the iterator cancels the answer."""
        for event in self._client.generate(request):
            if isinstance(event, Started):
                self._update_identity(event)
                self.pause_s = 0.0  # a Slowed event follows if the engine still throttles
            elif isinstance(event, Slowed):
                self.pause_s = event.pause_s
            elif isinstance(event, Recovered):
                self._on_note(event.note)
            yield event

    def _finished(self, text: str, done: Done, timing: dict[str, float], *, is_json: bool) -> GeneratedJson:
        measured = {**done.timing, **timing, **{name: float(count) for name, count in done.usage.items()}}
        finish = _FINISH.get(done.finish_reason, "failed")
        if finish != "stop":
            return replace(self._answer(text, finish, _WHY[finish]), seed=done.seed, timing=measured)
        if not is_json:
            return replace(self._answer(text, "stop", ""), value=text, seed=done.seed, timing=measured)
        try:
            value: Any = json.loads(text)
        except ValueError as error:
            why = f"The answer is not JSON: {error}."
            return replace(self._answer(text, "failed", why), seed=done.seed, timing=measured)
        return replace(self._answer(text, "stop", ""), value=value, seed=done.seed, timing=measured)

    def _answer(self, text: str, finish: FinishReason, error: str) -> GeneratedJson:
        known = self.identity
        return GeneratedJson(
            text=text,
            finish_reason=finish,
            error=error,
            model=known.model if known else None,
            quant=known.quant if known else None,
            model_sha256=known.sha256 if known else None,
        )

    def _update_identity(self, started: Started) -> None:
        """Record which file answers now: the plan may have stepped down since the last answer."""
        known = self.identity
        if known is not None and (known.model, known.quant.lower()) == (started.model, started.quant.lower()):
            return
        wished = self._wish.model
        if wished and is_path(wished):
            model = find_models(self._wish, paths=self._paths, config=settings.load(self._paths.config)).models[0]
        else:
            model = _installed(self._paths, started)
        self.identity = _identity(model)


_WHY: dict[FinishReason, str] = {
    "length": "The answer was cut off at its token limit.",
    "timeout": "The time allowed for the answer ran out.",
    "cancelled": "The answer was cancelled.",
    "failed": "The engine ended the answer early.",
}


def _constraint(ask: Ask[Any]) -> dict[str, Any] | None:
    if ask.schema is not None:
        return {"json_schema": ask.schema}
    return {"regex": ask.regex} if ask.regex else None


def _installed(paths: Paths, started: Started) -> InstalledModel:
    try:
        return find(paths, started.model, started.quant)
    except ModelNotFoundError:
        # The configuration names the model by its path; the engine then uses the file's name.
        named = settings.load(paths.config).model
        if named and is_path(named):
            return find_models(Wish.of(named), paths=paths, config=settings.load(paths.config)).models[0]
        raise


def _identity(model: InstalledModel) -> ModelIdentity:
    return ModelIdentity(
        model=model.name,
        quant=model.quant,
        sha256=model.sha256 or _hashed(model.path),
        languages=model.languages,
        prompts=model.prompts,
        is_starter=model.source.startswith("package:"),
        vision=model.mmproj is not None,
        parameters=_parameters(model.path),
    )


def _parameters(path: Path) -> int | None:
    from edgechat.models.gguf.header import read_header  # noqa: PLC0415 - once per run

    try:
        return read_header(path).parameters
    except (InvalidInputError, OSError):
        return None  # the engine says what is wrong with the file


def _hashed(path: Path) -> str:
    # The store has no hash of a file outside it; results must carry one. 2 s per gigabyte, once per run.
    from edgechat.models.store.verify import file_sha256  # noqa: PLC0415 - pulls in the store

    return file_sha256(path)
