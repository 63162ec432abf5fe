"""The chat model of an engine process: weights, context, chat template, and the plan they were loaded by.

Loads what :mod:`edgechat.engine.selection.model_choice` chose. A process loads one model; another model needs another
process.
"""

from __future__ import annotations

import importlib
import resource
import time
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from edgechat.engine.child.background import BackgroundCall
from edgechat.engine.kv_cache.disk_cache import DigestAhead, PrefixCache, model_key, sampled_digest
from edgechat.engine.native.context import Context
from edgechat.engine.native.lib import llama
from edgechat.engine.native.model import Model
from edgechat.engine.protocol.conversation_trimming import least_tokens
from edgechat.engine.protocol.events import Started
from edgechat.engine.text.detokenizer import THINK_TAGS
from edgechat.engine.text.draft_prompt import draft_prompt
from edgechat.engine.text.prompt import Prompt, build
from edgechat.engine.text.template_check import TemplateCheck
from edgechat.engine.text.tokenizer_cache import TokenizerCache
from edgechat.errors import (
    ContextOverflowError,
    DoesNotFitError,
    InvalidInputError,
    InvalidModelFileError,
    WrongModelError,
)
from edgechat.sampling import Sampling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from edgechat.engine.native.vision import Picture, Vision
    from edgechat.engine.protocol.request import Request
    from edgechat.engine.selection.model_choice import Choice
    from edgechat.engine.text.chat_template import ChatTemplate
    from edgechat.engine.text.constraint import Constraint, Constraints
    from edgechat.models.planning.plan import LoadSettings
    from edgechat.paths import Paths


_COMMON_PIECE_BYTES = 16
"""Every vocabulary's longest token is longer. A prompt that is short enough by this length is so by the true one, too,
which takes long to find."""

_ENCODER_MEMORY = 1.5
"""Times a projector's bytes: its weights, and half as much for what encoding computes with."""


class _GuardedTemplate:
    """A model's template under a time limit, with the model's own switches for thinking."""

    def __init__(
        self, template: ChatTemplate, watch: Callable[[], AbstractContextManager[None]], thinking_off: dict[str, bool]
    ) -> None:
        self._template, self._watch, self._thinking_off = template, watch, thinking_off

    def render(self, messages: Sequence[dict[str, Any]], *, think: bool, tools: Sequence[dict[str, Any]] = ()) -> str:
        """The prompt text."""
        switches = {name: off != think for name, off in self._thinking_off.items()}
        with self._watch():
            return self._template.render(messages, think=think, switches=switches, tools=tools)


class LoadedModel:
    """A loaded model, ready to decode.

    Raises:
        EngineError: llama.cpp could not load it.
        InvalidModelFileError: it cannot hold a conversation (no chat template, or one that was refused).
    """

    def __init__(
        self, choice: Choice, paths: Paths, *, on_progress: Callable[[float], bool], is_constrained: bool = False
    ) -> None:
        began = time.monotonic()
        self.choice = choice
        self._cache = paths.cache
        self._constraints: Constraints | None = None
        self._vision: Vision | None = None
        self.context: Context = None  # type: ignore[assignment]  # only while it is being made
        settings = choice.plan.settings
        file_digest = choice.sha256 or sampled_digest(choice.path)
        self._tokenizer_cache = TokenizerCache(paths.cache / "vocabularies" / f"{file_digest[:32]}.pieces")
        if is_constrained:
            # The first answer needs it, and loading leaves a core idle.
            self._tokenizer_cache.begin()
        ahead = DigestAhead(paths.cache / "prefixes")
        # Jinja is imported (50 ms) while llama.cpp maps the file and needs no interpreter.
        importing = BackgroundCall(importlib.import_module, "edgechat.engine.text.chat_template")
        self.model = Model(choice.path, settings, on_progress=on_progress)
        importing.join()
        try:
            self._create_context(settings)
        except BaseException:
            # The next attempt, with a smaller plan in this process, needs the memory.
            self.close()
            raise
        projector = choice.mmproj
        self.prefixes = PrefixCache(
            paths.cache / "prefixes",
            model_key(
                file_digest,
                build=llama.llama_print_system_info().decode() + llama.llama_version().decode(),
                kv_type=settings.kv_type,
                flash_attn=settings.flash_attn,
                projector=sampled_digest(projector) if projector is not None and projector.is_file() else "",
                has_long_rope=self.model.has_long_rope(self.context.n_ctx),
            ),
            ahead=ahead,
        )
        self.load_s = time.monotonic() - began

    def _create_context(self, settings: LoadSettings) -> None:
        """Create the context, and compile and check the chat template meanwhile."""
        source = self._template_source()
        check = TemplateCheck(source, bos=self.model.bos_text, eos=self.model.eos_text, cache=self._cache)
        # Creating the context takes as long as compiling the template.
        compiling = BackgroundCall(self._compile, source)
        try:
            self.context = Context(self.model, settings)
        except BaseException:
            check.abandon()
            raise
        finally:
            compiling.join()
        for tags in THINK_TAGS:
            for tag in tags:
                self.model.spell_out(tag)
        self._takes_system = check.verdict().takes_system
        if isinstance(self._compiled, InvalidModelFileError):
            raise self._compiled
        self._template: ChatTemplate = self._compiled

    def _compile(self, source: str) -> None:
        from edgechat.engine.text.chat_template import ChatTemplate  # noqa: PLC0415

        self._compiled: ChatTemplate | InvalidModelFileError
        try:
            self._compiled = ChatTemplate(source, bos=self.model.bos_text, eos=self.model.eos_text)
        except InvalidModelFileError as error:
            self._compiled = error

    def _template_source(self) -> str:
        if template := self.model.chat_template:
            return template
        start = self.model.tokenize("<|im_start|>", add_special=False, parse_special=True)
        if len(start) == 1 and self.model.is_control(start[0]):
            from edgechat.engine.text.chat_template import CHATML  # noqa: PLC0415

            return CHATML
        raise InvalidModelFileError(
            f"{self.choice.path.name} carries no chat template, so it cannot hold a conversation.",
            hint="Use an instruct model; `edgechat models plan` names one that fits.",
        )

    def prompt(
        self,
        request: Request,
        watch: Callable[[], AbstractContextManager[None]],
        encode_image: Callable[[str], Picture] | None = None,
    ) -> Prompt:
        """Render and tokenize a request's conversation; of a prefill-only one, what its draft does not change.

        Args:
            request: has the conversation.
            watch: entered around the template's own code.
            encode_image: replaces :meth:`encode_image`, for callers that build a request several times.
        """
        template = _GuardedTemplate(self._template, watch, self.choice.thinking_off)
        render = partial(
            build,
            template=template,
            tokenizer=self.model,
            takes_system=self._takes_system,
            think=request.think,
            tools=request.tools,
            encode_image=encode_image or self.encode_image,
        )
        if not request.prefill_only:
            return render(request.messages)
        if any(message.images for message in request.messages):
            raise InvalidInputError("A conversation with images is not read ahead.", hint="Send it as a question.")
        if request.prefill_whole and self.model.is_rewindable:
            return render(request.messages)
        return draft_prompt(request.messages, render, is_rewindable=self.model.is_rewindable)

    def encode_image(self, image: str) -> Picture:
        """Decode a picture (base64) and cut it up for the model; the most expensive part of building a prompt.

        Raises:
            InvalidInputError: it is no picture, or the model does not accept it.
        """
        from edgechat.engine.protocol import images  # noqa: PLC0415 - most conversations hold none

        data = images.decode(image)
        images.check(data, "The image")
        picture = self.vision.prepare(data)
        for view in picture.views.values():
            self.vision.check(view, self.context)
        return picture

    @property
    def vision(self) -> Vision:
        """The model's image encoder, loaded for the first image: text needs none of its memory.

        Raises:
            InvalidInputError: the model takes no images.
            DoesNotFitError: the memory that is free does not hold the encoder.
            EngineError: llama.cpp is built without image input.
        """
        if self._vision is None:
            projector = self.choice.mmproj
            if projector is None:
                raise InvalidInputError(
                    f"{self.choice.name} cannot look at images.",
                    hint="Leave the image out, or choose a vision model: `edgechat models plan` says which there are.",
                )
            _require_memory(projector, self.choice.plan.reserve)
            from edgechat.engine.native.vision import Vision  # noqa: PLC0415 - loads one more native library

            settings = self.choice.plan.settings
            self._vision = Vision(
                projector, self.model, n_threads=settings.n_threads_batch, use_gpu=settings.n_gpu_layers > 0
            )
        return self._vision

    def with_resumed_tokens(self, request: Request) -> Request:
        """The request with the answer so far in this model's own tokens, where another model began it.

        Memory may have run out in the middle of an answer, and a smaller model finishes it. Thoughts are not passed on,
        and the model must not think behind text that the client has received.
        """
        if request.resume_model in {None, self.choice.name}:
            return request
        if not request.resume_text:
            return replace(request, resume=())
        tokens = self.model.tokenize(request.resume_text, add_special=False, parse_special=False)
        return replace(request, resume=tuple(tokens), think=False)

    def check(self, request: Request) -> None:
        """Refuse parameters out of range, and token ids that llama.cpp would abort on.

        Raises:
            InvalidInputError: the request cannot be run.
        """
        if request.texts:
            raise WrongModelError(
                f"{self.choice.name} is a chat model; vectors pooled from it would find the wrong texts.",
                hint="Embeddings need an embedding model: a GGUF file whose header names a pooling type, such as "
                "those of bert, nomic-bert, qwen3-embedding or gemma-embedding.",
            )
        self.sampling(request)
        if len(request.resume) > self.context.n_ctx:
            raise InvalidInputError("The request resumes with more tokens than the context holds.")
        if any(not 0 <= token < self.model.n_vocab for token in request.resume):
            raise InvalidInputError("The request resumes with token ids that this model does not have.")
        if request.overflow == "refuse":
            self._check_length(request)

    def _check_length(self, request: Request) -> None:
        """Refuse without tokenizing what cannot fit: tokenizing megabytes delays every running answer."""
        n_ctx = self.context.n_ctx
        if least_tokens(request.messages, _COMMON_PIECE_BYTES) > n_ctx:
            least = least_tokens(request.messages, max(self._longest_piece, 1))
            if least > n_ctx:
                message = (
                    f"The prompt is {least} tokens or more; the context holds {n_ctx} and needs room for an answer."
                )
                is_largest = n_ctx >= self.model.n_ctx_train
                raise ContextOverflowError(least, n_ctx, message=message, is_largest=is_largest)

    @cached_property
    def _longest_piece(self) -> int:
        """Bytes of the longest token without white space. Takes tenths of a second, and few requests need it."""
        pieces = (self.model.piece(token, special=True) for token in range(self.model.n_vocab))
        return max(len(b"".join(piece.split())) for piece in pieces)

    def sampling(self, request: Request) -> Sampling:
        """The request's parameters; those it leaves out are the model's own, or else edgechat's.

        A model's own presence penalty holds for free text only: it would avoid the braces and keys of JSON.
        """
        own = dict(self.choice.sampling)
        if request.constraint is not None or request.tools:
            own.pop("presence_penalty", None)
        return Sampling.from_dict({**own, **request.sampling})

    def constraint(self, request: Request) -> Constraint | None:
        """The request's constraint, compiled for this vocabulary; None where it has none.

        Raises:
            SchemaError: it cannot be enforced.
        """
        return None if request.constraint is None else self._compiler().start(request.constraint)

    def has_quick_constraint(self, request: Request) -> bool:
        """Whether :meth:`constraint` takes no noticeable time; the first one of all builds the tokenizer for it."""
        if request.constraint is None:
            return True
        return self._constraints is not None and self._constraints.is_quick(request.constraint)

    def _compiler(self) -> Constraints:
        """The compiler of constraints. Called in two threads, one of which may drop it (:meth:`drop_caches`)."""
        compiler = self._constraints
        if compiler is None:
            # On first use: it takes 0.1-1 s and some megabytes that plain conversation does not need.
            from edgechat.engine.text.constraint import Constraints  # noqa: PLC0415 - 30 ms, and only for constrained answers

            compiler = Constraints(self._tokenizer_cache.tokenizer(self.model), self.model.n_vocab)
            self._constraints = compiler
        return compiler

    def spare_memory(self) -> int:
        """Bytes that are free now beyond what the plan needs: its mapped weights count as free and must stay.

        0 under an address-space limit, against which later threads and libraries count.
        """
        if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            return 0
        from edgechat.board.probe.memory import available  # noqa: PLC0415 - few engines hold two conversations
        from edgechat.board.source import Source  # noqa: PLC0415

        plan = self.choice.plan
        return (available(Source()) or 0) - plan.memory.mapped - plan.reserve

    def drop_caches(self, *, is_idle: bool) -> None:
        """Free compiled schemas and, while idle, their tokenizer; the next request that needs them makes them again."""
        self._constraints = None
        if is_idle:
            self._tokenizer_cache.free()

    def close(self) -> None:
        """Free the context, then the model."""
        if self._vision is not None:
            self._vision.close()
        if self.context is not None:
            self.context.close()
        self.model.close()


def started_event(
    choice: Choice, *, n_ctx: int, prompt_tokens: int, cached_tokens: int, n_ctx_train: int = 0
) -> Started:
    """The event that tells a client which model answers, and with which plan."""
    return Started(
        model=choice.name,
        quant=choice.quant,
        n_ctx=n_ctx,
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        languages=choice.languages,
        is_starter=choice.is_starter,
        stepped_down_from=choice.stepped_down_from,
        stepped_down_why=choice.stepped_down_why,
        n_ctx_train=n_ctx_train,
    )


def _require_memory(projector: Path, reserve: int) -> None:
    """Refuse an image encoder that does not fit, before the kernel would have to end a process.

    Raises:
        DoesNotFitError: the memory that is free does not hold it.
    """
    from edgechat.board.probe.probe import probe  # noqa: PLC0415 - only where an image has come

    need, free = int(projector.stat().st_size * _ENCODER_MEMORY), probe().memory.available
    if need > free - reserve:
        raise DoesNotFitError(
            f"To look at images the model needs {need / 1e6:,.0f} MB more; {free / 1e6:,.0f} MB are free and "
            f"{reserve / 1e6:,.0f} MB of them stay reserved.",
            hint="Close other programs, leave the image out, or choose a smaller vision model.",
        )
