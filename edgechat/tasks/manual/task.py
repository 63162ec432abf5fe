"""Answers from the user's manuals: sections found by search, a quote to the letter, numbers checked, or "not found".

The documents are those of ``edgechat docs add``. Where no section holds the words of the question, no model is asked.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any, ClassVar

from edgechat.documents.library import Library
from edgechat.documents.retrieval import best_part
from edgechat.documents.sections import HEADING_SEPARATOR
from edgechat.errors import EdgechatError, StateError
from edgechat.paths import Paths
from edgechat.tasks.contract import Ask, Context, Outcome, Problem, Status, Steps, Task
from edgechat.tasks.grounding import GroundingTexts
from edgechat.tasks.language import language_of_question
from edgechat.tasks.manual import question as prompt
from edgechat.tasks.manual.checks import flags_of
from edgechat.tasks.manual.choice import LEAST_MATCHED, chosen
from edgechat.tasks.manual.passages import heading_of, stands_in
from edgechat.tasks.manual.record import AnswerFlag, Citation, ManualInput, ManualResult, Quote
from edgechat.tasks.manual.text import as_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgechat.documents.stored import StoredSection
    from edgechat.tasks.contract import FinishReason, GeneratedJson
    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult

N_NEAREST = 3
"""Sections that a result names as the nearest."""
_CANDIDATES = 8
_STATUS_OF_END: dict[FinishReason, Status] = {"length": "truncated", "timeout": "truncated", "cancelled": "truncated"}


class Manual(Task[ManualInput, ManualResult]):
    """The built-in task ``manual``.

    Args:
        paths: of the user whose documents answer; by default those of the environment.
    """

    name = "manual"
    version = "1"
    example: ClassVar[Mapping[str, Any]] = {"question": "What does error E-401 mean?", "documents": ["manuals"]}
    formats = ("json", "text")
    input_model = ManualInput
    output_model = ManualResult

    def __init__(self, paths: Paths | None = None) -> None:
        self._paths = paths

    def steps(self, record: ManualInput, context: Context) -> Steps[ManualResult]:
        """Search, ask about the best sections, check the answer."""
        language = language_of_question(record.question, context.language)
        try:
            found, matched = self._search(record)
        except EdgechatError as error:
            return Outcome(None, "invalid_input", (Problem("/documents", str(error)),))
        read = chosen(found, record.sections)
        if not read or matched < LEAST_MATCHED or _lacks_code(record.question, found):
            return Outcome(
                _not_found(record, [], found, language, [AnswerFlag(kind="no_match", token="", sentence="")])
            )
        self._count(read)
        answer = yield self._ask(record, read, found, language)
        if answer.finish_reason == "failed" and len(read) > 1:
            # Both did not fit the context, perhaps: the better one alone.
            read = read[:1]
            answer = yield self._ask(record, read, found, language)
        if answer.finish_reason != "stop" or not isinstance(answer.value, dict):
            return Outcome(
                _not_found(record, read, found, language),
                _STATUS_OF_END.get(answer.finish_reason, "failed"),
                (Problem("", _why(answer)),),
            )
        return _checked(record, answer.value, read, found, language)

    def render(self, done: TaskResult, fmt: str) -> str:
        """JSON, or the answer with its sources as text."""
        return as_text(done) if fmt == "text" else super().render(done, fmt)

    def depends_on(self) -> str:
        """A digest of the documents: other documents give other answers."""
        with self._library() as library:
            facts = [(each.id, each.collection, each.name, each.sha256) for each in library.documents()]
        return hashlib.sha256(repr(facts).encode("utf-8", "replace")).hexdigest()

    def _library(self) -> Library:
        return Library.open_to_read(self._paths or Paths.from_env())

    def _search(self, record: ManualInput) -> tuple[list[StoredSection], float]:
        """The best sections, and how much of the question the first two hold."""
        names = record.documents
        with self._library() as library:
            if names is None and not library.documents():
                # Its error says how to add some.
                library.documents("")
            among = None if names is None else [each for name in names for each in library.documents(name)]
            found = library.search(record.question, _CANDIDATES, among)
            return found, library.matched(record.question, found[:2], among)

    def _count(self, read: Sequence[StoredSection]) -> None:
        # An index on a read-only disk still answers.
        with contextlib.suppress(StateError), Library.open(self._paths or Paths.from_env()) as library:
            library.count_question([each.id for each in read])

    @staticmethod
    def _ask(
        record: ManualInput, read: Sequence[StoredSection], found: Sequence[StoredSection], language: Language
    ) -> Ask[ManualResult]:
        return Ask(
            messages=prompt.messages(record.question, read),
            schema=prompt.answer_schema(read),
            max_tokens=prompt.MAX_TOKENS,
            so_far=Outcome(_not_found(record, read, found, language), "truncated"),
        )


def _checked(
    record: ManualInput,
    value: dict[str, Any],
    read: Sequence[StoredSection],
    found: Sequence[StoredSection],
    language: Language,
) -> Outcome[ManualResult]:
    section = next(each for each in read if str(each.id) == value["section"])
    text = str(value["quote"])
    if not stands_in(text, section.text):
        return Outcome(_not_found(record, read, found, language, [AnswerFlag(kind="quote", token=text, sentence="")]))
    answer = str(value.get("answer", "")).strip()
    if value["answered"] != "yes" or not answer:
        return Outcome(_not_found(record, read, found, language))
    flags = flags_of(answer, [f"{section.heading}\n{section.text}"], record.question)
    result = ManualResult(
        answer=answer,
        found=True,
        citations=[_citation(section, HEADING_SEPARATOR.join(heading_of(text, section.headings, section.text)))],
        quotes=[Quote(section=section.id, text=text)],
        nearest=_citations(record.question, found[:N_NEAREST]),
        read=_citations(record.question, read),
        language=language,
        flags=flags,
    )
    if record.strict and flags:
        problems = tuple(
            Problem(f"/flags/{at}", f"Flagged in strict mode: {flag.kind} {flag.token!r} stands in no cited section.")
            for at, flag in enumerate(flags)
        )
        return Outcome(result, "failed", problems)
    return Outcome(result)


def _lacks_code(question: str, found: Sequence[StoredSection]) -> bool:
    """Whether the question asks about a code, such as ``E-499``, that stands in none of the sections found."""
    ground = GroundingTexts(f"{each.title} {each.heading} {each.text}" for each in found)
    return any(each.kind == "identifier" for each in ground.missing(question))


def _not_found(
    record: ManualInput,
    read: Sequence[StoredSection],
    found: Sequence[StoredSection],
    language: Language,
    flags: Sequence[AnswerFlag] = (),
) -> ManualResult:
    return ManualResult(
        answer="",
        found=False,
        citations=[],
        quotes=[],
        nearest=_citations(record.question, found[:N_NEAREST]),
        read=_citations(record.question, read),
        language=language,
        flags=list(flags),
    )


def _citation(section: StoredSection, heading: str) -> Citation:
    return Citation(
        section=section.id, document=section.document, heading=heading or section.title, page=section.first_page
    )


def _citations(question: str, sections: Sequence[StoredSection]) -> list[Citation]:
    return [_citation(each, best_part(question, each)[0]) for each in sections]


def _why(answer: GeneratedJson) -> str:
    return answer.error or f"The model's answer was not finished ({answer.finish_reason})."
