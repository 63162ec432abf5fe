"""The report as a document of sections, from one template for every language, and as Markdown.

The order is 8D's: problem, containment, causes of occurrence and escape; D5 to D8 are left for people to fill in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.plaintext import clean_line
from edgechat.tasks.rootcause.record import RootCauseResult
from edgechat.tasks.rootcause.texts import CATEGORIES, CONFIDENCES, NOTICE, label

if TYPE_CHECKING:
    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult

# What means something inside a line; an underscore within a word does not.
_MARKDOWN = re.compile(r"[\\`*\[\]<>|~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LINE_START = re.compile(r"^(?:[-+#=>]|[0-9]+(?=[.)]))")
# Bare addresses become links by themselves in many viewers; a report has no links.
_ADDRESS = re.compile(r"(?<=[A-Za-z]):(?=//)|(?<=www)\.|(?<=[A-Za-z0-9])@(?=[A-Za-z0-9])", re.IGNORECASE)
_BLANKS = ("d5", "d6", "d7", "d8")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading over a list, or over a table when ``columns`` is set. Empty means: none."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A report before it has a format. Every string is plain text."""

    title: str
    language: Language
    head: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    blanks_title: str
    blanks: tuple[str, ...]
    """Headings of what people fill in."""
    none: str
    footer: str


def document(done: TaskResult) -> Document:
    """The document of one record. One without a result says why."""
    if done.result is None:
        language: Language = "en"
        rows = tuple((line,) for line in done.error_lines)
        sections: tuple[Section, ...] = (Section(done.status, rows),)
        return Document(
            label("title", language), language, _provenance(done, language), (), sections, "", (),
            label("none", language), NOTICE[language],
        )  # fmt: skip
    result = RootCauseResult.model_validate(done.result)
    language = result.language
    warnings = []
    if not result.complete:
        warnings.append(label("incomplete", language))
    if result.insufficient_evidence:
        warnings.append(label("insufficient", language))
    return Document(
        title=f"{label('title', language)}: {clean_line(result.product_id)}",
        language=language,
        head=(
            (label("product", language), clean_line(result.product_id)),
            (label("defect", language), clean_line(result.defect_type)),
            *_provenance(done, language),
        ),
        warnings=tuple(warnings),
        sections=_sections(result, language),
        blanks_title=label("to_fill", language),
        blanks=tuple(label(name, language) for name in _BLANKS),
        none=label("none", language),
        footer=result.notice,
    )


def markdown(doc: Document) -> str:
    """GitHub-flavoured Markdown. What the input and the model wrote is escaped: it is text, not markup."""
    lines = [f"# {_escaped(doc.title)}", ""]
    lines += [f"- {_escaped(name)}: {_escaped(value)}" for name, value in doc.head]
    for warning in doc.warnings:
        lines += ["", f"> **{_escaped(warning)}**"]
    for section in doc.sections:
        lines += ["", f"## {_escaped(section.title)}", ""]
        if not section.rows:
            lines.append(_escaped(doc.none))
        elif section.columns:
            lines += [_row(section.columns), _row(("---",) * len(section.columns), is_raw=True)]
            lines += [_row(row) for row in section.rows]
        else:
            lines += [f"- {_escaped(' '.join(row))}" for row in section.rows]
    if doc.blanks:
        lines += ["", f"## {_escaped(doc.blanks_title)}", ""]
        lines += [f"- {_escaped(blank)}: " for blank in doc.blanks]
    return "\n".join([*lines, "", "---", "", f"*{_escaped(doc.footer)}*", ""])


def _sections(result: RootCauseResult, language: Language) -> tuple[Section, ...]:
    def words(name: str) -> str:
        return label(name, language)

    escape = result.escape_hypothesis
    claim = (words("statement"), words("evidence"), words("check"), words("confidence"))
    sections = [
        Section(words("summary"), ((result.summary,),) if result.summary else ()),
        Section(
            words("facts"),
            tuple((fact.statement, *((f"[{', '.join(fact.evidence_ids)}]",) if fact.evidence_ids else ()))
                  for fact in result.observed_facts),
        ),
        Section(words("containment"), tuple((text,) for text in result.containment)),
        Section(
            words("hypotheses"),
            tuple(
                (CATEGORIES[item.category][language], item.statement, ", ".join(item.evidence_ids), item.check_to_do,
                 CONFIDENCES[item.confidence][language])
                for item in result.hypotheses
            ),
            (words("category"), *claim),
        ),
        Section(
            words("escape"),
            () if escape is None else (
                (escape.statement, ", ".join(escape.evidence_ids), escape.check_to_do,
                 CONFIDENCES[escape.confidence][language]),
            ),
            claim,
        ),
        Section(
            words("cited"),
            tuple((item.id, item.text) for item in result.cited_evidence),
            (words("evidence"), words("wording")),
        ),
        Section(words("unknowns"), tuple((text,) for text in result.unknowns)),
    ]  # fmt: skip
    if result.flags:
        rows = tuple((f"{flag.path}: {flag.token} {words('ungrounded')}",) for flag in result.flags)
        sections.append(Section(words("flags"), rows))
    return tuple(sections)


def _provenance(done: TaskResult, language: Language) -> tuple[tuple[str, str], ...]:
    model = f"{done.model}:{done.quant}" if done.model and done.quant else done.model or label("none", language)
    facts = (
        (label("record", language), str(done.id)),
        ("status", done.status),
        ("created_at", done.created_at or "-"),
        ("model", model),
        ("model_sha256", done.model_sha256 or "-"),
        ("task", f"{done.task} {done.task_version}, edgechat {done.edgechat_version}"),
        ("input_sha256", done.input_sha256),
    )
    return tuple((name, clean_line(value)) for name, value in facts)


def _row(cells: tuple[str, ...], *, is_raw: bool = False) -> str:
    return f"| {' | '.join(cells if is_raw else map(_escaped, cells))} |"


def _escaped(text: str) -> str:
    line = _ADDRESS.sub(r"\\\g<0>", _MARKDOWN.sub(r"\\\g<0>", clean_line(text)))
    # `1.` opens a list and `-` a bullet: the mark behind the digits is escaped, or the first character.
    return _LINE_START.sub(lambda start: f"{start[0]}\\" if start[0].isdigit() else f"\\{start[0]}", line)
