"""A report document as one HTML page that prints on A4 and needs nothing else: no script, no font, no network."""

from __future__ import annotations

import html as markup
from typing import TYPE_CHECKING

from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from edgechat.tasks.rootcause.report import Document, Section

# Even if a reader's browser were told otherwise by something inside, it may load and run nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE = """
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


def html(doc: Document) -> str:
    """The page. Every string of the document is escaped."""
    parts = [
        "<!DOCTYPE html>",
        f'<html lang="{doc.language}">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(doc.title)}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        f"<h1>{_text(doc.title)}</h1>",
        "<dl>",
        *(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in doc.head),
        "</dl>",
        *(f'<p class="warning">{_text(warning)}</p>' for warning in doc.warnings),
    ]
    for section in doc.sections:
        parts += _section(section, doc.none)
    if doc.blanks:
        parts.append(f"<h2>{_text(doc.blanks_title)}</h2>")
        parts += [f'<div class="blank">{_text(blank)}</div>' for blank in doc.blanks]
    return "\n".join([*parts, f"<footer>{_text(doc.footer)}</footer>", "</body>", "</html>", ""])


def _section(section: Section, none: str) -> list[str]:
    title = f"<h2>{_text(section.title)}</h2>"
    if not section.rows:
        return [title, f"<p>{_text(none)}</p>"]
    if not section.columns:
        return [title, "<ul>", *(f"<li>{_text(' '.join(row))}</li>" for row in section.rows), "</ul>"]
    head = "".join(f"<th>{_text(column)}</th>" for column in section.columns)
    rows = ("".join(f"<td>{_text(cell)}</td>" for cell in row) for row in section.rows)
    return [
        title,
        f"<table><thead><tr>{head}</tr></thead><tbody>",
        *(f"<tr>{row}</tr>" for row in rows),
        "</tbody></table>",
    ]


def _text(text: str) -> str:
    return markup.escape(clean_line(text))
