"""The report as a document of sections, from one template for every language, written as Markdown or HTML.

The order follows 8D: problem, containment, causes of occurrence and escape. D5 to D8 are blank fields for people.
"""

from __future__ import annotations

import html as markup
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgechat.plaintext import clean_line
from edgechat.tasks.rootcause.result import RootCauseResult
from edgechat.tasks.rootcause.texts import CATEGORIES, CONFIDENCES, NOTICE, WORDED_BY, label
from edgechat.tasks.rootcause.trend import trend_sentence

if TYPE_CHECKING:
    from edgechat.tasks.language import Language
    from edgechat.tasks.result import TaskResult

# Characters with a meaning in Markdown text; an underscore within a word has none.
_MARKDOWN = re.compile(r"[\\`*\[\]<>|~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LINE_START = re.compile(r"^(?:[-+#=>]|[0-9]+(?=[.)]))")
# Many viewers turn bare addresses into links; a report must have none.
_ADDRESS = re.compile(r"(?<=[A-Za-z]):(?=//)|(?<=www)\.|(?<=[A-Za-z0-9])@(?=[A-Za-z0-9])", re.IGNORECASE)
_BLANKS = ("d5", "d6", "d7", "d8")
# The page may load and run nothing, even if escaping failed.
_HTML_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_HTML_STYLE = """
@page { size: A4; margin: 16mm 15mm 20mm; }
* { box-sizing: border-box; }
body { font: 10.5pt/1.5 "Hiragino Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Yu Gothic", "Microsoft YaHei",
       system-ui, sans-serif; color: #1a1a1a; max-width: 180mm; margin: 8mm auto; padding: 0 4mm;
       overflow-wrap: anywhere; }
h1 { font-size: 17pt; line-height: 1.25; margin: 0 0 4mm; border-bottom: 2pt solid #1a1a1a; padding-bottom: 2mm; }
h2 { font-size: 11.5pt; margin: 6mm 0 2mm; break-after: avoid; }
table { width: 100%; border-collapse: collapse; font-size: 9.5pt; }
th, td { border: 0.5pt solid #888; padding: 1.5mm 2mm; text-align: left; vertical-align: top; }
th { background: #eee; font-weight: 600; }
tr, li { break-inside: avoid; }
thead { display: table-header-group; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.5mm 4mm; margin: 0; font-size: 9pt; }
dt { color: #555; } dd { margin: 0; }
ul { margin: 0; padding-left: 5mm; }
.warning { border: 1pt solid #a00; color: #a00; padding: 2mm 3mm; margin: 4mm 0 0; font-weight: 600; }
.blank { height: 22mm; border: 0.5pt solid #888; padding: 1.5mm 2mm; margin-top: -0.5pt; break-inside: avoid; }
footer { margin-top: 8mm; border-top: 0.5pt solid #888; padding-top: 2mm; font-size: 9pt; font-weight: 600; }
@media print { body { margin: 0; padding: 0; max-width: none; } th { print-color-adjust: exact; } }
"""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading with a list, or with a table when ``columns`` is set. No rows are shown as ``none``."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReportDocument:
    """A report independent of its format. Every string is plain text."""

    title: str
    language: Language
    head: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    blanks_title: str
    blanks: tuple[str, ...]
    """Headings of the fields that people fill in."""
    none: str
    footer: str


def document(done: TaskResult) -> ReportDocument:
    """The document of one record; without a result it lists the errors."""
    if done.result is None:
        language: Language = "en"
        rows = tuple((line,) for line in done.error_lines)
        sections: tuple[Section, ...] = (Section(done.status, rows),)
        return ReportDocument(
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
    return ReportDocument(
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


def markdown(doc: ReportDocument) -> str:
    """GitHub-flavoured Markdown. Text from the input and the model is escaped, so that it cannot be markup."""
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


def html(doc: ReportDocument) -> str:
    """One HTML page that prints on A4 without scripts, fonts or network. Every string of the document is escaped."""
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="{doc.language}">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_HTML_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_html_text(doc.title)}</title>",
        f"<style>{_HTML_STYLE}</style>",
        "</head>",
        "<body>",
        f"<h1>{_html_text(doc.title)}</h1>",
        "<dl>",
        *(f"<dt>{_html_text(name)}</dt><dd>{_html_text(value)}</dd>" for name, value in doc.head),
        "</dl>",
        *(f'<p class="warning">{_html_text(warning)}</p>' for warning in doc.warnings),
    ]
    for section in doc.sections:
        parts += _html_section(section, doc.none)
    if doc.blanks:
        parts.append(f"<h2>{_html_text(doc.blanks_title)}</h2>")
        parts += [f'<div class="blank">{_html_text(blank)}</div>' for blank in doc.blanks]
    return "\n".join([*parts, f"<footer>{_html_text(doc.footer)}</footer>", "</body>", "</html>", ""])


def _sections(result: RootCauseResult, language: Language) -> tuple[Section, ...]:
    def words(name: str) -> str:
        return label(name, language)

    escape = result.escape_hypothesis
    claim = (words("statement"), words("evidence"), words("check"), words("confidence"), words("worded_by"))
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
                 CONFIDENCES[item.confidence][language], WORDED_BY[item.worded_by][language])
                for item in result.hypotheses
            ),
            (words("category"), *claim),
        ),
        Section(
            words("escape"),
            () if escape is None else (
                (escape.statement, ", ".join(escape.evidence_ids), escape.check_to_do,
                 CONFIDENCES[escape.confidence][language], WORDED_BY[escape.worded_by][language]),
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
    if result.recurrences:
        rows = tuple((trend_sentence(one, language),) for one in result.recurrences)
        sections.insert(2, Section(words("trend"), rows))
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
    # `1.` or `-` at the start would open a list: escape the character after the digits, or the first one.
    return _LINE_START.sub(lambda start: f"{start[0]}\\" if start[0].isdigit() else f"\\{start[0]}", line)


def _html_section(section: Section, none: str) -> list[str]:
    title = f"<h2>{_html_text(section.title)}</h2>"
    if not section.rows:
        return [title, f"<p>{_html_text(none)}</p>"]
    if not section.columns:
        return [title, "<ul>", *(f"<li>{_html_text(' '.join(row))}</li>" for row in section.rows), "</ul>"]
    head = "".join(f"<th>{_html_text(column)}</th>" for column in section.columns)
    rows = ("".join(f"<td>{_html_text(cell)}</td>" for cell in row) for row in section.rows)
    return [
        title,
        f"<table><thead><tr>{head}</tr></thead><tbody>",
        *(f"<tr>{row}</tr>" for row in rows),
        "</tbody></table>",
    ]


def _html_text(text: str) -> str:
    return markup.escape(clean_line(text))
