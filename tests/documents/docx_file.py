"""Makes small DOCX files for tests."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_STYLES = f"""<?xml version="1.0"?><w:styles {_W}>
<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>
<w:style w:type="paragraph" w:styleId="Heading2"><w:name w:val="heading 2"/></w:style></w:styles>"""


def heading(text: str, level: int = 1) -> str:
    """A heading's XML."""
    return f'<w:p><w:pPr><w:pStyle w:val="Heading{level}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'


def paragraph(text: str) -> str:
    """A paragraph's XML."""
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def item(text: str) -> str:
    """A numbered item's XML."""
    return f'<w:p><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'


def table(*rows: tuple[str, ...]) -> str:
    """A table's XML."""
    made = "".join(f"<w:tr>{''.join(f'<w:tc>{paragraph(cell)}</w:tc>' for cell in row)}</w:tr>" for row in rows)
    return f"<w:tbl>{made}</w:tbl>"


def write_docx(file: Path, *body: str, head: str = "", document: str | None = None) -> None:
    """Write a DOCX file of these parts; ``head`` stands before the root element, ``document`` replaces all of it."""
    text = document or f'<?xml version="1.0"?>{head}<w:document {_W}><w:body>{"".join(body)}</w:body></w:document>'
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", text)
        archive.writestr("word/styles.xml", _STYLES)
