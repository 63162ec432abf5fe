"""Translation of texts and documents, sentence by sentence, with every visible fault flagged.

What must not change is taken out before the model sees a sentence; what comes back is checked, asked for once more
when it is bad, and replaced by the source when it is no translation. Formats of documents are in ``formats``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from edgechat.errors import UsageError
from edgechat.plaintext import clean_line
from edgechat.tasks.contract import Ask, Context, Outcome, Problem, Status, Steps, Task
from edgechat.tasks.translate import glossary, question
from edgechat.tasks.translate.checks import FATAL, flags_of, looks_like_instruction, worst
from edgechat.tasks.translate.echo import is_echo
from edgechat.tasks.translate.formats import FORMS, pieces
from edgechat.tasks.translate.languages import AUTO, LANGUAGES, UNDETERMINED, detect, scripts_of
from edgechat.tasks.translate.protect import Masked, masked
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

    from edgechat.tasks.batch.document import Piece
    from edgechat.tasks.contract import FinishReason, GeneratedJson
    from edgechat.tasks.result import TaskResult

_STATUS_OF_END: dict[FinishReason, Status] = {"timeout": "truncated", "cancelled": "truncated"}

_MINDED: dict[Flag, str] = {
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
"""What the model is to mind after an answer with that flag: orders, which are less like a text to go on with than
remarks are."""


@dataclass(slots=True)
class _Attempt:
    """One answer for one segment, judged."""

    text: str
    flags: list[Flag]
    missing: list[Term] = field(default_factory=list)


@dataclass(slots=True)
class _Course:
    """What a record has gathered so far."""

    record: TranslateInput
    source: str
    prompts: Mapping[str, str]
    pieces: list[str] = field(default_factory=list)
    done: list[TranslatedSegment] = field(default_factory=list)
    misses: list[GlossaryMiss] = field(default_factory=list)
    translated: int = 0
    end: FinishReason = "stop"
    """Why nothing more is asked; ``stop`` while it still is."""
    error: str = ""


class Translate(Task[TranslateInput, TranslateResult]):
    """The built-in task ``translate``."""

    name: ClassVar[str] = "translate"
    version: ClassVar[str] = "3"
    example: ClassVar[Mapping[str, Any]] = {
        "text": "Stop the conveyor before you open cover E-401. See https://example.com/manual.",
        "source": "en",
        "target": "ja",
        "glossary": [{"source": "conveyor", "target": "コンベヤ"}],
    }
    formats: ClassVar[tuple[str, ...]] = ("json", "text")
    input_model = TranslateInput
    output_model = TranslateResult
    document_forms: ClassVar[tuple[str, ...]] = FORMS

    def steps(self, record: TranslateInput, context: Context) -> Steps[TranslateResult]:
        """Go through the segments; what needs no model is copied."""
        source = detect(record.text) if record.source == AUTO else record.source
        course = _Course(record, source, context.prompts)
        wanted = 0
        for segment in segments(record.text, source):
            if not segment.is_text:
                course.pieces.append(segment.text)
                continue
            hidden = masked(segment.text)
            if not hidden.has_words or self._is_already(segment.text, source, record.target):
                # Copied, not obeyed; people should look at an order all the same.
                self._keep(
                    course, segment.text, ["instruction_in_text"] if looks_like_instruction(segment.text) else []
                )
                continue
            wanted += 1
            if course.end != "stop":
                self._keep(course, segment.text, ["not_translated"])
                continue
            yield from self._translate(course, segment, hidden)
        return self._outcome(course, wanted)

    def render(self, done: TaskResult, fmt: str) -> str:
        """JSON, or the translation alone."""
        if fmt != "text":
            return super().render(done, fmt)
        if done.result is None:
            return "\n".join(done.error_lines) + "\n"
        return str(done.result["translation"]) + "\n"

    def document(self, text: str, form: str, columns: Sequence[str]) -> Iterator[Piece]:
        """The units of a document; see :class:`edgechat.tasks.batch.document.RewritesDocuments`."""
        return pieces(text, form, columns)

    def document_fields(self, texts: Sequence[str], fields: Mapping[str, Any]) -> dict[str, Any]:
        """What holds for every unit: a document has one language, which its short units alone would not tell.

        Raises:
            UsageError: nobody said what to translate into.
        """
        if "target" not in fields:
            raise UsageError("Which language to translate into?", hint="Add --field target=ja, for example.")
        if fields.get("source", AUTO) != AUTO:
            return {}
        found = detect("\n".join(texts)[:100_000])
        if found == fields["target"]:
            raise UsageError(
                f"The document seems to be in {LANGUAGES[found].name} already.",
                hint="If it is not, say what it is in: --field source=en",
            )
        return {} if found == UNDETERMINED else {"source": found}

    def replacement(self, result: Mapping[str, Any]) -> str:
        """The new text of a unit."""
        return str(result["translation"])

    @staticmethod
    def _is_already(text: str, source: str, target: str) -> bool:
        """True when nothing of a segment is in the source's script: a name or a command between Japanese sentences."""
        scripts = set(scripts_of(text))
        own = set(LANGUAGES[source].scripts) if source in LANGUAGES else set()
        return bool(own) and not own & scripts and bool(scripts) and scripts <= set(LANGUAGES[target].scripts)

    def _translate(
        self, course: _Course, segment: Segment, hidden: Masked
    ) -> Generator[Ask[TranslateResult], GeneratedJson, None]:
        """Ask, judge, ask once more where that may help, and take the better one."""
        terms = glossary.occurring(course.record.glossary, segment.text)
        best: _Attempt | None = None
        complaint, words, room = "", "", 1
        for _ in range(2):
            answer = yield self._ask(course, hidden, terms, complaint, room)
            if answer.finish_reason not in {"stop", "length"}:
                course.end, course.error = answer.finish_reason, answer.error
                break
            told = question.told(
                source=course.source, target=course.record.target, prompts=course.prompts, complaint=words
            )
            attempt = self._judge(course, segment, hidden, terms, answer, told=told)
            if best is None or _badness(attempt) < _badness(best):
                best = attempt
            complaint, words = _complaint(attempt), _complaint(attempt, with_terms=False)
            if not complaint:
                break
            room = 2 if "truncated" in attempt.flags else 1
        if best is None:
            self._keep(course, segment.text, ["not_translated"])
        elif FATAL.intersection(best.flags):
            self._keep(course, segment.text, [*best.flags, "kept_source"])
        else:
            course.translated += 1
            self._add(course, segment.text, best)

    def _ask(
        self, course: _Course, hidden: Masked, terms: Sequence[Term], complaint: str, room: int
    ) -> Ask[TranslateResult]:
        record = course.record
        return Ask(
            messages=question.messages(
                hidden.text,
                source=course.source,
                target=record.target,
                terms=terms,
                prompts=course.prompts,
                complaint=complaint,
            ),
            schema=question.answer_schema(
                hidden.text, target=record.target, marks=len(hidden.originals), prompts=course.prompts
            ),
            max_tokens=room * question.answer_tokens(hidden.text, record.target),
            # A part of a translation is none: nothing can be shown before the last segment.
            so_far=Outcome(None, "truncated"),
        )

    def _judge(
        self,
        course: _Course,
        segment: Segment,
        hidden: Masked,
        terms: Sequence[Term],
        answer: GeneratedJson,
        *,
        told: Sequence[str],
    ) -> _Attempt:
        said = question.answered(answer.value) if answer.finish_reason == "stop" else None
        instruction: list[Flag] = ["instruction_in_text"] if looks_like_instruction(segment.text) else []
        if said is None:
            return _Attempt("", ["truncated", *instruction])
        said = clean_line(said)
        if hidden.faults(said):
            return _Attempt("", ["placeholder", *instruction])
        target = course.record.target
        narrow = not {"kana", "han"} & set(LANGUAGES[target].scripts)
        text = hidden.restored(said, narrow=narrow)
        flags = flags_of(segment.text, text, source_language=course.source, target_language=target)
        if is_echo(text, segment.text, told, target_language=target):
            flags.append("prompt_echo")
        lost = glossary.missing(terms, text)
        return _Attempt(text, [*flags, *(["glossary"] if lost else [])], lost)  # type: ignore[list-item]

    def _add(self, course: _Course, source: str, attempt: _Attempt) -> None:
        course.misses += [
            GlossaryMiss(segment=len(course.done), source=term.source, target=term.target) for term in attempt.missing
        ]
        spaces, from_spaces = LANGUAGES[course.record.target].spaces, _has_spaces(course.source)
        if course.pieces and course.done and from_spaces is not None and spaces != from_spaces:
            # Between two sentences of one line, as the target language has it.
            if spaces and not course.pieces[-1][-1:].isspace():
                course.pieces.append(" ")
            elif not spaces and course.pieces[-1] == " ":
                course.pieces.pop()
        course.pieces.append(attempt.text)
        course.done.append(TranslatedSegment(source=source, target=attempt.text, flags=attempt.flags))

    @staticmethod
    def _keep(course: _Course, source: str, flags: list[Flag]) -> None:
        course.pieces.append(source)
        course.done.append(TranslatedSegment(source=source, target=source, flags=flags))

    @staticmethod
    def _outcome(course: _Course, wanted: int) -> Outcome[TranslateResult]:
        record = course.record
        own: list[Flag] = ["source_undetermined"] if wanted and course.source == UNDETERMINED else []
        flags = list(dict.fromkeys([*own, *(flag for segment in course.done for flag in segment.flags)]))
        result = TranslateResult(
            translation="".join(course.pieces),
            source=course.source,
            target=record.target,
            segments=course.done,
            flags=flags,
            glossary_misses=course.misses,
        )
        if course.end != "stop":
            why = course.error or f"The model gave no answer ({course.end})."
            return Outcome(result, _STATUS_OF_END.get(course.end, "failed"), (Problem("", why),))
        if wanted and not course.translated:
            problem = Problem("/segments", "No segment could be translated: the source stands in the place of each.")
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
    return worst(attempt.flags) + len(attempt.missing)


def _complaint(attempt: _Attempt, *, with_terms: bool = True) -> str:
    """What to tell the model after its answer; empty when another try would not help."""
    said = [_MINDED[flag] for flag in attempt.flags if flag in _MINDED]
    if attempt.missing:
        terms = ", ".join(f"{term.source} must be {term.target}" for term in attempt.missing)
        said.append(f"use the given terms ({terms})" if with_terms else "use the given terms")
    return "; ".join(said)


def _has_spaces(code: str) -> bool | None:
    return LANGUAGES[code].spaces if code in LANGUAGES else None
