"""Translation of texts and documents, sentence by sentence, with every visible fault flagged.

The model answers in plain text after example translations. The answer is checked; after a faulty one the sentence is
asked for once more in another way, and the better answer is kept, or the source when neither is a translation. Document
formats are in ``formats``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from edgechat.errors import UsageError
from edgechat.plaintext import clean_line
from edgechat.tasks.contract import Ask, Context, Outcome, Problem, Status, Steps, Task
from edgechat.tasks.translate import glossary, question
from edgechat.tasks.translate.checks import FATAL, flags_of, looks_like_instruction, severity
from edgechat.tasks.translate.echo import is_echo
from edgechat.tasks.translate.examples import repeats_example
from edgechat.tasks.translate.formats import FORMS, pieces, structure
from edgechat.tasks.translate.formats.declaration import declared_encoding, with_declared_encoding
from edgechat.tasks.translate.languages import AUTO, LANGUAGES, UNDETERMINED, detect, scripts_of
from edgechat.tasks.translate.protect import MaskedText, has_words, is_reordered, keeps_parts, mask, narrowed
from edgechat.tasks.translate.record import Term, TranslateInput
from edgechat.tasks.translate.result import Flag, GlossaryMiss, TranslatedSegment, TranslateResult
from edgechat.tasks.translate.segments import segments

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from edgechat.tasks.batch.document import DocumentOptions, Piece
    from edgechat.tasks.contract import FinishReason, GeneratedJson
    from edgechat.tasks.result import TaskResult
    from edgechat.tasks.translate.question import Wording

_STATUS_OF_END: dict[FinishReason, Status] = {"timeout": "truncated", "cancelled": "truncated"}


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to ask for a segment."""

    wording: Wording
    masked: MaskedText | None = None
    """The segment with masks, in place of the segment as it is."""


@dataclass(slots=True)
class _Attempt:
    """One answer for one segment, with its flags."""

    text: str
    flags: list[Flag]
    missing: list[Term] = field(default_factory=list)


@dataclass(slots=True)
class _Progress:
    """The translated part of a record."""

    record: TranslateInput
    source: str
    prompts: Mapping[str, str]
    pieces: list[str] = field(default_factory=list)
    done: list[TranslatedSegment] = field(default_factory=list)
    misses: list[GlossaryMiss] = field(default_factory=list)
    translated: int = 0
    end: FinishReason = "stop"
    """Why no more segments are translated; ``stop`` while they are."""
    error: str = ""


class Translate(Task[TranslateInput, TranslateResult]):
    """The built-in task ``translate``."""

    name = "translate"
    version = "4"
    example: ClassVar[Mapping[str, Any]] = {
        "text": "Stop the conveyor before you open cover E-401. See https://example.com/manual.",
        "source": "en",
        "target": "ja",
        "glossary": [{"source": "conveyor", "target": "コンベヤ"}],
    }
    formats = ("json", "text")
    input_model = TranslateInput
    output_model = TranslateResult
    document_forms = FORMS
    incomplete_flags = frozenset(("kept_source", "not_translated", "truncated"))

    def steps(self, record: TranslateInput, context: Context) -> Steps[TranslateResult]:
        """Translate segment by segment; segments that need no translation are copied."""
        source = detect(record.text) if record.source == AUTO else record.source
        progress = _Progress(record, source, context.prompts)
        wanted = 0
        for segment in segments(record.text, source):
            if not segment.is_text:
                progress.pieces.append(segment.text)
                continue
            if not has_words(segment.text) or self._is_already(segment.text, source, record.target):
                # A copied segment that looks like an instruction is flagged too.
                self._keep(
                    progress, segment.text, ["instruction_in_text"] if looks_like_instruction(segment.text) else []
                )
                continue
            wanted += 1
            if progress.end != "stop":
                self._keep(progress, segment.text, ["not_translated"])
                continue
            yield from self._translate(progress, segment.text)
        return self._outcome(progress, wanted)

    def render(self, done: TaskResult, fmt: str) -> str:
        """JSON, or the translation alone."""
        if fmt != "text":
            return super().render(done, fmt)
        if done.result is None:
            return "\n".join(done.error_lines) + "\n"
        return str(done.result["translation"]) + "\n"

    def document(self, text: str, form: str, options: DocumentOptions) -> Iterator[Piece]:
        """The pieces of a document; see :class:`edgechat.tasks.batch.document.RewritesDocuments`."""
        return pieces(text, form, options)

    def document_structure(self, text: str, form: str, options: DocumentOptions) -> object:
        """What a translation must leave as it is; None for plain text."""
        return structure(text, form, options)

    def declared_encoding(self, data: bytes, form: str) -> str | None:
        """The encoding that a PO, XML or properties file is in by its own rules."""
        return declared_encoding(data, form)

    def with_declared_encoding(self, text: str, form: str, encoding: str) -> str | None:
        """The document with another encoding in its declaration."""
        return with_declared_encoding(text, form, encoding)

    def document_fields(self, texts: Sequence[str], fields: Mapping[str, Any]) -> dict[str, Any]:
        """The source language of the document, which its short units alone would not show.

        Raises:
            UsageError: the target language is missing, or the document is in it already.
        """
        if "target" not in fields:
            raise UsageError("Which language to translate into?", hint="Add --field target=ja, for example.")
        if fields.get("source", AUTO) != AUTO:
            return {}
        found = detect("\n".join(texts)[:100_000])
        if found == fields["target"]:
            raise UsageError(
                f"The document seems to be in {LANGUAGES[found].name} already.",
                hint="If it is not, name its language: --field source=en",
            )
        return {} if found == UNDETERMINED else {"source": found}

    def replacement(self, result: Mapping[str, Any]) -> str:
        """The new text of a unit."""
        return str(result["translation"])

    @staticmethod
    def _is_already(text: str, source: str, target: str) -> bool:
        """True when a segment has no letter of the source's script, such as a command between Japanese sentences."""
        scripts = set(scripts_of(text))
        own = set(LANGUAGES[source].scripts) if source in LANGUAGES else set()
        return bool(own) and not own & scripts and bool(scripts) and scripts <= set(LANGUAGES[target].scripts)

    def _translate(self, progress: _Progress, text: str) -> Generator[Ask[TranslateResult], GeneratedJson, None]:
        """Ask, check the answer, ask in another way if that may help, and keep the better answer."""
        terms = glossary.occurring(progress.record.glossary, text)
        way: _Way | None = _Way("own" if "translate" in progress.prompts else "examples")
        best: _Attempt | None = None
        is_first = True
        while way is not None:
            answer = yield self._ask(progress, text, terms, way)
            if answer.finish_reason not in {"stop", "length"}:
                progress.end, progress.error = answer.finish_reason, answer.error
                break
            attempt = self._check(progress, text, terms, answer, way)
            if best is None or _badness(attempt) < _badness(best):
                best = attempt
            way = _another(way, text, attempt) if is_first else None
            is_first = False
        if best is None:
            self._keep(progress, text, ["not_translated"])
        elif FATAL.intersection(best.flags):
            self._keep(progress, text, [*best.flags, "kept_source"])
        else:
            progress.translated += 1
            self._add(progress, text, best)

    @staticmethod
    def _ask(progress: _Progress, text: str, terms: Sequence[Term], way: _Way) -> Ask[TranslateResult]:
        record = progress.record
        asked = text if way.masked is None else way.masked.text
        return Ask(
            messages=question.messages(
                asked,
                source=progress.source,
                target=record.target,
                terms=terms,
                wording=way.wording,
                prompts=progress.prompts,
            ),
            schema=None,
            max_tokens=question.answer_tokens(asked, record.target),
            # A partial translation is not a result, so there is none before the last segment.
            so_far=Outcome(None, "truncated"),
            stop=question.STOP,
        )

    @staticmethod
    def _check(progress: _Progress, text: str, terms: Sequence[Term], answer: GeneratedJson, way: _Way) -> _Attempt:
        instruction: list[Flag] = ["instruction_in_text"] if looks_like_instruction(text) else []
        if answer.finish_reason != "stop":
            return _Attempt("", ["truncated", *instruction])
        translated: str | None = clean_line(str(answer.value)).strip()
        if way.masked is not None:
            translated = way.masked.restored(translated or "")
        if translated is None or (translated and not keeps_parts(text, translated)):
            return _Attempt("", ["placeholder", *instruction])
        source, target = progress.source, progress.record.target
        if not {"kana", "han"} & set(LANGUAGES[target].scripts):
            translated = narrowed(translated)
        given = [term.target for term in terms]
        flags = flags_of(text, translated, source_language=source, target_language=target, given=given)
        wording: Wording = "own" if way.wording == "own" else "examples"
        lines = question.prompt_lines(source=source, target=target, wording=wording, prompts=progress.prompts)
        if is_echo(translated, text, lines, target_language=target) or (
            wording == "examples" and repeats_example(translated, text)
        ):
            flags.append("prompt_echo")
        if way.masked is not None and is_reordered(text, translated):
            flags.append("placeholder_order")
        lost = glossary.missing(terms, translated)
        return _Attempt(translated, [*flags, *(["glossary"] if lost else [])], lost)  # type: ignore[list-item]

    def _add(self, progress: _Progress, source: str, attempt: _Attempt) -> None:
        progress.misses += [
            GlossaryMiss(segment=len(progress.done), source=term.source, target=term.target) for term in attempt.missing
        ]
        spaces, from_spaces = LANGUAGES[progress.record.target].spaces, _has_spaces(progress.source)
        if progress.pieces and progress.done and from_spaces is not None and spaces != from_spaces:
            # Space between two sentences of one line, as the target language writes it.
            if spaces and not progress.pieces[-1][-1:].isspace():
                progress.pieces.append(" ")
            elif not spaces and progress.pieces[-1] == " ":
                progress.pieces.pop()
        progress.pieces.append(attempt.text)
        progress.done.append(TranslatedSegment(source=source, target=attempt.text, flags=attempt.flags))

    @staticmethod
    def _keep(progress: _Progress, source: str, flags: list[Flag]) -> None:
        progress.pieces.append(source)
        progress.done.append(TranslatedSegment(source=source, target=source, flags=flags))

    @staticmethod
    def _outcome(progress: _Progress, wanted: int) -> Outcome[TranslateResult]:
        record = progress.record
        own: list[Flag] = ["source_undetermined"] if wanted and progress.source == UNDETERMINED else []
        flags = list(dict.fromkeys([*own, *(flag for segment in progress.done for flag in segment.flags)]))
        result = TranslateResult(
            translation="".join(progress.pieces),
            source=progress.source,
            target=record.target,
            segments=progress.done,
            flags=flags,
            glossary_misses=progress.misses,
        )
        if progress.end != "stop":
            why = progress.error or f"The model gave no answer ({progress.end})."
            return Outcome(result, _STATUS_OF_END.get(progress.end, "failed"), (Problem("", why),))
        if wanted and not progress.translated:
            problem = Problem("/segments", "No segment could be translated: the source text was kept.")
            return Outcome(result, "failed", (problem,))
        if record.strict and flags:
            return Outcome(result, "failed", _flagged(result))
        return Outcome(result)


def _flagged(result: TranslateResult) -> tuple[Problem, ...]:
    found = [
        Problem(f"/segments/{i}", f"Flagged in strict mode: {', '.join(segment.flags)}.")
        for i, segment in enumerate(result.segments)
        if segment.flags
    ]
    return tuple(found) or (Problem("", f"Flagged in strict mode: {', '.join(result.flags)}."),)


def _badness(attempt: _Attempt) -> int:
    return severity(attempt.flags) + len(attempt.missing)


def _another(way: _Way, text: str, attempt: _Attempt) -> _Way | None:
    """Another way to ask for a segment after a faulty answer; None when the answer is good, or no other way helps."""
    if not set(attempt.flags) - {"instruction_in_text"}:
        return None
    if "placeholder" in attempt.flags:
        return _Way(way.wording, mask(text))
    # A model with its own prompt was trained on no other.
    return None if way.wording == "own" else _Way("instruction")


def _has_spaces(code: str) -> bool | None:
    return LANGUAGES[code].spaces if code in LANGUAGES else None
