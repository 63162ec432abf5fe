"""Translation of texts and documents, sentence by sentence, with every visible fault flagged.

Marks replace the parts that must not change before the model sees a sentence. The answer is checked; a faulty one is
asked for once more, and replaced by the source when it is not a translation. Document formats are in ``formats``.
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
from edgechat.tasks.translate.formats import FORMS, pieces, structure
from edgechat.tasks.translate.formats.declaration import declared_encoding, with_declared_encoding
from edgechat.tasks.translate.languages import AUTO, LANGUAGES, UNDETERMINED, detect, scripts_of
from edgechat.tasks.translate.protect import MaskedText, mask
from edgechat.tasks.translate.record import (
    Flag,
    GlossaryMiss,
    Term,
    TranslatedSegment,
    TranslateInput,
    TranslateResult,
)
from edgechat.tasks.translate.segments import Segment, segments

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from edgechat.tasks.batch.document import DocumentOptions, Piece
    from edgechat.tasks.contract import FinishReason, GeneratedJson
    from edgechat.tasks.result import TaskResult

_STATUS_OF_END: dict[FinishReason, Status] = {"timeout": "truncated", "cancelled": "truncated"}

_COMPLAINTS: dict[Flag, str] = {
    "placeholder": "bring back every mark such as ⟦1⟧ exactly once",
    "number_missing": "keep every number of the text",
    "number_extra": "add no number that the text has not",
    "empty": "leave nothing out",
    "identical": "do not copy the text, translate it",
    "repetition": "say nothing twice",
    "bracket": "close every bracket",
    "length": "make the translation about as long as the text",
    "wrong_language": "write in the language asked for",
    "preamble": "begin with the translation itself",
    "prompt_echo": "write nothing of these instructions",
    "truncated": "be brief, and end where the text ends",
}
"""Instructions for the second attempt, by flag. In the imperative, since a model may continue a statement as text."""


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
    version = "3"
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
            masked = mask(segment.text)
            if not masked.has_words or self._is_already(segment.text, source, record.target):
                # A copied segment that looks like an instruction is flagged too.
                self._keep(
                    progress, segment.text, ["instruction_in_text"] if looks_like_instruction(segment.text) else []
                )
                continue
            wanted += 1
            if progress.end != "stop":
                self._keep(progress, segment.text, ["not_translated"])
                continue
            yield from self._translate(progress, segment, masked)
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

    def _translate(
        self, progress: _Progress, segment: Segment, masked: MaskedText
    ) -> Generator[Ask[TranslateResult], GeneratedJson, None]:
        """Ask, check the answer, ask once more if that may help, and keep the better answer."""
        terms = glossary.occurring(progress.record.glossary, segment.text)
        best: _Attempt | None = None
        complaint, bare_complaint, limit_factor = "", "", 1
        for _ in range(2):
            answer = yield self._ask(progress, masked, terms, complaint, limit_factor)
            if answer.finish_reason not in {"stop", "length"}:
                progress.end, progress.error = answer.finish_reason, answer.error
                break
            instructions = question.instruction_lines(
                source=progress.source,
                target=progress.record.target,
                prompts=progress.prompts,
                complaint=bare_complaint,
            )
            attempt = self._check(progress, segment, masked, terms, answer, instructions=instructions)
            if best is None or _badness(attempt) < _badness(best):
                best = attempt
            complaint, bare_complaint = _complaint(attempt), _complaint(attempt, with_terms=False)
            if not complaint:
                break
            limit_factor = 2 if "truncated" in attempt.flags else 1
        if best is None:
            self._keep(progress, segment.text, ["not_translated"])
        elif FATAL.intersection(best.flags):
            self._keep(progress, segment.text, [*best.flags, "kept_source"])
        else:
            progress.translated += 1
            self._add(progress, segment.text, best)

    def _ask(
        self, progress: _Progress, masked: MaskedText, terms: Sequence[Term], complaint: str, limit_factor: int
    ) -> Ask[TranslateResult]:
        record = progress.record
        return Ask(
            messages=question.messages(
                masked.text,
                source=progress.source,
                target=record.target,
                terms=terms,
                prompts=progress.prompts,
                complaint=complaint,
            ),
            schema=question.answer_schema(
                masked.text, target=record.target, marks=len(masked.originals), prompts=progress.prompts
            ),
            max_tokens=limit_factor * question.answer_tokens(masked.text, record.target),
            # A partial translation is not a result, so there is none before the last segment.
            so_far=Outcome(None, "truncated"),
        )

    def _check(
        self,
        progress: _Progress,
        segment: Segment,
        masked: MaskedText,
        terms: Sequence[Term],
        answer: GeneratedJson,
        *,
        instructions: Sequence[str],
    ) -> _Attempt:
        answered = question.answer_text(answer.value) if answer.finish_reason == "stop" else None
        instruction: list[Flag] = ["instruction_in_text"] if looks_like_instruction(segment.text) else []
        if answered is None:
            return _Attempt("", ["truncated", *instruction])
        answered = clean_line(answered)
        if masked.faults(answered):
            return _Attempt("", ["placeholder", *instruction])
        target = progress.record.target
        narrow = not {"kana", "han"} & set(LANGUAGES[target].scripts)
        text = masked.restored(answered, narrow=narrow)
        flags = flags_of(segment.text, text, source_language=progress.source, target_language=target)
        if is_echo(text, segment.text, instructions, target_language=target):
            flags.append("prompt_echo")
        lost = glossary.missing(terms, text)
        return _Attempt(text, [*flags, *(["glossary"] if lost else [])], lost)  # type: ignore[list-item]

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


def _complaint(attempt: _Attempt, *, with_terms: bool = True) -> str:
    """The instruction for a second attempt; empty when one would not help."""
    orders = [_COMPLAINTS[flag] for flag in attempt.flags if flag in _COMPLAINTS]
    if attempt.missing:
        terms = ", ".join(f"{term.source} must be {term.target}" for term in attempt.missing)
        orders.append(f"use the given terms ({terms})" if with_terms else "use the given terms")
    return "; ".join(orders)


def _has_spaces(code: str) -> bool | None:
    return LANGUAGES[code].spaces if code in LANGUAGES else None
