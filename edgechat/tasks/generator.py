"""The generator that asks the real engine, and what is known about the model that answers.

One object is one connection: not thread-safe, one question at a time. Decodes greedily, so that only the engine's
rounding can make two runs differ.
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
from edgechat.tasks.contract import FinishReason, GeneratedJson, Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from edgechat.engine.protocol.events import Event
    from edgechat.paths import Paths

_FINISH: dict[str, FinishReason] = {"stop": "stop", "length": "length", "timeout": "timeout", "cancelled": "cancelled"}
_MIN_TIMEOUT_S = 0.001


@dataclass(frozen=True, slots=True)
class Identity:
    """The model behind the answers."""

    model: str
    quant: str
    sha256: str | None
    """Of the file; hashed here for a file that is not in the store."""
    languages: tuple[str, ...] = ()
    prompts: Mapping[str, str] = field(default_factory=dict)
    """What the model was trained to be asked, by job."""
    is_starter: bool = False
    vision: bool = False
    """It can look at images."""


class EngineGenerator:
    """Turns messages and a schema into JSON through the engine of this user.

    Args:
        paths: whose engine.
        wish: the model, and the context, to answer with.
        known: the model that will answer, when an earlier generator has already learned it.
        on_note: gets a sentence when the engine died and came back.
        keep_alive_s: how long the engine stays idle afterwards; None leaves it as it is.
        reads_files: whether a record may name an image by its path.
        is_batch: whether the answers are work that nobody watches, and interactive ones go first.
    """

    def __init__(
        self,
        paths: Paths,
        wish: Wish | None = None,
        *,
        known: Identity | None = None,
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
        """Seconds to let pass before the next of many requests: the engine spares the board."""

    def close(self) -> None:
        """Hang up; a running answer is cancelled by it."""
        self._client.close()

    def interrupt(self) -> None:
        """Cut a running answer off from another thread; see :meth:`EngineClient.interrupt`."""
        self._client.interrupt()

    def identify(self, timeout_s: float | None = None) -> Identity:
        """The model that answers; loads it where nothing but loading can tell.

        Raises:
            EdgechatError: no model is installed or fits, or the engine cannot be started.
        """
        if self.identity is None:
            wanted = find_models(self._wish, paths=self._paths, config=settings.load(self._paths.config))
            if len(wanted.models) == 1:
                self.identity = _identity(wanted.models[0])
            else:
                # Which of them fits is the engine's to decide. One token makes it load, which the first record needs.
                ask = Request((Message("user", "Hi"),), wish=self._wish, max_tokens=1, timeout_s=timeout_s)
                for event in self._client.generate(ask):
                    if isinstance(event, Started):
                        self._learn(event)
        if self.identity is None:
            raise EdgechatError("The engine answered without saying which model it runs.")
        return self.identity

    def generate(
        self,
        messages: Sequence[Message],
        *,
        schema: Schema,
        max_tokens: int,
        timeout_s: float | None,
        seed: int | None,
        images: Sequence[str] = (),
    ) -> GeneratedJson:
        """Answer with JSON that fits ``schema``; see :class:`edgechat.tasks.contract.Generator`.

        Raises:
            InvalidInputError: an image cannot be taken, or the engine refused the request.
            EdgechatError: no model, or an engine that did not come back.
        """
        request = Request(
            messages=self._with_images(messages, images),
            wish=self._wish,
            sampling={"temperature": 0.0, **({} if seed is None else {"seed": seed})},
            max_tokens=max_tokens,
            timeout_s=None if timeout_s is None else max(timeout_s, _MIN_TIMEOUT_S),
            constraint={"json_schema": schema},
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
            raise EdgechatError("The engine ended an answer without saying so.")
        return self._whole("".join(pieces), done, {"ttft_s": ttft_s} if ttft_s else {})

    def _with_images(self, messages: Sequence[Message], images: Sequence[str]) -> tuple[Message, ...]:
        """The messages, the last of them with the images: each a path here, or the image itself as a data address."""
        if not images:
            return tuple(messages)
        from edgechat.engine.protocol.images import from_data_url, is_data_url, read  # noqa: PLC0415 - most records have none

        if not self._reads_files and not all(map(is_data_url, images)):
            # A name that another machine sends means nothing here, and must not open the files of this one.
            raise InvalidInputError("An image must come with the record, as a data:image/…;base64 address.")
        shown = tuple(from_data_url(image) if is_data_url(image) else read(Path(image)) for image in images)
        return (*messages[:-1], replace(messages[-1], images=shown))

    def events(self, request: Request) -> Iterator[Event]:
        """The events of one answer, as the client gives them; closing the iterator cancels it."""
        for event in self._client.generate(request):
            if isinstance(event, Started):
                self._learn(event)
                self.pause_s = 0.0  # said anew, right after, where it still holds
            elif isinstance(event, Slowed):
                self.pause_s = event.pause_s
            elif isinstance(event, Recovered):
                self._on_note(event.note)
            yield event

    def _whole(self, text: str, done: Done, timing: dict[str, float]) -> GeneratedJson:
        measured = {**done.timing, **timing, **{name: float(count) for name, count in done.usage.items()}}
        finish = _FINISH.get(done.finish_reason, "failed")
        if finish != "stop":
            return replace(self._answer(text, finish, _WHY[finish]), seed=done.seed, timing=measured)
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

    def _learn(self, started: Started) -> None:
        """Take down which file really answers: the plan may have stepped down since the last answer."""
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


def _installed(paths: Paths, started: Started) -> InstalledModel:
    try:
        return find(paths, started.model, started.quant)
    except ModelNotFoundError:
        # A model set by its path in the configuration: the engine names it after the file.
        named = settings.load(paths.config).model
        if named and is_path(named):
            return find_models(Wish.of(named), paths=paths, config=settings.load(paths.config)).models[0]
        raise


def _identity(model: InstalledModel) -> Identity:
    return Identity(
        model=model.name,
        quant=model.quant,
        sha256=model.sha256 or _hashed(model.path),
        languages=model.languages,
        prompts=model.prompts,
        is_starter=model.source.startswith("package:"),
        vision=model.mmproj is not None,
    )


def _hashed(path: Path) -> str:
    # A file outside the store carries no record of its hash, and an auditor asks for it: 2 s a gigabyte, once a run.
    from edgechat.models.store.verify import file_sha256  # noqa: PLC0415 - pulls in the store

    return file_sha256(path)
